#include "api/shapes.h"

#include <boost/json.hpp>

#include "model/json.h"

namespace mayfly::api {
namespace json = boost::json;

json::object to_json(const PoolWait& wait);
json::object to_json(const PoolStart& start);
json::object to_json(const plan::NumberSource& source);
json::object to_json(const plan::ConfigItem& item);
json::object to_json(const plan::StrandedJob& job);

namespace {

template <class T>
json::array array_of(const std::vector<T>& values) {
  json::array out;
  out.reserve(values.size());
  for (const auto& v : values) out.emplace_back(to_json(v));
  return out;
}

}  // namespace

using mayfly::to_json;

json::object to_json(const PoolStatus& p) {
  return {{"name", p.spec.name},       {"image", p.spec.image}, {"image_digest", p.image_digest},
          {"version", p.version},      {"rollout", p.rollout},  {"platform", p.spec.platform},
          {"warm", p.spec.warm},       {"max", p.spec.max},     {"network", to_string(p.spec.network)},
          {"problem", p.problem},      {"queued", p.queued},    {"starting", p.starting},
          {"ready", p.ready},          {"busy", p.busy},        {"stopping", p.stopping},
          {"waits", array_of(p.waits)}};
}

json::object pools_only(const Status& s) {
  json::array pools;
  for (const auto& p : s.pools) pools.emplace_back(to_json(p));
  return {{"pools", std::move(pools)}};
}

json::object to_json(const Status& s) {
  auto out = pools_only(s);
  out["started_at"] = to_micros(s.started_at);
  out["notice"] = s.notice;
  return out;
}

json::object to_json(const PoolWait& w) { return {{"reason", to_json(w.reason)}, {"jobs", w.jobs}}; }

json::object to_json(const PoolStart& s) {
  json::object out{{"builder", s.builder}, {"at", to_micros(s.at)}};
  if (s.problem.empty())
    out["took_us"] = s.took.count();
  else
    out["problem"] = s.problem;
  return out;
}

json::object to_json(const plan::NumberSource& s) {
  json::object out{{"number", s.number}, {"value", s.value}, {"entry", s.entry}};
  if (!s.entry.empty()) out["since"] = to_micros(s.since);
  return out;
}

json::object to_json(const PoolExplanation& e) {
  json::object out{{"pool", to_json(e.status)},
                   {"numbers", array_of(e.numbers)},
                   {"starts", array_of(e.starts)},
                   {"builders", array_of(e.builders)}};
  if (e.numbers_until) out["numbers_until"] = to_micros(*e.numbers_until);
  return out;
}

json::object to_json(const Explanation& e) {
  return {{"job", to_json(e.job)},
          {"story", array_of(e.story)},
          {"ahead", array_of(e.ahead)},
          {"ahead_total", e.ahead_total}};
}

json::object to_json(const plan::ConfigItem& item) {
  json::array values;
  for (const auto& v : item.values)
    values.emplace_back(json::object{{"key", v.key}, {"before", v.before}, {"after", v.after}});
  return {{"kind", plan::to_string(item.kind)},
          {"what", item.what},
          {"name", item.name},
          {"values", std::move(values)},
          {"effects", json::value_from(item.effects)},
          {"at_restart", item.at_restart}};
}

json::object to_json(const plan::StrandedJob& j) { return {{"job", j.job}, {"pool", j.pool}, {"why", j.why}}; }

json::object to_json(const ConfigPlan& p) {
  return {{"plan", p.change.id},
          {"file", p.file},
          {"own_file", p.own},
          {"summary", p.summary},
          {"changes", array_of(p.change.items)},
          {"stranded", array_of(p.change.stranded)},
          {"drained", p.change.drained},
          {"applies", p.change.applies()}};
}

json::object to_json(const LedgerCheck& c) { return {{"entries", c.entries}, {"head", c.head}}; }
json::object to_json(const ImageStatus& i) {
  json::object channels;
  for (const auto& [name, version] : i.channels) channels[name] = version;
  json::object held;
  for (const auto& [pool, why] : i.held) held[pool] = why;
  json::array uses;
  for (const auto& u : i.uses)
    uses.emplace_back(json::object{{"version", u.number.text()},
                                   {"pools", json::value_from(u.pools)},
                                   {"failed_jobs", json::value_from(u.failed_jobs)}});
  return {{"name", i.name},
          {"recipe", i.recipe},
          {"channels", std::move(channels)},
          {"versions", array_of(i.versions)},
          {"publications", array_of(i.publications)},
          {"uses", std::move(uses)},
          {"held", std::move(held)},
          {"base_note", i.base_note}};
}
json::object list(const std::vector<PoolVersions>& pools) { return {{"rollouts", array_of(pools)}}; }
json::object list(const std::vector<ImageStatus>& images) { return {{"images", array_of(images)}}; }
json::object list(const std::vector<Job>& jobs) { return {{"jobs", array_of(jobs)}}; }
json::object list(const std::vector<Builder>& builders) { return {{"builders", array_of(builders)}}; }
json::object list(const std::vector<ImageBuild>& builds) { return {{"builds", array_of(builds)}}; }
json::object list(const std::vector<LedgerEntry>& entries) { return {{"entries", array_of(entries)}}; }

}  // namespace mayfly::api
