#include "simulate/report.h"

#include <algorithm>

#include <boost/json.hpp>

#include <fmt/format.h>

namespace mayfly::simulate {
namespace {

namespace json = boost::json;
using Rows = std::vector<std::vector<std::string>>;

using date_days = std::chrono::duration<std::int64_t, std::ratio<86400>>;
constexpr std::pair<std::string_view, double> quantiles[] = {{"p50", 0.50}, {"p95", 0.95}, {"p99", 0.99}, {"max", 1}};

std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

// The first column to the left, numbers to the right.
std::string aligned(const Rows& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (widths.size() <= i) widths.push_back(0);
      widths[i] = std::max(widths[i], width(row[i]));
    }
  std::string out;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      std::string pad(widths[i] - width(row[i]), ' ');
      out += i == 0 ? row[i] + (row.size() > 1 ? pad : "") : "  " + pad + row[i];
    }
    out += '\n';
  }
  return out;
}

double hours(Duration d) { return std::chrono::duration<double, std::ratio<3600>>(d).count(); }

double average(const Outcome& o, Duration time) {
  return o.span() > Duration::zero() ? static_cast<double>(time.count()) / static_cast<double>(o.span().count()) : 0;
}

Duration busy_time(const Outcome& o) {
  Duration sum{};
  for (const auto& p : o.pools) sum += p.busy_time;
  return sum;
}

std::string percent(double part, double whole) {
  return whole > 0 ? fmt::format("{:.1f} %", std::min(100.0, 100 * part / whole)) : "–";
}

bool has_price(const Report& r) {
  return std::any_of(r.cases.begin(), r.cases.end(), [](const Case& c) {
    return std::any_of(c.outcome.pools.begin(), c.outcome.pools.end(), [](const auto& p) { return p.price > 0; });
  });
}

// One row of all cases.
template <class F>
void row(Rows& rows, const Report& report, std::string title, F value) {
  std::vector<std::string> cells{std::move(title)};
  for (const auto& c : report.cases) cells.push_back(value(c.outcome));
  rows.push_back(std::move(cells));
}

std::string summary(const Report& r) {
  Rows rows;
  if (r.cases.size() > 1) {
    rows.push_back({""});
    for (const auto& c : r.cases) rows.back().push_back(c.name);
  }
  for (auto [name, share] : quantiles)
    row(rows, r, fmt::format("wait {}", name),
        [&](const Outcome& o) { return format_duration(quantile(o.waits, share)); });
  if (r.target)
    row(rows, r, "target " + r.target->text, [&](const Outcome& o) {
      return fmt::format("{} ({})", r.target->met(o) ? "met" : "missed", format_duration(r.target->reached(o.waits)));
    });
  row(rows, r, "took, first job to last", [](const Outcome& o) { return format_duration(o.span()); });
  row(rows, r, "queued at most", [](const Outcome& o) { return with_commas(static_cast<std::size_t>(o.most_queued)); });
  row(rows, r, "builders at most", [](const Outcome& o) { return std::to_string(o.most_builders); });
  row(rows, r, "builders on average",
      [](const Outcome& o) { return fmt::format("{:.1f}", average(o, o.builder_time())); });
  row(rows, r, "builder-hours", [](const Outcome& o) { return fmt::format("{:.2f}", hours(o.builder_time())); });
  row(rows, r, "of which with a job",
      [](const Outcome& o) { return percent(hours(busy_time(o)), hours(o.builder_time())); });
  if (has_price(r)) row(rows, r, "cost", [](const Outcome& o) { return fmt::format("{:.2f}", o.cost()); });
  return aligned(rows);
}

std::string pools_table(const Case& c) {
  Rows rows{{"POOL", "WARM", "MAX", "JOBS", "WAIT p50", "p95", "max", "BUILDERS at most", "on average", "COST"}};
  for (const auto& p : c.outcome.pools)
    rows.push_back({p.name, std::to_string(p.warm), std::to_string(p.max), with_commas(p.jobs),
                    format_duration(quantile(p.waits, 0.5)), format_duration(quantile(p.waits, 0.95)),
                    format_duration(quantile(p.waits, 1)), std::to_string(p.most_builders),
                    fmt::format("{:.1f}", average(c.outcome, p.builder_time)), fmt::format("{:.2f}", p.cost())});
  return aligned(rows);
}

