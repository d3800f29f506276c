// Reads a trace. A million lines are usual, so each is taken apart without copying it.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "base/text.h"
#include "simulate/workload.h"

namespace mayfly::simulate {
namespace {

constexpr std::size_t max_errors = 20;
constexpr std::size_t max_jobs = 20'000'000;
constexpr std::size_t max_names = 10'000;
constexpr double longest = 100.0 * 366 * 86400;  // seconds: more is a typing error

enum Column { submitted, duration, pool, labels, submitter, priority, columns };
constexpr std::array<std::string_view, columns> column_names{"submitted", "duration",  "pool",
                                                             "labels",    "submitter", "priority"};

std::optional<double> number_of(std::string_view text) {
  double n = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n, std::chars_format::fixed);
  if (text.empty() || ec != std::errc() || end != text.data() + text.size() || !std::isfinite(n)) return std::nullopt;
  return n;
}

// "2026-01-05T09:30:00.250+01:00", piece by piece.
class Rfc3339 {
 public:
  explicit Rfc3339(std::string_view text) : rest_(text) {}

  std::optional<Time> time() {
    auto y = digits(4), mo = after('-', 2), d = after('-', 2);
    if (rest_.empty() || (rest_[0] != 'T' && rest_[0] != 't' && rest_[0] != ' ')) return std::nullopt;
    rest_.remove_prefix(1);
    auto h = digits(2), mi = after(':', 2), s = after(':', 2);
    Duration part = fraction();
    auto shift = zone();
    std::chrono::year_month_day day{std::chrono::year(y), std::chrono::month(static_cast<unsigned>(mo)),
                                    std::chrono::day(static_cast<unsigned>(d))};
    if (!good_ || !shift || !rest_.empty() || !day.ok() || h > 23 || mi > 59 || s > 60) return std::nullopt;
    return std::chrono::sys_days(day) + std::chrono::hours(h) + std::chrono::minutes(mi) + seconds(s) + part - *shift;
  }

 private:
  int digits(std::size_t n) {
    int value = 0;
    if (rest_.size() < n) return good_ = false, 0;
    for (char c : rest_.substr(0, n)) {
      if (c < '0' || c > '9') return good_ = false, 0;
      value = value * 10 + (c - '0');
    }
    rest_.remove_prefix(n);
    return value;
  }
  int after(char separator, std::size_t n) {
    if (!rest_.starts_with(separator)) return good_ = false, 0;
    rest_.remove_prefix(1);
    return digits(n);
  }
  Duration fraction() {
    if (!rest_.starts_with('.')) return {};
    auto end = std::min(rest_.find_first_not_of("0123456789", 1), rest_.size());
    auto value = number_of("0" + std::string(rest_.substr(0, end)));
    rest_.remove_prefix(end);
    if (!value || end < 2) return good_ = false, Duration();
    return Duration(static_cast<std::int64_t>(*value * 1e6));
  }
  std::optional<Duration> zone() {
    if (rest_ == "Z" || rest_ == "z") return rest_ = {}, Duration();
    if (rest_.empty() || (rest_[0] != '+' && rest_[0] != '-')) return std::nullopt;
    int sign = rest_[0] == '-' ? -1 : 1;
    rest_.remove_prefix(1);
    int h = digits(2), m = after(':', 2);
    if (h > 23 || m > 59) return std::nullopt;
    return sign * (std::chrono::hours(h) + std::chrono::minutes(m));
  }

