// drain: ends the daemon when its running jobs have finished.
#include <fmt/format.h>

#include <boost/json.hpp>

#include "cli/commands.h"
#include "cli/connection.h"
#include "cli/interrupt.h"
#include "cli/read.h"

namespace mayfly {
namespace {

constexpr int look_again_ms = 300;
constexpr int gone_after = 5;  // times in a row that nobody answered: a busy daemon may miss one

std::int64_t running(const boost::json::object& status) {
  std::int64_t n = 0;
  for (const auto* p : read_objects(status, "pools")) n += read_number(*p, "busy");
  return n;
}

std::string still(std::int64_t jobs) {
  return jobs == 0 ? "no job runs any more"
                   : fmt::format("{} job{} still run{}", jobs, jobs == 1 ? "" : "s", jobs == 1 ? "s" : "");
}

}  // namespace

int command_drain(Call& call) {
  auto address = find_daemon(call.line.connection, call.environment);
  if (!address) return call.usage(address.error());
  Api api(std::move(*address));
  auto status = api.post("/v1/drain");
  if (!status) return call.failed(status.error());
  if (call.has("json")) call.output.out(boost::json::serialize(*status) + "\n");
  if (call.has("no-wait")) {
    if (!call.has("json")) call.output.out(fmt::format("The daemon is draining: {}.\n", still(running(*status))));
    return 0;
  }
  Interrupts interrupts;
  for (int unanswered = 0; unanswered < gone_after;) {
    if (status) call.output.progress(still(running(*status)));
    interrupts.sleep(look_again_ms);
    if (interrupts.taken() > 0) {
      call.output.remark("no longer waiting; the daemon goes on draining");
      return exit_failed;
    }
    status = api.get("/v1/status");
    unanswered = status ? 0 : unanswered + 1;
  }
  call.output.progress("");
  if (!call.has("json")) call.output.out("The daemon has ended; every job that ran has finished.\n");
  return 0;
}

}  // namespace mayfly
