// simulation --seed N [--loud] | --seeds A..B | --for 10m   [--mutation NAME] [--keep-going]
// Simulates seeds; a seed that breaks an invariant is told with its last events, and the exit code is 1.
#include <charconv>
#include <chrono>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "tests/simulation/simulation.h"

namespace mayfly::sim {
namespace {

struct Options {
  Order order;
  std::uint64_t first = 1, last = 0;
  std::chrono::seconds time{0};  // 0: not limited
  bool keep_going = false;
};

bool number(std::string_view text, std::uint64_t& to) {
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), to);
  return ec == std::errc() && end == text.data() + text.size();
}

bool duration(std::string_view text, std::chrono::seconds& to) {
  std::uint64_t n = 0;
  if (text.empty() || !number(text.substr(0, text.size() - 1), n)) return false;
  int unit = text.back() == 's' ? 1 : text.back() == 'm' ? 60 : text.back() == 'h' ? 3600 : 0;
  to = std::chrono::seconds(n * static_cast<std::uint64_t>(unit));
  return to.count() > 0;
}

bool range(std::string_view text, Options& o) {
  auto dots = text.find("..");
  return dots != text.npos && number(text.substr(0, dots), o.first) && number(text.substr(dots + 2), o.last) &&
         o.first <= o.last;
}

bool parse(int argc, char** argv, Options& o) {
  for (int i = 1; i < argc; ++i) {
    std::string_view flag = argv[i];
    if (flag == "--loud") {
      o.order.loud = true;
      continue;
    }
    if (flag == "--keep-going") {
      o.keep_going = true;
      continue;
    }
    if (++i == argc) return false;
    std::string_view value = argv[i];
    if (flag == "--seed" && number(value, o.first))
      o.last = o.first;
    else if (flag == "--seeds" && range(value, o)) {
    } else if (flag == "--for" && duration(value, o.time))
      o.last = o.last == 0 ? UINT64_MAX : o.last;
    else if (flag == "--from" && number(value, o.first)) {
    } else if (auto m = mutation_named(value); flag == "--mutation" && m)
      o.order.mutation = *m;
    else
      return false;
  }
  return o.last >= o.first;
}

int run(Options o) {
  auto begin = std::chrono::steady_clock::now();
  std::uint64_t seeds = 0, failed = 0, steps = 0, jobs = 0, kills = 0, hash = 0;
  for (auto seed = o.first; seed <= o.last; ++seed) {
    if (o.time.count() > 0 && std::chrono::steady_clock::now() - begin >= o.time) break;
    o.order.seed = seed;
    auto outcome = simulate(o.order);
    ++seeds, steps += outcome.steps, jobs += outcome.jobs, kills += outcome.kills;
    hash = outcome.hash;
    if (outcome.ok) continue;
    ++failed;
    if (o.keep_going)
      fmt::print("seed {}: {}: {}\n", seed, outcome.invariant, outcome.what);
    else
      fmt::print("{}\n", report(o.order, outcome));
    std::fflush(stdout);
    if (!o.keep_going) break;
  }
  double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  fmt::print("{} seeds, {} failed: {} jobs, {} steps, {} kills of the daemon in {:.1f} s ({:.0f} seeds a minute)\n",
             seeds, failed, jobs, steps, kills, s, static_cast<double>(seeds) * 60 / s);
  if (seeds == 1) fmt::print("trace {:016x}\n", hash);
  return failed > 0 ? 1 : 0;
}

}  // namespace
}  // namespace mayfly::sim

int main(int argc, char** argv) {
  mayfly::sim::Options options;
  if (!mayfly::sim::parse(argc, argv, options)) {
    fmt::print(
        stderr,
        "simulation --seed N [--loud] | --seeds A..B | --for 10m [--from N]  [--mutation NAME] [--keep-going]\n");
    return 2;
  }
  return mayfly::sim::run(options);
}