std::string reasons_table(const Report& r) {
  std::map<ReasonCode, bool> codes;
  for (const auto& c : r.cases)
    for (const auto& entry : c.outcome.waited) codes[entry.first] = true;
  if (codes.empty()) return "No job waited.\n";
  Rows rows{{"WAITED FOR"}};
  for (const auto& c : r.cases) rows[0].push_back(r.cases.size() > 1 ? c.name : "SHARE OF ALL WAITING");
  for (const auto& entry : codes)
    row(rows, r, std::string(to_string(entry.first)), [code = entry.first](const Outcome& o) {
      double all = 0;
      for (const auto& entry : o.waited) all += hours(entry.second);
      auto mine = o.waited.find(code);
      return mine == o.waited.end() ? std::string("–") : percent(hours(mine->second), all);
    });
  return aligned(rows);
}

std::string notes(const Report& r) {
  std::string out;
  const Outcome& o = r.cases.front().outcome;
  if (r.left_out > 0)
    out += fmt::format("{} jobs of the history never ran and were left out.\n", with_commas(r.left_out));
  if (o.resolution > Duration::zero())
    out += fmt::format("Arrivals and ends were moved onto a grid of {}; `--resolution 0s` is exact, and slower.\n",
                       format_duration(o.resolution));
  for (const auto& c : r.cases) {
    std::string in = r.cases.size() > 1 ? c.name + ": " : "";
    if (c.outcome.timed_out > 0)
      out += fmt::format("{}{} jobs were stopped at their pool's time limit.\n", in, with_commas(c.outcome.timed_out));
    if (c.outcome.failed > 0) out += fmt::format("{}{} jobs never started.\n", in, with_commas(c.outcome.failed));
    if (c.outcome.most_queued > 100'000) out += in + "A daemon takes no new jobs while 100,000 wait or run.\n";
  }
  return out;
}

int days(const Outcome& o) { return static_cast<int>(std::chrono::ceil<date_days>(o.span()).count()); }

std::string saved_text(const Report& r) {
  const Found& f = *r.found;
  if (!f.constant) return {};
  auto text = fmt::format("\nWith warm builders at all hours it would take {:.2f} builder-hours instead of {:.2f}",
                          hours(f.constant->builder_time()), hours(f.outcome.builder_time()));
  if (has_price(r)) text += fmt::format(", and cost {:.2f} instead of {:.2f}", f.constant->cost(), f.outcome.cost());
  return text + fmt::format(". The hours are those of the jobs of {} days.\n", days(f.outcome));
}

std::string found_text(const Report& r) {
  const Found& f = *r.found;
  if (!f.met)
    return fmt::format("\nNothing meets the target '{}'. The best that was tried:\n\n{}", r.target->text,
                       yaml_lines(f.config, f.outcome));
  return fmt::format("\nThe cheapest that meets '{}' ({} simulations):\n\n{}{}", r.target->text, f.simulations,
                     yaml_lines(f.config, f.outcome), saved_text(r));
}

json::object waits_json(const std::vector<Duration>& waits) {
  json::object o;
  for (auto [name, share] : quantiles) o[std::string(name) + "_us"] = quantile(waits, share).count();
  return o;
}

json::array schedule_json(const PoolSpec& spec) {
  json::array out;
  for (const auto& e : spec.schedule) {
    json::object entry{{"cron", e.cron}, {"timezone", e.timezone}};
    if (e.warm) entry["warm"] = *e.warm;
    if (e.refresh) entry["refresh"] = "idle";
    out.push_back(std::move(entry));
  }
  return out;
}

json::object case_json(const Case& c, const Report& r) {
  const Outcome& o = c.outcome;
  json::array pools;
  for (const auto& p : o.pools)
    pools.push_back(json::object{{"name", p.name},
                                 {"warm", p.warm},
                                 {"max", p.max},
                                 {"price", p.price},
                                 {"jobs", p.jobs},
                                 {"wait", waits_json(p.waits)},
                                 {"builders", p.builders},
                                 {"most_builders", p.most_builders},
                                 {"builder_time_us", p.builder_time.count()},
                                 {"busy_time_us", p.busy_time.count()},
                                 {"cost", p.cost()}});
  json::object waited;
  for (const auto& [code, time] : o.waited) waited[std::string(to_string(code))] = time.count();
  auto curve = [](const Series& s) {
    json::array a;
    for (const auto& b : s.values())
      a.push_back(json::array{b.area / std::chrono::duration<double>(s.width()).count(), b.most});
    return json::object{{"width_us", s.width().count()}, {"average_and_most", a}};
  };
  json::object out{{"config", c.name},
                   {"jobs", o.jobs},
                   {"failed", o.failed},
                   {"timed_out", o.timed_out},
                   {"begin", format_time(o.begin)},
                   {"end", format_time(o.end)},
                   {"wait", waits_json(o.waits)},
                   {"waited_us", waited},
                   {"most_queued", o.most_queued},
                   {"most_builders", o.most_builders},
                   {"builder_time_us", o.builder_time().count()},
                   {"cost", o.cost()},
                   {"pools", pools},
                   {"resolution_us", o.resolution.count()},
                   {"builders_over_time", curve(o.builders)},
                   {"queued_over_time", curve(o.queued)}};
  if (r.target) out["target_met"] = r.target->met(o);
  return out;
}

}  // namespace

