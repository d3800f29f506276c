// The page: three charts a case, drawn as SVG here, so that it needs no script and can be mailed.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "simulate/report.h"

namespace mayfly::simulate {
namespace {

constexpr double chart_width = 860, chart_height = 220, left = 60, bottom = 30, top = 10;

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

// 1, 2 or 5 times a power of ten, so that about `marks` of them fill the axis.
double mark_step(double most, int marks) {
  double raw = std::max(most, 1e-9) / marks, power = std::pow(10, std::floor(std::log10(raw)));
  for (double f : {1.0, 2.0, 5.0})
    if (raw <= f * power) return f * power;
  return 10 * power;
}

struct Axes {
  double most_x, most_y;
  double x(double v) const { return left + v / std::max(most_x, 1e-9) * (chart_width - left - 10); }
  double y(double v) const {
    return chart_height - bottom - v / std::max(most_y, 1e-9) * (chart_height - bottom - top);
  }
};

template <class Name>
std::string frame(const Axes& a, bool whole_y, Name x_name) {
  std::string out;
  double step = mark_step(a.most_y, 4);
  if (whole_y) step = std::max(1.0, step);
  for (double v = 0; v <= a.most_y * 1.0001; v += step)
    out += fmt::format(
        "<line class=g x1='{:.1f}' x2='{:.1f}' y1='{:.1f}' y2='{:.1f}'/>"
        "<text x='{:.1f}' y='{:.1f}' text-anchor=end>{:g}</text>",
        left, chart_width - 10, a.y(v), a.y(v), left - 6, a.y(v) + 4, v);
  for (int i = 0; i <= 4; ++i)
    out +=
        fmt::format("<text x='{:.1f}' y='{:.1f}' text-anchor='{}'>{}</text>", a.x(a.most_x * i / 4), chart_height - 8,
                    i == 0   ? "start"
                    : i == 4 ? "end"
                             : "middle",
                    escaped(x_name(a.most_x * i / 4)));
  return out;
}

std::string chart(std::string_view title, const std::string& inside) {
  return fmt::format(
      "<figure><figcaption>{}</figcaption><svg viewBox='0 0 {} {}' role=img aria-label='{}'>{}</svg></figure>\n",
      escaped(title), chart_width, chart_height, escaped(title), inside);
}

// A stepped line of the series' highest values, and the area below.
std::string curve(const Series& s, const Axes& a, std::string_view style) {
  std::string points = fmt::format("{:.1f},{:.1f}", a.x(0), a.y(0));
  double w = std::chrono::duration<double>(s.width()).count();
  for (std::size_t i = 0; i < s.values().size(); ++i) {
    double from = w * static_cast<double>(i), to = std::min(w * static_cast<double>(i + 1), a.most_x);
    points += fmt::format(" {:.1f},{:.1f} {:.1f},{:.1f}", a.x(from), a.y(s.values()[i].most), a.x(to),
                          a.y(s.values()[i].most));
  }
  points += fmt::format(" {:.1f},{:.1f}", a.x(a.most_x), a.y(0));
  return fmt::format("<polygon class={} points='{}'/>", style, points);
}

std::string over_time(const Outcome& o, const Series& s, int most, std::string_view style,
                      const Series* second = nullptr) {
  Axes a{std::chrono::duration<double>(o.span()).count(), std::max(1.0, 1.0 * most)};
  auto out = frame(a, true, [](double v) { return format_duration(Duration(std::llround(v * 1e6))); });
  out += curve(s, a, style);
  if (second) out += curve(*second, a, "b");
  return out;
}

// How many of the jobs had started after which wait.
std::string waits(const Outcome& o, const std::optional<Target>& target) {
  double most = o.waits.empty() ? 1 : std::chrono::duration<double>(o.waits.back()).count();
  if (target) most = std::max(most, std::chrono::duration<double>(target->limit).count());
  Axes a{std::max(most, 0.001), 100};
  auto out = frame(a, true, [](double v) { return format_duration(Duration(std::llround(v * 1e6))); });
  std::string points;
  for (int i = 0; i <= 200; ++i) {
    double share = i / 200.0;
    points += fmt::format("{:.1f},{:.1f} ", a.x(std::chrono::duration<double>(quantile(o.waits, share)).count()),
                          a.y(share * 100));
  }
  out += fmt::format("<polyline class=w points='{}'/>", points);
  if (target) {
    double x = a.x(std::chrono::duration<double>(target->limit).count());
    out += fmt::format("<line class=t x1='{:.1f}' x2='{:.1f}' y1='{:.1f}' y2='{:.1f}'/>", x, x, a.y(0), a.y(100));
  }
  return out;
}

constexpr std::string_view head = R"(<!doctype html>
<html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width"><title>mayfly simulate</title>
<style>
:root{color-scheme:light dark;--l:#8886;--a:#2a78d2;--b:#1a9c6c;--q:#c7662a}
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
pre{overflow-x:auto} figure{margin:1.5rem 0} figcaption{font-weight:600}
svg{width:100%;height:auto} text{font-size:12px;fill:currentColor} .g{stroke:var(--l);stroke-width:.5}
.a{fill:var(--a);fill-opacity:.25;stroke:var(--a)} .b{fill:var(--b);fill-opacity:.35;stroke:var(--b)}
.q{fill:var(--q);fill-opacity:.3;stroke:var(--q)} .w{fill:none;stroke:var(--a);stroke-width:2}
.t{stroke:var(--q);stroke-width:1.5;stroke-dasharray:5 4}
</style>
)";

}  // namespace

std::string report_html(const Report& r) {
  std::string out(head);
  out += "<h1>What would have happened</h1>\n<pre>" + escaped(report_text(r)) + "</pre>\n";
  for (const auto& c : r.cases) {
    const Outcome& o = c.outcome;
    out += fmt::format("<h2>{}</h2>\n", escaped(c.name));
    out += chart("Builders over time: all, and below those with a job",
                 over_time(o, o.builders, o.most_builders, "a", &o.busy));
    out += chart("Jobs in the queue over time", over_time(o, o.queued, o.most_queued, "q"));
    out += chart(r.target ? "Percent of jobs that had started after this wait; dashed: the target's limit"
                          : "Percent of jobs that had started after this wait",
                 waits(o, r.target));
  }
  return out + "</html>\n";
}

}  // namespace mayfly::simulate
