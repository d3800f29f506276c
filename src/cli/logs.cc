// logs, cancel: one job at a time.
#include <fmt/format.h>

#include <boost/json.hpp>

#include "cli/commands.h"
#include "cli/follow.h"
#include "model/json.h"

namespace mayfly {

int command_logs(Call& call) {
  auto id = call.job_operand();
  if (!id) return call.usage(id.error());
  auto offset = call.number("offset", 0, 0, INT64_MAX);
  if (!offset) return call.usage(offset.error());
  auto address = find_daemon(call.line.connection, call.environment);
  if (!address) return call.usage(address.error());
  Api api(std::move(*address));
  Interrupts interrupts;
  FollowOptions options;
  options.job = *id;
  options.offset = static_cast<std::uint64_t>(*offset);
  options.follow = call.has("follow");
  // Unlike `run` there is nothing left to do once nobody reads: `mayfly logs -f 17 | head` ends.
  options.sink = [&](LogStream stream, std::string_view bytes) {
    if (stream == LogStream::mayfly) return call.output.remark(bytes), true;
    return stream == LogStream::out ? call.output.out(bytes) : call.output.err(bytes);
  };
  options.on_wake = [&] { return interrupts.taken() == 0; };
  for (;;) {
    auto followed = follow_log(api, options, interrupts, call.output);
    if (!followed) return call.failed(followed.error());
    if (followed->stopped) return interrupts.taken() > 0 ? 130 : 0;
    if (!options.follow) return 0;
    // A daemon that stops ends its streams too; the job's state tells the two apart.
    auto job = patient_job(api, *id, options.patience, options.on_wake, interrupts, call.output);
    if (!job) return interrupts.taken() > 0 ? 130 : call.failed(job.error());
    if (is_final(job->state)) return 0;
    options.offset = followed->offset;
    interrupts.sleep(50);
  }
}

int command_cancel(Call& call) {
  std::vector<std::uint64_t> ids;
  for (std::size_t i = 0; i < call.line.operands.size(); ++i) {
    auto id = call.job_operand(i);
    if (!id) return call.usage(id.error());
    ids.push_back(*id);
  }
  auto address = find_daemon(call.line.connection, call.environment);
  if (!address) return call.usage(address.error());
  Api api(std::move(*address));
  int code = 0;
  for (auto id : ids) {
    auto answer = api.post(fmt::format("/v1/jobs/{}/cancel", id));
    if (!answer) {
      code = call.failed(answer.error());
      if (!api.connected()) return code;  // nobody is there for the others either
      continue;
    }
    if (call.has("json")) {
      call.output.out(boost::json::serialize(*answer) + "\n");
      continue;
    }
    auto job = job_from_json(*answer);
    bool over = job && is_final(job->state);
    call.output.out(over ? fmt::format("Job {} is {}.\n", id, to_string(job->state))
                         : fmt::format("Job {} is being cancelled.\n", id));
  }
  return code;
}

}  // namespace mayfly