  std::string_view rest_;
  bool good_ = true;
};

std::string_view next_line(std::string_view& rest) {
  auto end = rest.find('\n');
  auto line = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

class Reader {
 public:
  Reader(const std::string& filename, const PoolName& fallback) : filename_(filename), fallback_(fallback) {}

  Result<Workload> read(std::string_view rest) {
    if (rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);  // what spreadsheets put in front
    auto heading = next_line(rest);
    MAYFLY_TRY(header(heading));
    work_.jobs.reserve(std::min(rest.size() / 16, max_jobs));
    while (!rest.empty() && errors_.size() < max_errors) {
      ++line_;
      auto text = next_line(rest);
      if (!trim(text).empty()) job(text);
      if (work_.jobs.size() > max_jobs)
        return fail(ErrorCode::invalid, fmt::format("more than {} jobs", max_jobs), filename_,
                    "Simulate a part of it.");
    }
    if (!errors_.empty()) return fail(ErrorCode::invalid, join(errors_, "\n"));
    if (work_.jobs.empty())
      return fail(ErrorCode::invalid, "there is no job in it", filename_, "Each line after the header is one.");
    work_.sort();
    return std::move(work_);
  }

 private:
  Result<void> header(std::string_view text) {
    where_.fill(npos);
    auto names = split(text, ',');
    for (std::size_t i = 0; i < names.size(); ++i) {
      auto name = trim(names[i]);
      auto known = std::find(column_names.begin(), column_names.end(), name);
      if (known == column_names.end()) continue;  // a trace may say more than a simulation needs
      auto& place = where_[static_cast<std::size_t>(known - column_names.begin())];
      if (place != npos) return bad_header(fmt::format("the column '{}' is there twice", name));
      place = i;
    }
    for (auto needed : {submitted, duration})
      if (where_[needed] == npos)
        return bad_header(fmt::format("the header names no column '{}'", column_names[needed]));
    return {};
  }
  Unexpected bad_header(std::string what) const {
    return fail(ErrorCode::invalid, std::move(what), filename_ + ":1",
                "A trace begins with `submitted,duration,pool` or `submitted,duration,labels`, and perhaps "
                "`,submitter,priority`.");
  }

  void error(std::string what) { errors_.push_back(fmt::format("{}:{}: {}", filename_, line_, what)); }

  void job(std::string_view text) {
    std::array<std::string_view, columns> cells{};
    std::size_t at = 0;
    for (std::size_t from = 0; from <= text.size(); ++at) {
      auto end = end_of_cell(text, from);
      for (std::size_t c = 0; c < columns; ++c)
        if (where_[c] == at) cells[c] = trim(text.substr(from, end - from));
      from = end + 1;
    }
    if (cells[submitted].empty() || cells[duration].empty())
      return error(fmt::format("there is no '{}'", column_names[cells[submitted].empty() ? submitted : duration]));
    Arrival a;
    auto when = time_of(cells[submitted]);
    if (!when) return error(fmt::format("'{}' is no time: write 2026-01-05T09:30:00Z, or seconds", cells[submitted]));
    auto takes = duration_of(cells[duration]);
    if (!takes) return error(fmt::format("'{}' is no duration: write 90s or 5m, or seconds", cells[duration]));
    auto urgent = cells[priority].empty() ? std::optional(0.0) : number_of(cells[priority]);
    if (!urgent || std::fabs(*urgent) > 1000 || std::floor(*urgent) != *urgent)
      return error(fmt::format("'{}' is no priority: a whole number from -1000 to 1000", cells[priority]));
    auto wanted = demand(cells);
    if (!wanted) return error(wanted.error().what);
    a.submitted = *when, a.duration = *takes, a.priority = static_cast<int>(*urgent);
    a.demand = *wanted, a.submitter = work_.submitter(cells[submitter]);
    if (work_.demands.size() > max_names || work_.submitters.size() > max_names)
      return error(fmt::format("more than {} different pools, labels or submitters", max_names));
    work_.jobs.push_back(a);
  }

  static std::size_t end_of_cell(std::string_view text, std::size_t from) {
    auto first = text.find_first_not_of(" \t", from);
    if (first != npos && text[first] == '"')
      if (auto close = text.find('"', first + 1); close != npos) from = close;
    return std::min(text.find(',', from), text.size());
  }

  // Most lines ask for what one shortly before asked for.
  Result<std::uint32_t> demand(const std::array<std::string_view, columns>& cells) {
    auto asked = std::pair(cells[pool], cells[labels]);
    auto known = std::find_if(asked_.rbegin(), asked_.rend(), [&](const auto& k) { return k.first == asked; });
    if (known != asked_.rend()) return known->second;
    Demand d;
    d.where = fmt::format("{}:{}", filename_, line_);
    MAYFLY_ASSIGN(d.labels, labels_of(cells[labels]));
    if (!cells[pool].empty() && !d.labels.empty())
      return fail(ErrorCode::invalid, "it names a pool and labels; give one of them");
    if (d.labels.empty()) d.pool = cells[pool].empty() ? std::string_view(fallback_) : cells[pool];
    if (d.pool.empty() && d.labels.empty())
      return fail(ErrorCode::invalid, "it names no pool, and there is none to take instead; name one with --pool");
    asked_.emplace_back(asked, work_.demand(d));
    return asked_.back().second;
  }
  static Result<std::vector<std::string>> labels_of(std::string_view text) {
    if (text.starts_with('"')) {
      if (text.size() < 2 || !text.ends_with('"'))
        return fail(ErrorCode::invalid, fmt::format("{} does not end with a quote", text));
      text = text.substr(1, text.size() - 2);
    }
    std::vector<std::string> out;
    constexpr std::string_view between = " \t,;";
    for (std::size_t at = 0; (at = text.find_first_not_of(between, at)) != npos;) {
      auto end = std::min(text.find_first_of(between, at), text.size());
      out.emplace_back(text.substr(at, end - at));
      at = end;
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  }

  static std::optional<Time> time_of(std::string_view text) {
    if (auto s = number_of(text)) {
      if (*s < 0 || *s > longest) return std::nullopt;
      return trace_epoch() + Duration(std::llround(*s * 1e6));
    }
    auto t = Rfc3339(text).time();
    return t && *t >= trace_epoch() - std::chrono::years(50) ? t : std::nullopt;  // a zero is a broken clock
  }
  static std::optional<Duration> duration_of(std::string_view text) {
    auto s = number_of(text);
    if (s && (*s < 0 || *s > longest)) return std::nullopt;
    if (s) return Duration(std::llround(*s * 1e6));
    auto d = parse_duration(text);
    return d ? std::optional(*d) : std::nullopt;
  }

  static constexpr std::size_t npos = static_cast<std::size_t>(-1);
  const std::string& filename_;
  const PoolName& fallback_;
  std::array<std::size_t, columns> where_{};
  std::size_t line_ = 1;
  std::vector<std::pair<std::pair<std::string_view, std::string_view>, std::uint32_t>> asked_;  // cells in the text
  std::vector<std::string> errors_;
  Workload work_;
};

}  // namespace

Result<Workload> parse_trace(std::string_view text, const std::string& filename, const PoolName& fallback) {
  return Reader(filename, fallback).read(text);
}

}  // namespace mayfly::simulate
