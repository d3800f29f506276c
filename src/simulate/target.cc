#include "simulate/target.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/text.h"

namespace mayfly::simulate {
namespace {

constexpr int most_builders = 100'000;  // as the configuration allows

class Finder {
 public:
  Finder(const Config& config, const Workload& workload, const Settings& settings, const Target& target)
      : config_(config), all_(workload), settings_(settings), target_(target) {}

  Result<Found> run() {
    Found found{.met = true, .config = config_, .outcome = {}, .simulations = 0};
    for (const auto& name : all_.pools) {
      MAYFLY_TRY(take(name));
      auto& spec = found.config.pools.at(name);
      MAYFLY_ASSIGN(auto good, search(spec));
      found.met = found.met && good;
    }
    MAYFLY_ASSIGN(found.outcome, simulate(found.config, all_, settings_));
    found.met = found.met && target_.met(found.outcome);
    found.simulations = simulations_ + 1;
    return found;
  }

 private:
  // One pool by itself: what the others do changes only whose launch comes first.
  Result<void> take(const PoolName& name) {
    auto spec = config_.pools.find(name);
    if (spec == config_.pools.end())
      return fail(ErrorCode::not_found, fmt::format("there is no pool '{}' in the configuration", name));
    one_ = Config();
    one_.pools[name] = spec->second;
    work_ = Workload();
    work_.pools = {name};
    work_.submitters = all_.submitters;
    for (auto a : all_.jobs)
      if (all_.pools[a.pool] == name) a.pool = 0, work_.jobs.push_back(a);
    return {};
  }

  Result<bool> meets(int warm, int max) {
    auto& spec = one_.pools.begin()->second;
    spec.warm = warm, spec.max = max;
    ++simulations_;
    MAYFLY_ASSIGN(auto o, simulate(one_, work_, settings_));
    peak_ = o.most_builders;
    return target_.met(o);
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

  Result<bool> search(PoolSpec& spec) {
    int many = static_cast<int>(std::min<std::size_t>(work_.jobs.size(), most_builders));
    int warm = 0, room = std::min(2 * many, most_builders);
    MAYFLY_ASSIGN(bool without_warm, meets(0, room));
    int peak = peak_;
    if (!without_warm) {
      int ceiling = std::min(std::max(peak, 1), many);
      MAYFLY_ASSIGN(bool with_all, meets(ceiling, room));
      spec.warm = ceiling, spec.max = peak_;
      if (!with_all) return false;
      MAYFLY_ASSIGN(warm, least(1, ceiling, [&](int w) { return meets(w, room); }));
      MAYFLY_TRY(meets(warm, room));
      peak = peak_;
    }
    // As many as there were when nothing bounded them are enough.
    MAYFLY_ASSIGN(spec.max, least(std::max(warm, 1), std::max(peak, 1), [&](int m) { return meets(warm, m); }));
    spec.warm = warm;
    return true;
  }

  const Config& config_;
  const Workload& all_;
  const Settings& settings_;
  const Target& target_;
  Config one_;
  Workload work_;
  int peak_ = 0, simulations_ = 0;
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
