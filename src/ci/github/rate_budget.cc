#include "ci/github/rate_budget.h"

#include <algorithm>
#include <charconv>
#include <ctime>

namespace mayfly::github {
namespace {

constexpr double most_burst = 500;             // a hundred jobs pushed at once must not be seen one by one
constexpr double usual_rate = 5000.0 / 3600;   // what a token or an App is allowed at the least
constexpr double kept_back = 0.1;              // of the limit, for what is urgent
constexpr Duration least_pause = seconds(60);  // after a refusal that names no time; doubled each further one
constexpr Duration most_pause = std::chrono::minutes(15);
constexpr Duration longest_named_pause = std::chrono::hours(2);  // a header is not trusted further

std::optional<std::int64_t> number(const RateBudget::Headers& headers, const char* name) {
  auto found = headers.find(name);
  if (found == headers.end()) return std::nullopt;
  const auto& text = found->second;
  std::int64_t value = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool whole = ec == std::errc() && end == text.data() + text.size() && !text.empty();
  constexpr std::int64_t sane = 1LL << 40;  // seconds since the epoch fit many times
  return whole && value >= 0 && value < sane ? std::optional(value) : std::nullopt;
}

}  // namespace

std::optional<Time> parse_http_date(const std::string& text) {
  std::tm tm{};
  const char* end = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &tm);
  if (!end || *end != 0) return std::nullopt;
  std::time_t t = ::timegm(&tm);
  if (t < 0) return std::nullopt;
  return Time(seconds(t));
}

double RateBudget::rate(Time now) const {
  if (!told(now)) return limit_ ? *limit_ / 3600 : usual_rate;
  double left = std::max(1.0, std::chrono::duration<double>(reset_ - now).count());
  return std::max(0.0, *remaining_ - kept_back * *limit_) / left;
}

double RateBudget::burst(Time now) const {
  return told(now) ? std::clamp(*remaining_ * kept_back, least_burst, most_burst) : least_burst;
}

void RateBudget::refill(Time now) {
  if (now < filled_ || filled_ == Time{}) filled_ = now;  // our clock was put back
  tokens_ = std::min(burst(now), tokens_ + rate(now) * std::chrono::duration<double>(now - filled_).count());
  filled_ = now;
}

std::optional<Time> RateBudget::paused_until(Time now) const {
  return pause_ > now ? std::optional(pause_) : std::nullopt;
}

Duration RateBudget::wait(Time now) {
  RateBudget tried = *this;
  return tried.admit(Urgency::routine, now);
}

Duration RateBudget::admit(Urgency urgency, Time now) {
  if (pause_ > now) return pause_ - now;
  bool renewed = !told(now);
  double spare = urgency == Urgency::urgent || renewed ? 0 : kept_back * *limit_;
  if (!renewed && *remaining_ < spare + 1) return reset_ - now;
  refill(now);
  if (urgency == Urgency::routine && tokens_ < 1) {
    double r = rate(now);
    auto until_reset = renewed ? Duration(seconds(60)) : reset_ - now;
    if (r <= 0) return until_reset;
    auto wait = std::chrono::ceil<Duration>(std::chrono::duration<double>((1 - tokens_) / r));
    return std::clamp<Duration>(wait, milliseconds(1), std::max<Duration>(until_reset, milliseconds(1)));
  }
  tokens_ = std::max(-least_burst, tokens_ - 1);
  if (!renewed) *remaining_ -= 1;
  return Duration(0);
}

void RateBudget::heard(int status, const Headers& headers, bool throttled, Time now) {
  if (auto date = headers.find("date"); date != headers.end())
    if (auto theirs = parse_http_date(date->second)) skew_ = *theirs - std::chrono::floor<seconds>(now);
  auto limit = number(headers, "x-ratelimit-limit"), remaining = number(headers, "x-ratelimit-remaining"),
       reset = number(headers, "x-ratelimit-reset");
  // Other resources (search, code scanning) have budgets of their own.
  auto resource = headers.find("x-ratelimit-resource");
  bool ours = resource == headers.end() || resource->second == "core";
  if (ours && limit && remaining && reset && *limit > 0) {
    bool first = !told(now);
    limit_ = static_cast<double>(*limit);
    remaining_ = static_cast<double>(std::min(*remaining, *limit));
    reset_ = std::min(Time(seconds(*reset)) - skew_, now + longest_named_pause);
    if (first) tokens_ = burst(now);
  }
  if (status == 304) tokens_ = std::min(burst(now), tokens_ + 1);
  if (status != 403 && status != 429) {
    pauses_ = 0;
    return;
  }
  if (auto after = number(headers, "retry-after")) {
    pause_ = now + std::min<Duration>(seconds(std::min<std::int64_t>(*after, 1'000'000)), longest_named_pause);
  } else if (ours && remaining == 0 && reset) {
    pause_ = std::max(now, reset_);
  } else if (status == 429 || throttled) {
    pause_ = now + std::min<Duration>(least_pause * (1 << std::min(pauses_++, 10)), most_pause);
  }
}

}  // namespace mayfly::github
