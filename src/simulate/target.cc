#include "simulate/target.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "base/text.h"
#include "simulate/routing.h"
#include "simulate/windows.h"

namespace mayfly::simulate {
namespace {

constexpr int most_builders = 100'000;                   // as the configuration allows
constexpr Duration least_span = std::chrono::hours(48);  // below, nobody knows what repeats
constexpr double worth = 0.98;                           // of what it costs otherwise: less is no reason for a schedule

// What it is in is up to the prices; without any, builder-hours.
double cost_of(const Outcome& o) {
  double cost = o.cost();
  return cost > 0 ? cost : std::chrono::duration<double, std::ratio<3600>>(o.builder_time()).count();
}

std::string timezone_of(const PoolSpec& pool) {
  return pool.schedule.empty() ? ScheduleEntry().timezone : pool.schedule.front().timezone;
}

// Without what it says of the numbers, which are to be found.
std::vector<ScheduleEntry> refreshes_of(const PoolSpec& pool) {
  auto out = pool.schedule;
  std::erase_if(out, [](const auto& e) { return !e.refresh; });
  for (auto& e : out) e.warm.reset(), e.min.reset(), e.max.reset();
  return out;
}

class Finder {
 public:
  Finder(const Config& config, const Workload& workload, const Settings& settings, const Target& target)
      : config_(config), all_(workload), settings_(settings), target_(target) {}

  Result<Found> run() {
    Found found{.met = true, .config = config_, .outcome = {}, .simulations = 0, .constant = {}};
    constant_ = config_;
    MAYFLY_ASSIGN(auto routes, route(config_, all_));
    for (const auto& group : groups(routes)) {
      take(group, routes);
      MAYFLY_ASSIGN(auto good, search(group));
      for (const auto& name : group) {
        found.config.pools.at(name) = one_.pools.at(name);
        auto& constant = constant_.pools.at(name) = one_.pools.at(name);
        if (auto warm = warm_at_all_hours_.find(name); warm != warm_at_all_hours_.end())
          constant.warm = warm->second, constant.schedule = refreshes_of(config_.pools.at(name));
      }
      found.met = found.met && good;
    }
    MAYFLY_ASSIGN(found.outcome, simulate(found.config, all_, settings_));
    found.met = found.met && target_.met(found.outcome);
    found.simulations = simulations_ + 1;
    if (warm_at_all_hours_.empty()) return found;
    ++found.simulations;
    MAYFLY_ASSIGN(found.constant, simulate(constant_, all_, settings_));
    return found;
  }

 private:
  using Group = std::vector<PoolName>;  // the dearest first

  // Pools that some jobs could choose between belong together, and with those that these compete with.
  std::vector<Group> groups(const std::vector<std::vector<PoolName>>& routes) const {
    std::vector<Group> out;
    for (const auto& names : routes) {
      std::set<PoolName> joined(names.begin(), names.end());
      std::erase_if(out, [&](const Group& g) {
        bool meets = std::any_of(g.begin(), g.end(), [&](const auto& n) { return joined.contains(n); });
        if (meets) joined.insert(g.begin(), g.end());
        return meets;
      });
      out.emplace_back(joined.begin(), joined.end());
    }
    for (auto& g : out)
      std::sort(g.begin(), g.end(), [&](const auto& a, const auto& b) {
        return std::pair(-config_.pools.at(a).price, a) < std::pair(-config_.pools.at(b).price, b);
      });
    return out;
  }

  // One group by itself: what the others do changes only whose launch comes first.
  void take(const Group& group, const std::vector<std::vector<PoolName>>& routes) {
    one_ = Config();
    one_.platforms = config_.platforms;
    for (const auto& name : group) {
      auto& spec = one_.pools[name] = config_.pools.at(name);
      spec.schedule = refreshes_of(spec);
    }
    work_ = Workload();
    work_.submitters = all_.submitters;
    std::vector<std::optional<std::uint32_t>> moved(routes.size());
    for (std::size_t d = 0; d < routes.size(); ++d)
      if (one_.pools.contains(routes[d].front())) moved[d] = work_.demand(all_.demands[d]);
    for (auto a : all_.jobs) {
      if (!moved[a.demand]) continue;
      a.demand = *moved[a.demand];
      work_.jobs.push_back(a);
    }
  }

  Result<bool> meets() {
    ++simulations_;
    MAYFLY_ASSIGN(auto o, simulate(one_, work_, settings_));
    peaks_.clear();
    for (const auto& p : o.pools) peaks_[p.name] = p.most_builders;
    cost_ = cost_of(o);
    return target_.met(o);
  }
  Result<bool> meets_with(int& value, int tried) {
    value = tried;
    return meets();
  }

  // The smallest value from `low` to `high` for which `good`; that it holds for `high` is known.
  template <class F>
  Result<int> least(int low, int high, F good) {
    while (low < high) {
      int middle = low + (high - low) / 2;
      MAYFLY_ASSIGN(bool is_good, good(middle));
      if (is_good)
        high = middle;
      else
        low = middle + 1;
    }
    return high;
  }

