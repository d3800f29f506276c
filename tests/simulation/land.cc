#include "tests/simulation/land.h"

namespace mayfly::sim {
namespace {

using std::chrono::minutes;

int rate(Rng& rng, int most) {
  bool at_all = rng.percent(50);
  int r = rng.between(1, most);
  return at_all ? r : 0;
}

void draw_faults(Land& land) {
  Rng& rng = land.rng;
  Faults& f = land.faults;
  f.event_delayed = rate(rng, 30), f.event_doubled = rate(rng, 20), f.message_lost = rate(rng, 10);
  for (bool* which : {&f.kills, &f.kills_at_steps, &f.config_changes, &f.line_breaks, &f.builder_deaths, &f.outages,
                      &f.images_vanish, &f.store_fills, &f.clock_jumps, &f.lists_late})
    *which = rng.percent(45);
  f.stops = rng.percent(25);
}

void draw_place_faults(Rng& rng, Faults& f) {
  for (int* which : {&f.launch_fails, &f.launch_leaves, &f.launch_reply_lost, &f.slow_calls, &f.unreachable, &f.refuses,
                     &f.deaf, &f.dies_on_assign, &f.dies_running})
    *which = rate(rng, 20);
  if (rng.one_in(8)) f.launch_fails = rng.between(80, 100);
}

bool breaks_jobs(const std::string& digest) {
  static const std::set<std::string> bad = [] {
    FakeClock clock;
    FakeWorld world(clock);
    FakePlatform any(world);
    std::set<std::string> out;
    for (int n = 3; n < version_references; n += 3)
      out.insert(any.prepare(version_reference(n), after(seconds(1)))->digest);
    return out;
  }();
  return bad.contains(digest);
}

// What is open by turns is also closed by turns: a job that waits for the schedule gets its time.
std::vector<Window> draw_windows(Rng& rng, const PoolSpec& p) {
  std::vector<Window> out;
  int every = rng.between(5, 10), half = every / 2;
  bool warms = rng.percent(60), closes = rng.percent(40), refreshes = rng.percent(50);
  auto add = [&](int offset) -> ScheduleEntry& {
    out.push_back({every, offset, {}});
    return out.back().says;
  };
  if (warms) {
    add(0).warm = rng.between(0, 3);
    add(half).warm = 0;
  }
  if (closes) {
    add(half).max = rng.between(0, 3);
    add(0).max = p.max;
  }
  if (refreshes) add(rng.between(0, every - 1)).refresh = true;
  for (Window& w : out) w.says.cron = w.cron();
  return out;
}

// Pools beside one another: some serve the same labels, some have a schedule, and they share their platform unequally.
void draw_neighbours(Land& land) {
  Rng& rng = land.rng;
  static const std::vector<std::string> labels = {"linux", "Big", "gpu"};
  bool labelled = rng.percent(60), timed = rng.percent(50);
  for (auto& [name, p] : land.config.pools) {
    p.preference = rng.between(0, 2);
    p.weight = rng.pick(std::vector<double>{0.5, 1, 1, 3});
    for (const auto& label : labels)
      if (labelled && rng.percent(70)) p.labels.push_back(label);
    if (rng.one_in(4)) p.secrets = {"known"};
    if (rng.one_in(4)) p.min = rng.between(0, p.max);
    if (!timed || rng.percent(40)) continue;
    auto windows = draw_windows(rng, p);
    for (const Window& w : windows) p.schedule.push_back(w.says);
    if (!windows.empty()) land.windows[name] = windows;
  }
}

// What all pools of one platform share.
void draw_shared(Land& land, const std::string& name) {
  Rng& rng = land.rng;
  PlatformSpec& shared = land.config.platforms[name];
  if (rng.percent(45)) shared.max = rng.between(1, 6);
  if (rng.percent(40)) shared.launches_per_minute = rng.between(4, 30);
  if (rng.one_in(4)) shared.parallel_launches = rng.between(1, 3);
}

PoolSpec draw_pool(Rng& rng, const std::string& platform, int number) {
  PoolSpec p;
  p.name = platform + std::to_string(number);
  p.platform = platform;
  p.image = "image-" + std::to_string(rng.between(0, 2));
  p.max = rng.between(1, 6);
  p.warm = rng.between(0, std::min(2, p.max));
  p.limits.timeout = rng.spread(seconds(5), minutes(5));
  p.limits.grace = rng.spread(milliseconds(100), seconds(10));
  p.network = rng.percent(50) ? Network::none : Network::egress;
  p.secrets = {"known", "unknown"};
  if (rng.percent(40)) {
    p.image = rng.percent(50) ? "versioned" : "versioned@^1";
    p.rollout.canary = rng.percent(50) ? 0.3 : 0;
    p.rollout.min_jobs = rng.between(1, 8);
    p.rollout.soak = rng.spread(seconds(1), minutes(1));
  }
  return p;
}

FakeBehaviour draw_behaviour(Land& land, Place& place, const BuilderRequest& request) {
  Rng& rng = land.rng;
  const Faults& f = place.faults;
  FakeBehaviour b;
  // Where a pool keeps nothing idle, nothing shows that before jobs come.
  bool broken_image =
      request.image.reference == version_reference(5) && !(land.isolation && request.pool.starts_with("a"));
  if (rng.percent(f.launch_fails) || (broken_image && !land.healed))
    b.launch = FakeBehaviour::Launch::fails;
  else if (rng.percent(f.launch_leaves))
    b.launch = FakeBehaviour::Launch::leaves;
  else if (rng.percent(f.launch_reply_lost))
    b.launch = FakeBehaviour::Launch::reply_lost;
  b.reachable = !rng.percent(f.unreachable);
  b.refuses = rng.percent(f.refuses);
  b.deaf = rng.percent(f.deaf);
  if (rng.percent(f.dies_on_assign))
    b.death = FakeBehaviour::Death::on_assign;
  else if (rng.percent(f.dies_running))
    b.death = FakeBehaviour::Death::while_running;
  if (b.launch != FakeBehaviour::Launch::succeeds || !b.reachable || b.refuses || b.deaf ||
      b.death != FakeBehaviour::Death::never)
    land.harmed.insert(request.id);
  return b;
}

FakeOutcome draw_outcome(Land& land, const BuilderId& builder) {
  static const std::vector<JobResult> results = {{JobCause::exited, 0, 0, {}},
                                                 {JobCause::exited, 0, 0, {}},
                                                 {JobCause::exited, 3, 0, {}},
                                                 {JobCause::signalled, 0, 11, {}},
                                                 {JobCause::oom_killed, 0, 9, {}},
                                                 {JobCause::disk_full, 1, 0, {}},
                                                 {JobCause::command_not_found, 0, 0, {}},
                                                 {JobCause::output_failed, 0, 0, "no such directory"}};
  FakeOutcome o;
  o.result = land.rng.pick(results);
  o.takes = land.rng.spread(milliseconds(1), minutes(6));
  o.output = "output";
  if (breaks_jobs(land.launched[builder].digest)) o.result = {JobCause::exited, 1, 0, {}};
  return o;
}

void add_place(Land& land, const std::string& name) {
  Rng& rng = land.rng;
  auto place = std::make_unique<Place>(land.clock, name, rng.between(1, 4));
  Place* p = place.get();
  draw_place_faults(rng, p->faults);
  p->latency = rng.spread(milliseconds(1), seconds(3));
  if (land.faults.lists_late) p->list_lag = rng.spread(milliseconds(100), seconds(10));
  p->fake.behaviour = [&land, p](const BuilderRequest& r) { return draw_behaviour(land, *p, r); };
  p->fake.outcome = [&land](const agent::Assign& a) {
    const auto& builder = a.env.at("MAYFLY_BUILDER");
    land.ran_on[a.job].insert(builder);
    return draw_outcome(land, builder);
  };
  p->fake.on_finish = [&land](const BuilderId& id, const agent::Finished& f) {
    land.note("builder {} ends job {}: {} {}", id, f.job, to_string(f.result.cause), f.result.exit_code);
    land.finished[{f.job, id}] = f;
  };
  land.places[name] = std::move(place);
}

}  // namespace

std::string version_reference(int n) { return "version-" + std::to_string(n); }

void draw(Land& land) {
  Rng& rng = land.rng;
  land.config.images["versioned"] = {"versioned", {}, {}};
  land.isolation = rng.one_in(5);
  if (!land.isolation) draw_faults(land);
  for (std::string name : {"a", "b"}) {
    add_place(land, name);
    draw_shared(land, name);
    int pools = rng.between(1, 3);
    for (int i = 0; i < pools; ++i) {
      auto pool = draw_pool(rng, name, i);
      land.config.pools[pool.name] = pool;
    }
  }
  draw_neighbours(land);
  if (rng.one_in(3)) land.config.keep_jobs = minutes(rng.between(3, 12));
  if (!land.isolation) return;
  land.places.at("a")->faults = {};
  Place& broken_one = *land.places.at("b");
  broken_one.down = true;
  broken_one.silent = rng.percent(50);
  if (broken_one.silent) return;
  Error error{ErrorCode::unavailable, "the platform is broken"};
  if (rng.percent(50)) broken_one.platform.fail_prepare(error);
  if (rng.percent(70)) broken_one.platform.fail_launch(error);
  if (rng.percent(50)) broken_one.platform.fail_list(error);
  if (rng.percent(50)) broken_one.platform.fail_stop(error);
  if (rng.percent(30))
    broken_one.platform.set_health({.accepts_builders = false, .disk_full = false, .problem = "it is broken"});
}

void heal(Land& land) {
  land.faults = {};
  land.healed = true;
  for (auto& [name, p] : land.places) {
    p->faults = {};
    p->down = p->silent = false;
    p->latency = std::min<Duration>(p->latency, seconds(1));
    p->platform.set_health({});
    p->platform.fail_prepare({});
    p->platform.fail_launch({});
    p->platform.fail_list({});
    p->platform.fail_stop({});
    for (int i = 0; i < 3; ++i) p->platform.restore_image("image-" + std::to_string(i));
    for (int i = 0; i < version_references; ++i) p->platform.restore_image(version_reference(i));
  }
}

}  // namespace mayfly::sim
