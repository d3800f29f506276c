#pragma once
// The webhook `workflow_job`: whether it is from GitHub, whether it is new, and what it says. What it says is a hint
// that makes the next look at the queue come at once; the API has the last word.
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "ci/github/wire.h"

namespace mayfly::github {

// "sha256=" and 64 hex digits, as X-Hub-Signature-256 has it: HMAC-SHA256 of the raw body. Takes the same time wherever
// the first difference is. An empty secret signs nothing.
bool signature_fits(std::string_view secret, std::string_view body, std::string_view header);

struct JobNotice {
  std::string action;  // queued, in_progress, completed, waiting
  WorkflowJob job;     // its repository is filled in
};

// Of a body whose signature fits. invalid: not what GitHub documents. Nothing: another event, or an action that changes
// nothing for us.
Result<std::optional<JobNotice>> read_notice(std::string_view event, std::string_view body);

// Remembers which deliveries were taken. GitHub sends no time of its own along, so an old one is told by the times of
// the job in it. Not safe for several threads at once.
class ReplayGuard {
 public:
  // True once per delivery id. A redelivery has the id of its first try, so an id is remembered only once its notice
  // was taken. False, too, for what happened longer ago than a redelivery is possible.
  bool take(const std::string& delivery, Time happened, Time now);

 private:
  struct Seen {
    std::string delivery;
    Time at;
  };
  std::deque<Seen> order_;
  std::set<std::string> seen_;
};

// How long GitHub can redeliver: nothing older is believed.
inline constexpr auto oldest_notice = std::chrono::hours(72);
inline constexpr std::size_t max_notice = 1u << 20;  // bytes of a body; those of workflow_job have some 10 KiB

}  // namespace mayfly::github
