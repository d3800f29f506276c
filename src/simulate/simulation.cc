#include "simulate/simulation.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "control/core.h"
#include "simulate/backlog.h"
#include "simulate/routing.h"
#include "simulate/world.h"

namespace mayfly::simulate {
namespace {

constexpr Duration warm_up = std::chrono::hours(1);  // more than any builder takes to start
constexpr int most_idle_rounds = 1'000'000;          // of control at one instant: more is a loop without end
constexpr std::size_t most_shown = 60'000;  // where submitters share a pool; control takes no more than 100,000
constexpr std::size_t reasons = 64;

class Run final : WorldWatcher {
 public:
  // `routes`: by the workload's demands, the pools that could take such a job.
  Run(const Config& config, const Workload& workload, const std::vector<std::vector<PoolName>>& routes,
      const Settings& settings)
      : workload_(workload),
        settings_(settings),
        config_(config),
        backlog_(workload, windows(routes)),
        ran_in_(workload.jobs.size()),
        wait_(workload.jobs.size()),
        world_(clock_, settings.start, settings.resolution, has_warm(), *this) {
    for (const auto& [name, spec] : config_.pools) {
      auto& pool = pools_[name].outcome;
      pool.name = name, pool.warm = spec.warm, pool.max = spec.max, pool.price = spec.price;
      if (!platforms_.contains(spec.platform))
        platforms_.emplace(spec.platform, std::make_unique<SimPlatform>(spec.platform, settings.launches));
    }
  }

  Result<Outcome> run();

 private:
  struct Pool {
    PoolOutcome outcome;
    int exist = 0;
  };

  std::vector<std::size_t> windows(const std::vector<std::vector<PoolName>>& routes) const;
  bool has_warm() const {
    return std::any_of(config_.pools.begin(), config_.pools.end(), [](const auto& p) {
      return p.second.warm > 0 || p.second.min > 0 || !p.second.schedule.empty();
    });
  }

  void make_core();
  Result<void> settle_warm();
  Result<void> live();
  bool submit_due();
  void submit(std::uint32_t job);
  void count_reasons(const plan::Plan& plan);
  void pass(Time until);
  std::optional<Time> next_instant() const;
  Time arrival(std::size_t i) const;
  Outcome finish();

  // WorldWatcher
  void builder_requested(const PoolName& pool) override;
  void builder_gone(const PoolName& pool, Time requested) override;
  Duration job_started(JobId job, const PoolName& pool, Duration timeout) override;
  void job_ended(JobId job, bool timed_out) override;
  bool somebody_waits() const override { return queued_ > 0; }
  void lived(Pool& pool, Time requested);

  const Workload& workload_;
  const Settings& settings_;
  const Config& config_;
  Backlog backlog_;
  std::vector<PoolOutcome*> ran_in_;  // by job; null: it did not start
  std::vector<Duration> wait_;        // by job
  SimClock clock_;
  World world_;
  std::map<std::string, std::unique_ptr<SimPlatform>> platforms_;
  SimStore store_;
  SimSecrets secrets_;
  SimImages images_;
  Log log_{LogLevel::error};
  std::unique_ptr<Core> core_;