std::string with_commas(std::size_t n) {
  auto s = std::to_string(n);
  for (auto at = static_cast<std::ptrdiff_t>(s.size()) - 3; at > 0; at -= 3)
    s.insert(static_cast<std::size_t>(at), ",");
  return s;
}

std::string yaml_lines(const Config& config, const Outcome& outcome) {
  std::string out = "pools:\n";
  for (const auto& p : outcome.pools) {
    if (p.jobs == 0) continue;
    const auto& spec = config.pools.at(p.name);
    out += fmt::format("  {}:\n    builders:\n      warm: {}\n      max: {}\n", p.name, spec.warm, spec.max);
    if (!spec.schedule.empty()) out += "    schedule:\n";
    for (const auto& e : spec.schedule) {
      out += fmt::format("      - {{cron: \"{}\", timezone: {}", e.cron, e.timezone);
      if (e.warm) out += fmt::format(", warm: {}", *e.warm);
      out += e.refresh ? ", refresh: idle}\n" : "}\n";
    }
  }
  return out;
}

std::string report_text(const Report& r) {
  const Outcome& first = r.cases.front().outcome;
  auto out = fmt::format("{} job{}, from {} on.\n\n", with_commas(first.jobs), first.jobs == 1 ? "" : "s",
                         format_time(first.begin));
  out += summary(r);
  for (const auto& c : r.cases) {
    if (c.outcome.pools.size() < 2) continue;
    out += "\n" + (r.cases.size() > 1 ? c.name + ":\n" : std::string()) + pools_table(c);
  }
  out += "\n" + reasons_table(r);
  if (auto n = notes(r); !n.empty()) out += "\n" + n;
  if (r.found) out += found_text(r);
  return out;
}

std::string report_json(const Report& r) {
  json::array cases;
  for (const auto& c : r.cases) cases.push_back(case_json(c, r));
  json::object out{{"cases", cases}};
  if (r.target) out["target"] = r.target->text;
  if (r.found) {
    json::object pools;
    for (const auto& p : r.found->outcome.pools)
      if (const auto& spec = r.found->config.pools.at(p.name); p.jobs > 0)
        pools[p.name] = json::object{{"warm", spec.warm}, {"max", spec.max}, {"schedule", schedule_json(spec)}};
    json::object found{{"met", r.found->met}, {"simulations", r.found->simulations}, {"pools", pools}};
    if (r.found->constant)
      found["with_warm_at_all_hours"] = json::object{{"builder_time_us", r.found->constant->builder_time().count()},
                                                     {"cost", r.found->constant->cost()}};
    out["found"] = std::move(found);
  }
  return json::serialize(out) + "\n";
}

}  // namespace mayfly::simulate
