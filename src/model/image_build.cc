#include "model/image_build.h"

#include <algorithm>
#include <cctype>

#include <boost/json.hpp>

#include "base/text.h"
#include "model/json_reader.h"

namespace mayfly {
namespace json = boost::json;
namespace {

using S = BuildState;
using T = BuildTrigger;

constexpr std::pair<S, std::string_view> states[] = {
    {S::queued, "queued"},     {S::building, "building"},   {S::examining, "examining"},
    {S::trying, "trying"},     {S::waiting, "waiting"},     {S::releasing, "releasing"},
    {S::released, "released"}, {S::passed, "passed"},       {S::unchanged, "unchanged"},
    {S::failed, "failed"},     {S::cancelled, "cancelled"}, {S::superseded, "superseded"},
};
constexpr std::pair<T, std::string_view> triggers[] = {
    {T::hand, "hand"}, {T::commit, "commit"}, {T::merge, "merge"}, {T::schedule, "schedule"}, {T::base, "base"}};

template <class E, std::size_t N>
std::string_view name_in(const std::pair<E, std::string_view> (&table)[N], E value) {
  for (const auto& [known, name] : table)
    if (known == value) return name;
  return "?";
}

template <class E, std::size_t N>
std::optional<E> value_in(const std::pair<E, std::string_view> (&table)[N], std::string_view name) {
  for (const auto& [value, known] : table)
    if (known == name) return value;
  return std::nullopt;
}

json::array to_array(const std::vector<std::string>& values) {
  json::array out;
  for (const auto& v : values) out.emplace_back(v);
  return out;
}

void put_text(json::object& o, std::string_view key, const std::string& value) {
  if (!value.empty()) o[key] = value;
}

std::vector<json::object> objects(JsonReader& r, const json::object& o, std::string_view key) {
  std::vector<json::object> out;
  const auto* v = o.if_contains(key);
  if (!v) return out;
  if (!v->is_array()) return r.wrong(key, "an array of objects"), out;
  for (const auto& e : v->get_array())
    if (e.is_object())
      out.push_back(e.get_object());
    else
      r.wrong(key, "an array of objects");
  return out;
}

}  // namespace

std::string_view to_string(BuildState s) { return name_in(states, s); }
std::optional<BuildState> build_state_from(std::string_view name) { return value_in(states, name); }
std::string_view to_string(BuildTrigger t) { return name_in(triggers, t); }
std::optional<BuildTrigger> build_trigger_from(std::string_view name) { return value_in(triggers, name); }

bool is_final(BuildState s) { return s >= S::released; }

bool may_follow(BuildState from, BuildState to) {
  if (is_final(from)) return false;
  if (to == S::failed || to == S::cancelled || to == S::superseded) return true;
  switch (from) {
    case S::queued:
      return to == S::building || to == S::waiting || to == S::passed;  // the same recipe was built and tried before
    case S::building:
      return to == S::examining || to == S::unchanged;
    case S::examining:
      return to == S::trying || to == S::waiting || to == S::passed || to == S::unchanged;
    case S::trying:
      return to == S::waiting || to == S::passed;
    case S::waiting:
      return to == S::releasing;
    case S::releasing:
      return to == S::released;
    default:
      return false;
  }
}

bool is_same_person(std::string_view who, std::string_view author) {
  auto name = to_lower(trim(who)), known = to_lower(trim(author));
  if (name.empty()) return false;
  auto open = known.rfind('<');
  auto address = open == std::string::npos ? known : known.substr(open + 1, known.find('>', open) - open - 1);
  auto people = std::string(trim(std::string_view(known).substr(0, open)));
  return name == known || name == address || name == people || name == address.substr(0, address.find('@'));
}

std::string approval_refusal(const ImageBuild& b, std::string_view who) {
  if (b.state != S::trying && b.state != S::waiting && b.state != S::passed)
    return "build " + std::to_string(b.id) + " is " + std::string(to_string(b.state)) +
           (is_final(b.state) ? "" : ": robots go first");
  for (const auto& author : b.authors)
    if (is_same_person(who, author)) return std::string(who) + " is the author of this change (" + author + ")";
  for (const auto& a : b.approvals)
    if (is_same_person(who, a.who)) return std::string(who) + " has approved it already";
  return "";
}

std::string build_status(const ImageBuild& b) {
  if (is_final(b.state)) return std::string(to_string(b.state));
  if (b.state == S::waiting || b.state == S::releasing) return is_approved(b) ? "releasing" : "needs-approval";
  return b.state == S::queued || b.state == S::building ? "building" : "testing";
}

json::object to_json(const ImageBuild& b) {
  json::object o{{"id", b.id},
                 {"image", b.image},
                 {"ref", b.ref},
                 {"release", b.release},
                 {"trigger", to_string(b.trigger)},
                 {"state", to_string(b.state)},
                 {"approvals_needed", b.approvals_needed},
                 {"bytes", b.bytes}};
  for (auto [key, value] : {std::pair<std::string_view, const std::string*>{"by", &b.by},
                            {"commit", &b.commit},
                            {"message", &b.message},
                            {"content", &b.content},
                            {"reason", &b.reason},
                            {"problem", &b.problem},
                            {"builder_digest", &b.builder_digest},
                            {"digest", &b.digest},
                            {"reference", &b.reference},
                            {"fingerprint", &b.fingerprint},
                            {"version", &b.version},
                            {"report", &b.report},
                            {"commit_status", &b.commit_status}})
    put_text(o, key, *value);
  for (auto [key, value] : {std::pair<std::string_view, std::uint64_t>{"build_job", b.build_job},
                            {"try_job", b.try_job},
                            {"same_as", b.same_as}})
    if (value != 0) o[key] = value;
  o["authors"] = to_array(b.authors);
  for (auto [key, from] : {std::pair{"bases", &b.bases}, std::pair{"registry_bases", &b.registry_bases}}) {
    json::object bases;
    for (const auto& [name, digest] : *from) bases[name] = digest;
    o[key] = std::move(bases);
  }
  json::array findings, approvals;
  for (const auto& f : b.findings)
    findings.emplace_back(json::object{{"error", f.error}, {"check", f.check}, {"what", f.what}});
  for (const auto& a : b.approvals)
    approvals.emplace_back(json::object{{"who", a.who}, {"digest", a.digest}, {"at", to_micros(a.at)}});
  o["findings"] = std::move(findings);
  o["approvals"] = std::move(approvals);
  put_time(o, "queued_at", b.queued_at);
  put_time(o, "started_at", b.started_at);
  put_time(o, "ended_at", b.ended_at);
  put_time(o, "swept_at", b.swept_at);
  return o;
}

Result<ImageBuild> image_build_from_json(const json::object& o) {
  JsonReader r(o, "image build");
  ImageBuild b;
  b.id = static_cast<BuildId>(r.number("id"));
  b.image = r.text("image"), b.ref = r.text("ref"), b.release = r.flag("release");
  b.trigger = r.name("trigger", build_trigger_from, T::hand);
  b.state = r.name("state", build_state_from, S::queued);
  b.approvals_needed = static_cast<int>(r.number("approvals_needed"));
  b.bytes = r.number("bytes");
  b.by = r.text("by"), b.commit = r.text("commit"), b.message = r.text("message"), b.content = r.text("content");
  b.reason = r.text("reason"), b.problem = r.text("problem"), b.builder_digest = r.text("builder_digest"),
  b.digest = r.text("digest");
  b.reference = r.text("reference"), b.fingerprint = r.text("fingerprint"), b.version = r.text("version");
  b.report = r.text("report"), b.commit_status = r.text("commit_status");
  b.build_job = static_cast<JobId>(r.number("build_job")), b.try_job = static_cast<JobId>(r.number("try_job"));
  b.same_as = static_cast<BuildId>(r.number("same_as"));
  b.authors = r.texts("authors");
  b.bases = r.map("bases"), b.registry_bases = r.map("registry_bases");
  for (const auto& f : objects(r, o, "findings")) {
    JsonReader item(f, "finding");
    b.findings.push_back({item.flag("error"), item.text("check"), item.text("what")});
    MAYFLY_TRY(item.check());
  }
  for (const auto& a : objects(r, o, "approvals")) {
    JsonReader item(a, "approval");
    b.approvals.push_back({item.text("who"), item.text("digest"), item.time("at")});
    MAYFLY_TRY(item.check());
  }
  b.queued_at = r.time("queued_at"), b.started_at = r.time("started_at"), b.ended_at = r.time("ended_at");
  b.swept_at = r.time("swept_at");
  MAYFLY_TRY(r.check());
  return b;
}

}  // namespace mayfly
