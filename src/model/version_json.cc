// Versions of images and rollouts as JSON.
#include "model/json.h"
#include "model/json_reader.h"

namespace mayfly {
namespace json = boost::json;
namespace {

json::array texts_of(const std::vector<SemVer>& versions) {
  json::array out;
  for (const auto& v : versions) out.emplace_back(v.text());
  return out;
}

json::object to_json(const VersionTally& t) {
  return {{"launched", t.launched},
          {"ready", t.ready},
          {"jobs", t.jobs},
          {"failed", t.failed},
          {"failed_starts", t.failed_starts}};
}

int count(JsonReader& r, std::string_view key) {
  return static_cast<int>(std::clamp<std::int64_t>(r.number(key), 0, INT32_MAX));
}

SemVer version(JsonReader& r, std::string_view key) {
  auto v = SemVer::parse(r.text(key));
  if (!v) r.wrong(key, "a version");
  return v.value_or(SemVer{});
}

Result<VersionTally> tally_from(const json::object* o) {
  VersionTally t;
  if (!o) return t;
  JsonReader r(*o, "rollout");
  t.launched = count(r, "launched");
  t.ready = count(r, "ready");
  t.jobs = count(r, "jobs");
  t.failed = count(r, "failed");
  t.failed_starts = count(r, "failed_starts");
  MAYFLY_TRY(r.check());
  return t;
}

Result<Rollout> rollout_from(const json::object& o) {
  JsonReader r(o, "rollout");
  Rollout out;
  out.from = version(r, "from");
  out.to = version(r, "to");
  out.state = r.name("state", rollout_state_from, RolloutState::warming);
  out.paused = r.flag("paused");
  out.asked = r.flag("asked");
  out.why = r.text("why");
  out.by = r.text("by");
  MAYFLY_ASSIGN(out.old_tally, tally_from(r.object("old")));
  MAYFLY_ASSIGN(out.new_tally, tally_from(r.object("new")));
  out.started_at = r.time("started_at");
  out.state_at = r.time("state_at");
  out.ended_at = r.time("ended_at");
  MAYFLY_TRY(r.check());
  return out;
}

}  // namespace

json::object to_json(const ImageVersion& v) {
  json::array approved;
  for (const auto& who : v.approved_by) approved.emplace_back(who);
  json::object o{{"image", v.image},
                 {"version", v.number.text()},
                 {"digest", v.digest},
                 {"reference", v.reference},
                 {"state", to_string(v.state)},
                 {"released_by", v.released_by},
                 {"approved_by", std::move(approved)}};
  if (!v.commit.empty()) o["commit"] = v.commit;
  if (!v.published_digest.empty()) o["published_digest"] = v.published_digest;
  if (v.bytes > 0) o["bytes"] = v.bytes;
  if (!v.builder_digest.empty()) o["builder_digest"] = v.builder_digest;
  if (!v.bases.empty()) {
    json::object bases;
    for (const auto& [name, digest] : v.bases) bases[name] = digest;
    o["bases"] = std::move(bases);
  }
  if (!v.withdrawn_why.empty()) o["withdrawn_why"] = v.withdrawn_why;
  put_time(o, "released_at", v.released_at);
  put_time(o, "withdrawn_at", v.withdrawn_at);
  put_time(o, "swept_at", v.swept_at);
  return o;
}

json::object to_json(const Rollout& r) {
  json::object o{{"from", r.from.text()},       {"to", r.to.text()},          {"state", to_string(r.state)},
                 {"paused", r.paused},          {"asked", r.asked},           {"why", r.why},
                 {"old", to_json(r.old_tally)}, {"new", to_json(r.new_tally)}};
  if (!r.by.empty()) o["by"] = r.by;
  put_time(o, "started_at", r.started_at);
  put_time(o, "state_at", r.state_at);
  put_time(o, "ended_at", r.ended_at);
  return o;
}

json::object to_json(const PoolVersions& p) {
  json::object o{{"pool", p.pool}, {"image", p.image}, {"refused", texts_of(p.refused)}};
  if (p.current) o["current"] = p.current->text();
  if (p.rollout) o["rollout"] = to_json(*p.rollout);
  return o;
}

Result<ImageVersion> image_version_from_json(const json::object& o) {
  JsonReader r(o, "version");
  ImageVersion v;
  v.image = r.text("image");
  v.number = version(r, "version");
  v.digest = r.text("digest");
  v.reference = r.text("reference");
  v.commit = r.text("commit");
  v.state = r.name("state", version_state_from, VersionState::released);
  v.released_by = r.text("released_by");
  v.approved_by = r.texts("approved_by");
  v.published_digest = r.text("published_digest");
  v.bytes = r.number("bytes");
  v.withdrawn_why = r.text("withdrawn_why");
  v.released_at = r.time("released_at");
  v.withdrawn_at = r.time("withdrawn_at");
  v.swept_at = r.time("swept_at");
  v.builder_digest = r.text("builder_digest");
  v.bases = r.map("bases");
  MAYFLY_TRY(r.check());
  return v;
}

Result<PoolVersions> pool_versions_from_json(const json::object& o) {
  JsonReader r(o, "rollout");
  PoolVersions p;
  p.pool = r.text("pool");
  p.image = r.text("image");
  if (!r.text("current").empty()) p.current = version(r, "current");
  for (const auto& text : r.texts("refused")) {
    MAYFLY_ASSIGN(auto v, SemVer::parse(text));
    p.refused.push_back(std::move(v));
  }
  if (auto* rollout = r.object("rollout")) {
    MAYFLY_ASSIGN(p.rollout, rollout_from(*rollout));
  }
  MAYFLY_TRY(r.check());
  return p;
}

}  // namespace mayfly
