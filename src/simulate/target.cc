#include "simulate/target.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "base/text.h"
#include "simulate/routing.h"

namespace mayfly::simulate {
namespace {

constexpr int most_builders = 100'000;  // as the configuration allows

class Finder {
 public:
  Finder(const Config& config, const Workload& workload, const Settings& settings, const Target& target)
      : config_(config), all_(workload), settings_(settings), target_(target) {}

  Result<Found> run() {
    Found found{.met = true, .config = config_, .outcome = {}, .simulations = 0};
    MAYFLY_ASSIGN(auto routes, route(config_, all_));
    for (const auto& group : groups(routes)) {
      take(group, routes);
      MAYFLY_ASSIGN(auto good, search(group));
      for (const auto& name : group) found.config.pools.at(name) = one_.pools.at(name);
      found.met = found.met && good;
    }
    MAYFLY_ASSIGN(found.outcome, simulate(found.config, all_, settings_));
    found.met = found.met && target_.met(found.outcome);
    found.simulations = simulations_ + 1;
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
    for (const auto& name : group) one_.pools[name] = config_.pools.at(name);
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
  std::map<PoolName, int> peaks_;
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
