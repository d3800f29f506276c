#include "api/handlers.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>

#include <boost/json.hpp>

#include <fmt/format.h>

#include "api/shapes.h"
#include "base/text.h"
#include "model/json.h"
#include "model/json_reader.h"

namespace mayfly::api {
namespace json = boost::json;
namespace {

// Carries a backend's answer to the server's thread and turns it into JSON there.
template <class T, class F>
Backend::Done<T> answer_with(std::shared_ptr<net::Reply> reply, int status, F shape) {
  return [reply = std::move(reply), status, shape](Result<T> result) {
    auto* r = reply.get();
    r->on_loop([reply, status, shape, result = std::move(result)] {
      if (result)
        reply->json(status, json::serialize(shape(*result)));
      else
        reply->error(result.error());
    });
  };
}

constexpr auto job_json = [](const Job& j) { return mayfly::to_json(j); };
constexpr auto listed = [](const auto& values) { return list(values); };

// Calls f with the job on the server's thread, or answers with the error.
void with_job(Call& call, std::function<void(const Job&)> f) {
  call.services.backend.job(call.id, [reply = call.reply, f = std::move(f)](Result<Job> job) {
    auto* r = reply.get();
    r->on_loop([reply, f, job = std::move(job)] {
      if (job)
        f(*job);
      else
        reply->error(job.error());
    });
  });
}

}  // namespace

bool is_upload_id(std::string_view id) {
  return id.size() == 32 && id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

namespace {

Result<std::map<std::string, std::string>> read_one_time_secrets(const json::object& body) {
  std::map<std::string, std::string> out;
  auto* given = body.if_contains("one_time_secrets");
  if (!given || given->is_null()) return out;
  auto wrong = [](std::string what) {
    return fail(ErrorCode::invalid, std::move(what), "job", "Send {VARIABLE: VALUE, …}.");
  };
  if (!given->is_object() || given->get_object().size() > 20)
    return wrong("'one_time_secrets' is not an object of at most 20 members");
  for (const auto& [name, value] : given->get_object()) {
    auto key = std::string(name);
    bool named = !key.empty() && key.size() <= 200 && !(key[0] >= '0' && key[0] <= '9') &&
                 std::all_of(key.begin(), key.end(),
                             [](unsigned char c) { return c < 0x80 && (std::isalnum(c) != 0 || c == '_'); });
    if (!named) return wrong("a name in 'one_time_secrets' cannot be an environment variable");
    auto* text = value.if_string();
    if (!text || text->size() < min_secret_length || text->size() > (64u << 10) || text->find('\0') != text->npos)
      return wrong(
          fmt::format("'{}' in 'one_time_secrets' is not a text of {} bytes to 64 KiB", key, min_secret_length));
    out.emplace(std::move(key), std::string(*text));
  }
  return out;
}

// What a CI that sends its jobs says of one.
Result<void> read_external(const json::object& body, JobRequest& out) {
  JsonReader r(body, "job");
  if (auto ci = r.text("ci"); !ci.empty()) out.ci = ci;
  if (auto* external = r.object("external")) {
    MAYFLY_ASSIGN(auto said, ci_record_from_json(*external));
    out.external.id = said.id, out.external.url = said.url, out.external.name = said.name;
  }
  MAYFLY_TRY(r.check());
  const auto& e = out.external;
  if (!is_dns_label(out.ci) || e.id.size() > 200 || e.url.size() > 2000 || e.name.size() > 500)
    return fail(ErrorCode::invalid, "'ci' is not a name, or 'external' is too long", "job");
  if ((out.ci == "builtin") != e.id.empty())
    return fail(ErrorCode::invalid, "'ci' and 'external' with an 'id' belong together", "job");
  return {};
}

}  // namespace

Result<JobRequest> parse_submission(std::string_view body) {
  MAYFLY_ASSIGN(auto object, parse_json_object(body));
  JobRequest out;
  MAYFLY_ASSIGN(out.spec, job_spec_from_json(object));
  MAYFLY_ASSIGN(out.one_time_secrets, read_one_time_secrets(object));
  for (const auto& [name, value] : out.one_time_secrets) out.spec.one_time_secrets.push_back(name);
  MAYFLY_TRY(read_external(object, out));
  if (auto* key = object.if_contains("idempotency_key"); key && !key->is_null()) {
    if (!key->is_string() || key->get_string().size() > 200)
      return fail(ErrorCode::invalid, "'idempotency_key' is not a string of at most 200 bytes", "job");
    out.idempotency_key = std::string(key->get_string());
    // The daemon's own, by which it knows the jobs of a CI again.
    if (out.idempotency_key.starts_with("ci/"))
      return fail(ErrorCode::invalid, "an 'idempotency_key' may not begin with 'ci/'", "job", "Choose another.");
  }
  // An id becomes part of a path.
  if (!out.spec.input.empty() && !is_upload_id(out.spec.input))
    return fail(ErrorCode::invalid, "'input' is not the id of an upload", "job",
                "Use the id that POST /v1/uploads answered.");
  return out;
}

Result<CiReport> parse_report(std::string_view body) {
  MAYFLY_ASSIGN(auto object, parse_json_object(body));
  JsonReader r(object, "report");
  CiReport out;
  auto outcome = r.text("outcome");
  out.result = r.text("result");
  r.refuse_unknown({"outcome", "result"});
  MAYFLY_TRY(r.check());
  constexpr std::pair<std::string_view, CiOutcome> known[] = {
      {"succeeded", CiOutcome::succeeded}, {"failed", CiOutcome::failed},       {"cancelled", CiOutcome::cancelled},
      {"skipped", CiOutcome::skipped},     {"timed_out", CiOutcome::timed_out}, {"abandoned", CiOutcome::abandoned}};
  for (auto [name, value] : known)
    if (outcome == name) out.outcome = value;
  if (out.outcome == CiOutcome::unknown)
    return fail(ErrorCode::invalid,
                "'outcome' is not one of succeeded, failed, cancelled, skipped, timed_out, abandoned", "report");
  return out;
}

Result<ReleaseRequest> parse_release(std::string_view body, std::string image) {
  MAYFLY_ASSIGN(auto object, parse_json_object(body));
  JsonReader r(object, "release");
  ReleaseRequest out;
  out.image = std::move(image);
  out.reference = r.text("reference");
  out.commit = r.text("commit");
  out.level = r.name("level", version_level_from, VersionLevel::patch);
  auto version = r.text("version");
  r.refuse_unknown({"reference", "version", "level", "commit"});
  MAYFLY_TRY(r.check());
  if (out.reference.empty() || out.reference.size() > 1000 || out.commit.size() > 200)
    return fail(ErrorCode::invalid, "'reference' must be given, of at most 1000 bytes, and 'commit' of at most 200",
                "release");
  if (!version.empty()) {
    MAYFLY_ASSIGN(out.number, SemVer::parse(version));
  }
  return out;
}

void upload(Call& call) {
  auto name = call.request.body_file.substr(call.request.body_file.rfind('/') + 1);
  json::object out{{"upload", name.substr(0, name.size() - 4)}, {"bytes", call.request.body_bytes}};
  call.reply->json(201, json::serialize(out));
}

void submit(Call& call) {
  auto parsed = parse_submission(call.request.body);
  if (!parsed) return call.reply->error(parsed.error());
  auto& spec = parsed->spec;
  if (!spec.input.empty() && ::access(call.services.paths.upload(spec.input).c_str(), R_OK) != 0)
    return call.reply->error({ErrorCode::invalid, fmt::format("there is no upload {}", spec.input), "job",
                              "Upload it first: POST /v1/uploads."});
  spec.submitter = call.request.who;  // as authenticated, whatever the body says
  call.services.backend.submit(std::move(*parsed), answer_with<Job>(call.reply, 201, job_json));
}

void list_jobs(Call& call) {
  JobFilter filter;
  filter.state = job_state_from(call.text("state"));
  if (call.request.target.query.count("ended") != 0) filter.ended = call.flag("ended");
  filter.pool = call.text("pool");
  filter.before = call.number("before", 0);
  filter.limit = call.number("limit", 100);
  call.services.backend.jobs(std::move(filter), answer_with<std::vector<Job>>(call.reply, 200, listed));
}

void get_job(Call& call) { call.services.backend.job(call.id, answer_with<Job>(call.reply, 200, job_json)); }

void get_log(Call& call) {
  net::LogFollow follow;
  follow.log_path = call.services.paths.log(call.id);
  follow.index_path = call.services.paths.log_index(call.id);
  follow.offset = call.number("offset", 0);
  follow.framed = call.text("format") == "framed";
  bool stay = call.flag("follow");
  with_job(call, [follow, stay, reply = call.reply, endings = call.services.endings](const Job& job) mutable {
    if (stay && !is_final(job.state)) {
      auto ending = endings->of(job.id);
      follow.ended = std::shared_ptr<net::Notice>(ending, &ending->notice);
    }
    reply->log(std::move(follow));
  });
}

void get_output(Call& call) {
  with_job(call, [path = call.services.paths.output(call.id), reply = call.reply](const Job& job) {
    auto where = fmt::format("job {}", job.id);
    if (job.spec.output.empty())
      return reply->error(
          {ErrorCode::not_found, "this job was not asked for an output", where, "Submit it with 'output'."});
    if (!is_final(job.state))
      return reply->error({ErrorCode::conflict, "the job has not ended yet", where, "Wait for its end."});
    if (::access(path.c_str(), R_OK) != 0)
      return reply->error({ErrorCode::not_found, "this job left no output", where, {}});
    reply->file(path, "application/x-tar");
  });
}

void cancel(Call& call) {
  call.services.backend.cancel(call.id, call.request.who, answer_with<Job>(call.reply, 200, job_json));
}

void report(Call& call) {
  auto parsed = parse_report(call.request.body);
  if (!parsed) return call.reply->error(parsed.error());
  call.services.backend.report(call.id, std::move(*parsed), call.request.who,
                               answer_with<Job>(call.reply, 200, job_json));
}

void webhook(Call& call) {
  auto told = call.services.backend.webhook({call.ci, call.name, call.request.headers, std::move(call.request.body)});
  // Said twice is heard: whoever sends it must not take it for lost and send it for ever.
  if (!told && told.error().code == ErrorCode::conflict) told = 0;
  if (!told) return call.reply->error(told.error());
  call.reply->json(202, json::serialize(json::object{{"pools", *told}}));
}

void wait(Call& call) {
  auto timeout = milliseconds(call.number("timeout_ms", 60'000));
  auto ending = call.services.endings->of(call.id);
  auto answered = std::make_shared<bool>(false);  // only the server's thread looks at it
  auto watch = std::make_shared<std::uint64_t>(0);
  auto reply = call.reply;
  *watch = ending->notice.watch([reply, answered, weak = std::weak_ptr(ending)] {
    auto* r = reply.get();
    auto over = weak.lock();
    r->on_loop([reply, answered, over] {
      if (std::exchange(*answered, true)) return;
      if (over && *over->result)
        reply->json(200, json::serialize(mayfly::to_json(**over->result)));
      else if (over)
        reply->error(over->result->error());
    });
  });
  reply->after(timeout, [reply, answered, watch, ending, &backend = call.services.backend, id = call.id] {
    ending->notice.unwatch(*watch);
    if (std::exchange(*answered, true)) return;
    backend.job(id, [reply](Result<Job> job) {
      int status = job && is_final(job->state) ? 200 : 202;
      answer_with<Job>(reply, status, job_json)(std::move(job));
    });
  });
}

void explain(Call& call) {
  call.services.backend.explain(
      call.id, answer_with<Explanation>(call.reply, 200, [](const Explanation& e) { return to_json(e); }));
}

void explain_pool(Call& call) {
  call.services.backend.explain_pool(
      call.name, answer_with<PoolExplanation>(call.reply, 200, [](const PoolExplanation& e) { return to_json(e); }));
}

void list_builders(Call& call) {
  call.services.backend.builders(call.flag("gone"), answer_with<std::vector<Builder>>(call.reply, 200, listed));
}

void list_pools(Call& call) { call.services.backend.status(answer_with<Status>(call.reply, 200, pools_only)); }

void get_status(Call& call) {
  call.services.backend.status(answer_with<Status>(call.reply, 200, [](const Status& s) { return to_json(s); }));
}

constexpr auto image_json = [](const ImageStatus& i) { return to_json(i); };

void list_images(Call& call) {
  call.services.backend.images(answer_with<std::vector<ImageStatus>>(call.reply, 200, listed));
}

void get_image(Call& call) {
  call.services.backend.image(call.name, answer_with<ImageStatus>(call.reply, 200, image_json));
}

void release_image(Call& call) {
  auto request = parse_release(call.request.body, call.name);
  if (!request) return call.reply->error(request.error());
  call.services.backend.release(
      std::move(*request), call.request.who,
      answer_with<ImageVersion>(call.reply, 201, [](const ImageVersion& v) { return mayfly::to_json(v); }));
}

void rollback_image(Call& call) {
  std::optional<SemVer> to;
  if (auto text = call.text("to"); !text.empty()) to = SemVer::parse(text).value();  // checked by the route's table
  call.services.backend.rollback_image(call.name, to, call.request.who,
                                       answer_with<ImageStatus>(call.reply, 200, image_json));
}

void publish_image(Call& call) {
  call.services.backend.publish_image(call.name, call.request.who,
                                      answer_with<ImageStatus>(call.reply, 200, image_json));
}

void list_rollouts(Call& call) {
  call.services.backend.rollouts(answer_with<std::vector<PoolVersions>>(call.reply, 200, listed));
}

void change_rollout(Call& call, RolloutOrder order) {
  call.services.backend.change_rollout(
      call.name, order, call.request.who,
      answer_with<PoolVersions>(call.reply, 200, [](const PoolVersions& p) { return mayfly::to_json(p); }));
}

void drain(Call& call) {
  call.services.backend.drain(call.request.who,
                              answer_with<Status>(call.reply, 200, [](const Status& s) { return to_json(s); }));
}

constexpr auto build_json = [](const ImageBuild& b) { return mayfly::to_json(b); };

void build_image(Call& call) {
  call.services.backend.build_image(
      {call.name, call.text("ref"), BuildTrigger::hand, call.request.who, call.flag("again")},
      answer_with<ImageBuild>(call.reply, 201, build_json));
}

void list_builds(Call& call) {
  call.services.backend.image_builds(call.text("image"), call.number("limit", 20),
                                     answer_with<std::vector<ImageBuild>>(call.reply, 200, listed));
}

void get_build(Call& call) {
  call.services.backend.image_build(call.id, answer_with<ImageBuild>(call.reply, 200, build_json));
}

void get_build_log(Call& call) {
  auto path = call.services.paths.build(call.id) + "/log";
  call.services.backend.image_build(call.id, [path, reply = call.reply](Result<ImageBuild> build) {
    auto* r = reply.get();
    r->on_loop([path, reply, build = std::move(build)] {
      if (!build) return reply->error(build.error());
      if (::access(path.c_str(), R_OK) != 0)
        return reply->error({ErrorCode::not_found, "this host has written nothing for this build", path, {}});
      reply->file(path, "application/octet-stream");
    });
  });
}

void approve_build(Call& call) {
  call.services.backend.approve_build(call.id, call.request.who, answer_with<ImageBuild>(call.reply, 200, build_json));
}

void cancel_build(Call& call) {
  call.services.backend.cancel_build(call.id, call.request.who, answer_with<ImageBuild>(call.reply, 200, build_json));
}

void list_ledger(Call& call) {
  call.services.backend.ledger(call.number("from", 1), call.number("limit", 1000), call.text("subject"),
                               answer_with<std::vector<LedgerEntry>>(call.reply, 200, listed));
}

void verify_ledger(Call& call) {
  call.services.backend.verify_ledger(
      answer_with<LedgerCheck>(call.reply, 200, [](const LedgerCheck& c) { return to_json(c); }));
}

void get_openapi(Call& call) { call.reply->json(200, json::serialize(openapi(call.services.version))); }
void get_version(Call& call) {
  call.reply->json(200, json::serialize(json::object{{"version", call.services.version}, {"api", "v1"}}));
}
void get_health(Call& call) { call.reply->json(200, R"({"ok":true})"); }

}  // namespace mayfly::api
