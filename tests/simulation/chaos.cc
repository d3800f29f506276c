#include "tests/simulation/chaos.h"

namespace mayfly::sim {

using std::chrono::minutes;

void Chaos::often(bool wanted, int most, Duration length, std::function<void()> what) {
  if (!wanted) return;
  int times = land_.rng.between(1, most);
  for (int i = 0; i < times; ++i)
    land_.agenda.at(land_.now() + land_.rng.upto(length), [this, what] {
      if (!over_) what();
    });
}

void Chaos::schedule(Duration length) {
  original_ = land_.config;
  const Faults& f = land_.faults;
  often(f.kills, 5, length, [this] { kill(); });
  often(f.kills_at_steps, 10, length, [this] { kill_at_step(); });
  often(f.stops, 2, length, [this] { stop_gently(); });
  often(f.outages, 5, length, [this] { outage(); });
  often(f.builder_deaths, 8, length, [this] { death(); });
  often(f.line_breaks, 8, length, [this] { line_break(); });
  often(f.store_fills, 4, length, [this] { fill_store(); });
  often(f.clock_jumps, 4, length, [this] { jump(); });
  often(f.images_vanish, 3, length, [this] { remove_image(); });
}

void Chaos::end() {
  over_ = true;
  heal(land_);
  store_.full = false;
  daemon_.crash_after(0);
  if (stopping_ == land_.generation) daemon_.kill("as it was stopping");
  if (land_.config != original_) {
    daemon_.kill("for its configuration");
    land_.config = original_;
  }
  if (!daemon_.up()) daemon_.start();
}

void Chaos::after_step() {
  if (daemon_.up() || restarting_) return;
  restarting_ = true;
  Duration away = land_.rng.percent(50) ? land_.rng.upto(seconds(1)) : land_.rng.spread(milliseconds(10), minutes(3));
  land_.agenda.at(land_.now() + away, [this] {
    restarting_ = false;
    if (daemon_.up()) return;
    if (!over_) change_config();
    daemon_.start();
  });
}

void Chaos::kill() { daemon_.kill("between two steps"); }

void Chaos::kill_at_step() { daemon_.crash_after(1 + land_.rng.below(40)); }

void Chaos::stop_gently() {
  if (!daemon_.up()) return;
  bool kills_builders = land_.rng.one_in(4);
  land_.note("the daemon is told to stop{}", kills_builders ? " and to take its builders along" : "");
  if (kills_builders)
    for (auto& [name, place] : land_.places)
      for (const auto& b : place->fake.builders()) land_.harmed.insert(b.id);
  daemon_.core().begin_stop(kills_builders);
  auto generation = stopping_ = land_.generation;
  Duration limit = land_.rng.spread(milliseconds(10), seconds(30));  // as long as control waits for it
  land_.agenda.at(land_.now() + limit, [this, generation] {
    if (land_.generation == generation) daemon_.kill("as its time to stop is up");
  });
}

Place& Chaos::some_place() { return *land_.places.at(land_.rng.percent(50) ? "a" : "b"); }

std::optional<BuilderId> Chaos::some_builder(Place& place) {
  auto all = place.fake.builders();
  if (all.empty()) return std::nullopt;
  return all[land_.rng.below(all.size())].id;
}

// Some or all of what a platform can do fails for a while; sometimes its host starts anew meanwhile.
void Chaos::outage() {
  Place& p = some_place();
  if (p.down) return;
  Rng& rng = land_.rng;
  Error error{ErrorCode::unavailable, "the platform does not answer"};
  bool whole = rng.one_in(3);
  auto hit = [&] { return whole || rng.percent(30); };
  p.down = true;
  if (hit()) p.platform.set_health({.accepts_builders = false, .disk_full = rng.one_in(3), .problem = "it is away"});
  if (hit()) p.platform.fail_launch(error);
  if (hit()) p.platform.fail_list(error);
  if (hit()) p.platform.fail_stop(error);
  if (hit()) p.platform.fail_prepare(error);
  p.silent = rng.one_in(6);
  bool reboots = rng.one_in(4), remains = rng.percent(50);
  Duration length = rng.spread(milliseconds(100), minutes(3));
  land_.note("platform {} fails{}{}{}", p.platform.name(), whole ? " wholly" : "", p.silent ? ", silently" : "",
             reboots ? " and its builders die" : "");
  if (reboots)
    for (const auto& b : p.fake.builders()) {
      land_.harmed.insert(b.id);
      remains ? p.fake.kill(b.id) : p.fake.vanish(b.id);
    }
  land_.agenda.at(land_.now() + length, [this, &p] {
    if (over_) return;
    land_.note("platform {} is back", p.platform.name());
    p.down = p.silent = false;
    p.platform.set_health({});
    p.platform.fail_launch({});
    p.platform.fail_list({});
    p.platform.fail_stop({});
    p.platform.fail_prepare({});
    p.excused += seconds(60);  // calls that hung or were to be tried again
  });
}

void Chaos::death() {
  Place& p = some_place();
  auto id = some_builder(p);
  if (!id) return;
  bool whole = land_.rng.percent(30);
  land_.note("builder {} dies{}", *id, whole ? " without a trace" : "");
  land_.harmed.insert(*id);
  whole ? p.fake.vanish(*id) : p.fake.kill(*id);
}

void Chaos::line_break() {
  Place& p = some_place();
  auto id = some_builder(p);
  if (!id) return;
  land_.note("the line to {} breaks", *id);
  land_.harmed.insert(*id);
  p.fake.break_line(*id);
}

void Chaos::fill_store() {
  if (store_.full) return;
  land_.note("the disk is full");
  store_.full = true;
  land_.agenda.at(land_.now() + land_.rng.spread(milliseconds(100), minutes(2)), [this] {
    if (!over_) land_.note("the disk has room again");
    store_.full = false;
  });
}

void Chaos::jump() {
  Duration by = land_.rng.spread(milliseconds(100), minutes(10));
  // Not to before 1970: no computer's clock says that, and a time of 0 means "never" in the store.
  if (land_.rng.percent(50) && land_.daemon_clock.now() - by > Time(minutes(1))) {
    by = -by;
    land_.jumped_back -= by;
    land_.excuse(-by);  // whatever the daemon waits for by its clock comes that much later
  }
  land_.note("the daemon's clock jumps by {}", format_duration(by));
  land_.daemon_clock.offset += by;
  land_.jumped = true;
}

void Chaos::remove_image() {
  Place& p = some_place();
  auto image = land_.rng.percent(50) ? "image-" + std::to_string(land_.rng.between(0, 2))
                                     : version_reference(land_.rng.between(0, version_references - 1));
  land_.note("{} is removed from {}", image, p.platform.name());
  p.platform.remove_image(image);
  land_.agenda.at(land_.now() + land_.rng.spread(seconds(1), minutes(2)),
                  [&p, image] { p.platform.restore_image(image); });
}

// Between two daemons somebody edits the configuration.
void Chaos::change_config() {
  if (!land_.faults.config_changes || land_.rng.percent(50)) return;
  Rng& rng = land_.rng;
  land_.config = original_;
  for (auto& [name, pool] : land_.config.pools) {
    if (rng.percent(30)) pool.max = rng.between(1, 6);
    if (rng.percent(30)) pool.warm = rng.between(0, std::min(2, pool.max));
    pool.warm = std::min(pool.warm, pool.max);
    if (rng.percent(20)) pool.image = "image-" + std::to_string(rng.between(0, 2));
    if (rng.percent(20)) pool.limits.timeout = rng.spread(seconds(5), minutes(5));
  }
  for (auto& [name, shared] : land_.config.platforms) {
    if (rng.percent(30)) shared.max = rng.between(0, 6);
    if (rng.percent(30)) shared.launches_per_minute = rng.between(0, 30);
  }
  for (auto& [name, pool] : land_.config.pools)
    if (rng.percent(20) && !pool.labels.empty()) pool.labels.pop_back();
  if (rng.percent(40)) land_.config.pools.erase(land_.config.pools.begin());
  land_.note("the configuration has changed");
}

}  // namespace mayfly::sim
