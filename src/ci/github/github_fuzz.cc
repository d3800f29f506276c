// What GitHub, or somebody who claims to be GitHub, may send: webhook bodies, answers, headers.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/text.h"
#include "ci/github/connector.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mayfly;
  using namespace mayfly::github;
  if (size == 0) return 0;
  std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0: {
      auto notice = read_notice("workflow_job", text);
      if (notice && *notice) {
        auto job = to_ci_job((*notice)->job);
        MAYFLY_CHECK(!job.id.empty() && job.id[0] != '-' && job.id != "0");
        MAYFLY_CHECK((*notice)->job.labels.size() <= 100 && !(*notice)->job.repository.empty());
      }
      break;
    }
    case 1: {
      auto value = parse(text);
      if (!value) break;
      (void)jobs_from(*value, "a/b");
      (void)runs_from(*value);
      (void)runners_from(*value);
      if (auto all = deliveries_from(*value)) (void)failed_deliveries(*all);
      (void)repositories_from(*value);
      (void)jit_runner_from(*value);
      (void)installation_token_from(*value);
      (void)runner_group_from(*value, "x");
      break;
    }
    case 2: {
      auto message = message_from(text);
      MAYFLY_CHECK(message.size() <= 300 && ill_formed_utf8(message) == std::string::npos &&
                   message.find_first_of("\n\r\x1b") == std::string::npos);
      if (auto next = next_link(text)) MAYFLY_CHECK(next->find('>') == std::string::npos);
      (void)signature_fits("secret", "body", text);
      (void)parse_address(text);
      break;
    }
    default: {
      // A time that was read is one that is written and read again.
      if (auto time = parse_time(text)) {
        auto ms = std::chrono::floor<milliseconds>(*time);
        if (ms.time_since_epoch().count() >= 0) MAYFLY_CHECK(parse_time(format_time(*time)) == Time(ms));
      }
      RateBudget budget;
      auto now = from_micros(1'700'000'000'000'000);
      std::string value(text);
      budget.heard(403,
                   {{"date", value},
                    {"retry-after", value},
                    {"x-ratelimit-limit", value},
                    {"x-ratelimit-remaining", value},
                    {"x-ratelimit-reset", value}},
                   true, now);
      MAYFLY_CHECK(budget.admit(Urgency::routine, now) <= std::chrono::hours(3));
    }
  }
  return 0;
}
