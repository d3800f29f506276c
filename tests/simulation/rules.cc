#include "tests/simulation/rules.h"

#include <algorithm>

#include <fmt/format.h>

namespace mayfly::sim {
namespace {

using std::chrono::minutes;

std::string lower(std::string s) {
  for (char& c : s)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return s;
}

bool matches(const Window& w, std::int64_t minute) {
  auto of_hour = ((minute % 60) + 60) % 60;
  return of_hour >= w.offset && (of_hour - w.offset) % w.every == 0;
}

// When its time came last: within the hour, for every window has a time in each.
Time last(const Window& w, Time t) {
  auto minute = std::chrono::floor<minutes>(t.time_since_epoch()).count();
  while (!matches(w, minute)) --minute;
  return Time(minutes(minute));
}

}  // namespace

std::string Window::cron() const { return fmt::format("{}-59/{} * * * *", offset, every); }

Numbers numbers_at(const PoolSpec& pool, const std::vector<Window>& windows, Time t) {
  Numbers n{pool.warm, pool.min, pool.max, {}};
  Time warm_at = Time::min(), min_at = warm_at, max_at = warm_at;
  auto take = [](int& number, Time& at, const std::optional<int>& value, Time when) {
    if (value && when >= at) number = *value, at = when;
  };
  for (const Window& w : windows) {
    Time when = last(w, t);
    take(n.warm, warm_at, w.says.warm, when);
    take(n.min, min_at, w.says.min, when);
    take(n.max, max_at, w.says.max, when);
    if (w.says.refresh) n.refresh = std::max(n.refresh, when);
  }
  return n;
}

bool serves(const PoolSpec& pool, const JobSpec& job) {
  auto has = [](const std::vector<std::string>& all, const std::string& one) {
    return std::any_of(all.begin(), all.end(), [&](const auto& x) { return lower(x) == lower(one); });
  };
  for (const auto& label : job.labels)
    if (!has(pool.labels, label)) return false;
  for (const auto& secret : job.secrets)
    if (!has(pool.secrets, secret)) return false;
  return job.timeout.value_or(Duration(0)) <= pool.limits.timeout;
}

bool preferred(const PoolSpec& a, const PoolSpec& b) {
  return a.preference != b.preference ? a.preference < b.preference : a.name < b.name;
}

bool Spent::take(int per_minute, Time now) {
  if (per_minute != per_minute_) per_minute_ = per_minute, tokens_ = per_minute, at_ = now;
  double passed = std::chrono::duration<double>(now - at_).count() / 60 * per_minute;
  tokens_ = std::min<double>(per_minute, tokens_ + passed) - 1;
  at_ = now;
  return tokens_ > -1e-6;
}

}  // namespace mayfly::sim