  // Warm builders in some hours only, where that does too and costs less. The last simulation was without.
  Result<void> schedule(PoolSpec& spec, int many) {
    if (spec.warm == 0 || work_.jobs.back().submitted - work_.jobs.front().submitted < least_span) return {};
    const int constant = spec.warm;
    const auto zone = timezone_of(config_.pools.at(spec.name));
    const auto otherwise = spec;
    auto best = spec;
    double least_cost = worth * cost_;
    for (const auto& window : busy_windows(work_.jobs, zone)) {
      auto good = [&](int warm) {
        const Duration lead = settings_.start * ((warm + settings_.launches - 1) / settings_.launches);
        spec.warm = 0, spec.schedule = otherwise.schedule;
        for (auto& e : entries_of(window, zone, warm, lead)) spec.schedule.push_back(std::move(e));
        return meets();
      };
      // The jobs outside may need more of those inside to be in time.
      int most = constant;
      MAYFLY_ASSIGN(bool fits, good(most));
      if (!fits) {
        most = std::min(2 * constant + 2, many);
        MAYFLY_ASSIGN(fits, good(most));
      }
      if (!fits) continue;
      MAYFLY_ASSIGN(int warm, least(1, most, good));
      MAYFLY_TRY(good(warm));
      if (cost_ < least_cost) best = spec, least_cost = cost_;
    }
    spec = best;
    if (spec != otherwise) warm_at_all_hours_[spec.name] = constant;
    MAYFLY_TRY(meets());
    return {};
  }

  // Of each pool of one_ `warm` and `max`, one after another, with the others as they were left.
  Result<bool> search(const Group& group) {
    int many = static_cast<int>(std::min<std::size_t>(work_.jobs.size(), most_builders));
    for (auto& [name, spec] : one_.pools) spec.warm = 0, spec.max = std::min(2 * many, most_builders);
    MAYFLY_ASSIGN(bool good, meets());
    if (!good) {
      for (auto& [name, spec] : one_.pools) spec.warm = std::clamp(peaks_[name], 1, many);
      MAYFLY_ASSIGN(bool with_all, meets());
      if (!with_all) {
        for (auto& [name, spec] : one_.pools) spec.max = std::max(1, peaks_[name]);
        return false;
      }
      for (const auto& name : group) {
        int& warm = one_.pools.at(name).warm;
        MAYFLY_ASSIGN(warm, least(group.size() == 1 ? 1 : 0, warm, [&](int w) { return meets_with(warm, w); }));
      }
      MAYFLY_TRY(meets());
      for (const auto& name : group) MAYFLY_TRY(schedule(one_.pools.at(name), many));
    }
    // As many as there were when nothing bounded them are enough.
    for (auto& [name, spec] : one_.pools) spec.max = std::max({1, spec.warm, peaks_[name]});
    for (const auto& name : group) {
      auto& spec = one_.pools.at(name);
      MAYFLY_ASSIGN(spec.max, least(std::max(spec.warm, 1), spec.max, [&](int m) { return meets_with(spec.max, m); }));
    }
    return true;
  }

  const Config& config_;
  const Workload& all_;
  const Settings& settings_;
  const Target& target_;
  Config one_;
  Workload work_;
  std::map<PoolName, int> peaks_;  // of the last simulation, as is
  double cost_ = 0;
  Config constant_;
  std::map<PoolName, int> warm_at_all_hours_;  // of pools that got a schedule instead
  int simulations_ = 0;
};

}  // namespace

Result<Target> parse_target(std::string_view text) {
  auto bad = [&](std::string next = {}) {
    return fail(ErrorCode::invalid, fmt::format("'{}' is no target", text), "--target",
                next.empty() ? "Write it as \"p95 wait <= 30s\" or \"max wait <= 5m\"." : next);
  };
  std::string spaced;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '<') {
      spaced += text[i];
      continue;
    }
    bool equal = i + 1 < text.size() && text[i + 1] == '=';
    spaced += equal ? " <= " : " < ";
    i += equal;
  }
  std::vector<std::string> words;
  for (auto& w : split(spaced, ' '))
    if (!w.empty()) words.push_back(w);
  if (words.size() != 4 || words[1] != "wait" || (words[2] != "<=" && words[2] != "<")) return bad();
  Target t;
  t.text = text;
  if (words[0] != "max") {
    double percent = 0;
    auto digits = std::string_view(words[0]).substr(1);
    auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), percent, std::chars_format::fixed);
    if (words[0][0] != 'p' || ec != std::errc() || end != digits.data() + digits.size()) return bad();
    if (!(percent > 0 && percent <= 100)) return bad("A percentile lies between p0 and p100.");
    t.share = percent / 100;
  }
  auto limit = parse_duration(words[3]);
  if (!limit) return bad(limit.error().text());
  t.limit = *limit;
  return t;
}

Result<Found> find_cheapest(const Config& config, const Workload& workload, const Settings& settings,
                            const Target& target) {
  return Finder(config, workload, settings, target).run();
}

}  // namespace mayfly::simulate