  Outcome out_;
  std::map<PoolName, Pool> pools_;
  std::vector<std::uint32_t> job_of_;  // by control's id, from 1 on
  std::vector<std::uint32_t> to_show_;
  std::size_t next_arrival_ = 0, ended_ = 0;
  int exist_ = 0, busy_ = 0, queued_ = 0;
  std::uint32_t plans_ = 0;
  std::vector<std::pair<std::uint32_t, ReasonCode>> waits_for_;  // by control's id: the last plan that left it waiting
  std::array<std::int64_t, reasons> waiting_{};                  // queued jobs by reason, as of the last plan
  std::array<double, reasons> waited_{};                         // microseconds × jobs
  std::optional<Error> refused_;
};

std::vector<std::size_t> Run::windows(const std::vector<std::vector<PoolName>>& routes) const {
  std::vector<std::set<std::pair<std::uint32_t, int>>> lines(routes.size());
  std::vector<std::set<std::uint32_t>> submitters(routes.size());
  std::size_t all_lines = 0;
  for (const auto& j : workload_.jobs) {
    all_lines += lines[j.demand].insert({j.submitter, j.priority}).second;
    submitters[j.demand].insert(j.submitter);
  }
  std::map<PoolName, std::size_t> turns;  // submitters with a demand that a pool serves
  for (std::size_t d = 0; d < routes.size(); ++d)
    for (const auto& pool : routes[d]) turns[pool] += submitters[d].size();
  std::vector<std::size_t> w;
  for (const auto& pools : routes) {
    std::size_t window = 1;  // the last one tells what those behind it wait for
    bool shared = false;
    for (const auto& name : pools) {
      const auto& pool = config_.pools.at(name);
      int most = pool.max;
      for (const auto& entry : pool.schedule) most = std::max(most, entry.max.value_or(0));
      window += static_cast<std::size_t>(most);
      shared = shared || turns[name] > 1;
    }
    w.push_back(shared ? std::max(window, most_shown / all_lines) : window);
  }
  return w;
}

void Run::make_core() {
  std::vector<Platform*> platforms;
  for (const auto& [name, p] : platforms_) platforms.push_back(p.get());
  ControlParts parts{clock_, log_, store_, secrets_, images_, platforms, {}, {}, config_};
  parts.config.keep_jobs = std::chrono::hours(24 * 3650);
  // Which version a job runs on changes neither how long it waits nor what it costs.
  for (auto& [name, pool] : parts.config.pools)
    if (versioned_image(pool, parts.config.images)) pool.image = "simulated/" + name;
  // However long a start takes here, none is stuck.
  parts.patience.start = std::max(parts.patience.start, 2 * settings_.start);
  parts.on_plan = [this](const plan::Plan& plan) { count_reasons(plan); };
  core_ = std::make_unique<Core>(std::move(parts), world_, world_);
  world_.set_sink([this](AgentEvent e) { core_->on_agent(e); });
}

// Arrivals on the grid: many of them share an instant, and so a step.
Time Run::arrival(std::size_t i) const {
  Time t = workload_.jobs[i].submitted;
  if (settings_.resolution <= Duration::zero()) return t;
  auto since = t - out_.begin;
  return out_.begin + (since + settings_.resolution - Duration(1)) / settings_.resolution * settings_.resolution;
}

void Run::builder_requested(const PoolName& name) {
  Pool& p = pools_.at(name);
  ++p.outcome.builders;
  p.outcome.most_builders = std::max(p.outcome.most_builders, ++p.exist);
  out_.most_builders = std::max(out_.most_builders, ++exist_);
}

void Run::lived(Pool& p, Time requested) {
  auto from = std::max(requested, out_.begin);
  if (clock_.now() > from) p.outcome.builder_time += clock_.now() - from;
}

void Run::builder_gone(const PoolName& name, Time requested) {
  Pool& p = pools_.at(name);
  --p.exist, --exist_;
  lived(p, requested);
}

Duration Run::job_started(JobId id, const PoolName& name, Duration timeout) {
  auto job = job_of_[id - 1];
  auto& pool = pools_.at(name).outcome;
  ran_in_[job] = &pool;
  ++pool.jobs;
  pool.busy_time += std::min(workload_.jobs[job].duration, timeout);
  wait_[job] = clock_.now() - arrival(job);
  ++busy_, --queued_;
  std::uint32_t next = 0;
  if (backlog_.handed_out(job, next)) to_show_.push_back(next);
  return workload_.jobs[job].duration;
}

void Run::job_ended(JobId, bool timed_out) {
  --busy_, ++ended_;
  out_.timed_out += timed_out;
}

void Run::submit(std::uint32_t job) {
  const Arrival& a = workload_.jobs[job];
  JobSpec spec = spec_of(workload_.demands[a.demand]);
  spec.command = {"x"};
  spec.priority = a.priority;
  spec.submitter = workload_.submitters[a.submitter];
  job_of_.push_back(job);  // control numbers jobs from 1 on, in the order in which it is asked
  backlog_.line(job).last = job_of_.size();
  core_->submit(std::move(spec), {}, [this](Result<Job> j) {
    if (!j && !refused_) refused_ = j.error();
  });
}

bool Run::submit_due() {
  auto before = job_of_.size();
  for (auto job : std::exchange(to_show_, {})) submit(job);
  for (; next_arrival_ < workload_.jobs.size() && arrival(next_arrival_) <= clock_.now(); ++next_arrival_) {
    auto job = static_cast<std::uint32_t>(next_arrival_);
    ++queued_;
    if (backlog_.arrived(job)) submit(job);
  }
  out_.most_queued = std::max(out_.most_queued, queued_);
  return job_of_.size() > before;
}

void Run::count_reasons(const plan::Plan& plan) {
  waiting_.fill(0);
  for (const auto& wait : plan.waits) ++waiting_[static_cast<std::size_t>(wait.code) % reasons];
  if (backlog_.hidden() == 0) return;
  ++plans_;
  waits_for_.resize(job_of_.size() + 1);
  for (const auto& wait : plan.waits) waits_for_[wait.job] = {plans_, wait.code};
  // Those that control does not see wait for what the last one of their line waits for.
  backlog_.each_line([&](const Backlog::Line& l) {
    if (l.hidden.empty()) return;
    auto [told, code] = waits_for_[l.last];
    if (told != plans_) code = ReasonCode::behind_others;
    waiting_[static_cast<std::size_t>(code) % reasons] += static_cast<std::int64_t>(l.hidden.size());
  });
}

void Run::pass(Time until) {
  auto from = clock_.now() - out_.begin, to = until - out_.begin;
  out_.builders.add(from, to, exist_);
  out_.busy.add(from, to, busy_);
  out_.queued.add(from, to, queued_);
  auto d = static_cast<double>((to - from).count());
  for (std::size_t i = 0; i < reasons; ++i)
    if (waiting_[i] > 0) waited_[i] += d * static_cast<double>(waiting_[i]);
  clock_.set(until);
}

std::optional<Time> Run::next_instant() const {
  auto next = world_.next_due();
  auto earlier = [&](Time t) {
    if (!next || t < *next) next = t;
  };
  if (auto wake = core_->wake()) earlier(*wake);
  if (next_arrival_ < workload_.jobs.size()) earlier(arrival(next_arrival_));
  return next;
}

// Warm builders are there before the first job comes, as they would be on any other day.
Result<void> Run::settle_warm() {
  clock_.set(out_.begin - warm_up);
  MAYFLY_TRY(core_->recover());
  for (int round = 0; round < most_idle_rounds; ++round) {
    world_.deliver_kept();
    core_->step();
    if (world_.deliver()) continue;
    auto next = world_.next_due();
    if (auto wake = core_->wake(); wake && (!next || *wake < *next)) next = wake;
    if (!next || *next >= out_.begin) break;
    clock_.set(std::max(*next, clock_.now()));
  }
  for (auto& [name, p] : pools_) p.outcome.most_builders = p.exist;
  out_.most_builders = exist_;
  clock_.set(out_.begin);
  return {};
}

Result<void> Run::live() {
  for (int idle = 0; ended_ < workload_.jobs.size();) {
    bool happened = world_.deliver();
    happened = submit_due() || happened;
    if (refused_) return Unexpected(*refused_);
    auto wake = core_->wake();
    if (happened || (wake && *wake <= clock_.now())) {
      world_.deliver_kept();
      core_->step();
      ++out_.steps;
      if (++idle < most_idle_rounds) continue;
    }
    if (ended_ == workload_.jobs.size()) break;
    auto next = next_instant();
    if (!next || *next <= clock_.now())
      return fail(ErrorCode::internal, fmt::format("the simulation stands still at {}", format_time(clock_.now())), {},
                  "This is a bug in Mayfly: please report it, with the trace and the configuration.");
    idle = 0;
    pass(*next);
  }
  return {};
}

Outcome Run::finish() {
  out_.end = clock_.now();
  world_.each_builder([&](const PoolName& name, Time requested) { lived(pools_.at(name), requested); });
  out_.jobs = workload_.jobs.size();
  for (std::size_t i = 0; i < wait_.size(); ++i) {
    if (!ran_in_[i]) {
      ++out_.failed;
      continue;
    }
    out_.waits.push_back(wait_[i]);
    ran_in_[i]->waits.push_back(wait_[i]);
  }
  std::sort(out_.waits.begin(), out_.waits.end());
  for (auto& [name, p] : pools_) {
    std::sort(p.outcome.waits.begin(), p.outcome.waits.end());
    if (p.outcome.jobs > 0 || p.outcome.builders > 0) out_.pools.push_back(std::move(p.outcome));
  }
  for (std::size_t i = 0; i < reasons; ++i)
    if (waited_[i] >= 1) out_.waited[static_cast<ReasonCode>(i)] = Duration(std::llround(waited_[i]));
  out_.resolution = settings_.resolution;
  return std::move(out_);
}

Result<Outcome> Run::run() {
  out_.begin = workload_.jobs.front().submitted;
  make_core();
  MAYFLY_TRY(settle_warm());
  MAYFLY_TRY(live());
  return finish();
}

}  // namespace

Duration Outcome::builder_time() const {
  Duration sum{};
  for (const auto& p : pools) sum += p.builder_time;
  return sum;
}

double Outcome::cost() const {
  double sum = 0;
  for (const auto& p : pools) sum += p.cost();
  return sum;
}

Duration quantile(const std::vector<Duration>& sorted, double share) {
  if (sorted.empty()) return {};
  auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size()) - 1e-9));
  return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

