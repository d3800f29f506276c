// Changing the configuration: who may, and what.
#include <unistd.h>

#include <boost/json.hpp>

#include "api/handlers.h"
#include "api/shapes.h"
#include "model/json.h"
#include "model/json_reader.h"

namespace mayfly::api {
namespace json = boost::json;
namespace {

Backend::Done<ConfigPlan> answer(std::shared_ptr<net::Reply> reply) {
  return [reply = std::move(reply)](Result<ConfigPlan> result) {
    auto* r = reply.get();
    r->on_loop([reply, result = std::move(result)] {
      if (result)
        reply->json(200, json::serialize(to_json(*result)));
      else
        reply->error(result.error());
    });
  };
}

// A configuration names files that the daemon reads (recipes, secrets), so one that comes with the request may come
// only from those who could read them anyway. To have the daemon read its own file again does no harm.
Result<ConfigSubmission> submission(Call& call) {
  MAYFLY_ASSIGN(auto out, parse_config_submission(call.request.body));
  const auto& uid = call.request.peer.uid;
  if (out.source.text && (!uid || (*uid != 0 && *uid != ::geteuid())))
    return fail(ErrorCode::denied,
                "a configuration of one's own may be given only by root or the daemon's user, over the unix socket",
                "text", "Change the daemon's file and leave 'text' out.");
  return out;
}

}  // namespace

Result<ConfigSubmission> parse_config_submission(std::string_view body) {
  ConfigSubmission out;
  if (body.empty()) return out;
  MAYFLY_ASSIGN(auto object, parse_json_object(body));
  JsonReader r(object, "configuration");
  out.source.file = r.text("file");
  if (object.contains("text")) out.source.text = r.text("text");
  out.plan = r.text("plan");
  out.strand = r.flag("strand");
  r.refuse_unknown({"text", "file", "plan", "strand"});
  MAYFLY_TRY(r.check());
  if (out.source.text && (out.source.file.empty() || out.source.file.front() != '/' || out.source.file.size() > 4096))
    return fail(ErrorCode::invalid, "'file' must be the absolute path that the text is from", "configuration");
  if (!out.source.text && !out.source.file.empty())
    return fail(ErrorCode::invalid, "'file' without 'text' means nothing: the daemon reads only its own file",
                "configuration", "Send the file's text too, or leave both out.");
  return out;
}

void plan_config(Call& call) {
  auto asked = submission(call);
  if (!asked) return call.reply->error(asked.error());
  call.services.backend.plan_config(std::move(asked->source), answer(call.reply));
}

void apply_config(Call& call) {
  auto asked = submission(call);
  if (!asked) return call.reply->error(asked.error());
  ConfigOrder order;
  order.who = call.request.who;
  order.plan = std::move(asked->plan);
  order.strand = asked->strand;
  call.services.backend.apply_config(std::move(asked->source), std::move(order), answer(call.reply));
}

}  // namespace mayfly::api
