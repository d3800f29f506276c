// Answers of the service, whatever they are: read without a crash, and what comes out of them makes sense.
#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "ci/azure_devops/demands.h"
#include "ci/azure_devops/job.h"
#include "ci/azure_devops/replies.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mayfly;
  using namespace mayfly::azure_devops;
  std::string_view body(reinterpret_cast<const char*>(data), size);
  if (auto seen = parse_job_requests(body)) {
    (void)version_asked_for(seen->all);
    for (const auto& r : seen->all) {
      MAYFLY_CHECK(r.id > 0);
      MAYFLY_CHECK(!(r.pending() && r.running()));
      auto job = to_ci_job(r, "https://x");
      MAYFLY_CHECK(!job.id.empty() && !job.url.empty());
      MAYFLY_CHECK((job.phase == CiPhase::ended) == (!r.pending() && !r.running()));
      (void)unmet_demand(r.demands, {{"docker", "yes"}, {"tool", "1.2"}}, Case::ignore);
    }
  }
  if (auto agents = parse_agents(body))
    for (const auto& a : *agents) MAYFLY_CHECK(a.name.id > 0);
  if (auto agent = parse_agent(body)) MAYFLY_CHECK(agent->name.id > 0);
  if (auto pools = parse_pools(body))
    for (const auto& p : *pools) MAYFLY_CHECK(p.id > 0);
  if (auto token = parse_token(body)) MAYFLY_CHECK(!token->value.empty() && token->lifetime >= Duration{});
  MAYFLY_CHECK(error_message(body).size() <= 300);
  (void)parse_time(body);
  return 0;
}