// A step of control looks at every builder and every job that it knows. What that costs was measured
// (docs/capacity.md); only the order of magnitude matters here, and no clock is asked, so that the same input gives the
// same outcome.
Duration fitting_resolution(const Config& config, const Workload& workload) {
  if (workload.jobs.empty()) return {};
  double work = 0, most = 0, jobs = static_cast<double>(workload.jobs.size());
  for (const auto& j : workload.jobs) work += std::chrono::duration<double>(j.duration).count();
  auto routes = route(config, workload);
  if (!routes) return {};
  std::set<PoolName> pools;
  for (const auto& names : *routes) pools.insert(names.begin(), names.end());
  for (const auto& name : pools) most += config.pools.at(name).max;
  auto arrivals = workload.jobs.back().submitted - workload.jobs.front().submitted;
  double span = std::max(1.0, std::chrono::duration<double>(arrivals).count());
  bool full = work / span > 0.9 * most;  // then jobs wait, and are looked at as well
  double builders = full ? most : work / span;
  double step = full ? 2e-6 + 0.13e-6 * builders + 0.4e-6 * most : 0.2e-6 + 0.01e-6 * builders;
  double steps = jobs * (full ? 5 : 2.5);
  constexpr double budget = 20, per_job = 12e-6;  // seconds
  if (jobs * per_job + steps * step <= budget) return {};
  double affordable = std::max(5.0, budget - jobs * per_job) / step;
  double total = std::max(span, work / std::max(1.0, most));
  double grid = 4 * total / affordable;
  for (int s : {1, 2, 5, 10, 15, 30, 60, 120, 300, 600})
    if (grid <= s) return seconds(s);
  return std::chrono::minutes(15);
}

Result<Outcome> simulate(const Config& config, const Workload& workload, const Settings& settings) {
  if (workload.jobs.empty()) return fail(ErrorCode::invalid, "there are no jobs to simulate");
  MAYFLY_ASSIGN(auto routes, route(config, workload));
  return Run(config, workload, routes, settings).run();
}

}  // namespace mayfly::simulate
