#include "control/build_reports.h"

#include <algorithm>

#include <boost/json.hpp>

#include <fmt/format.h>

#include "base/text.h"

namespace mayfly {
namespace json = boost::json;
namespace {

constexpr int max_tries = 10;  // over eight and a half minutes, where the receiver answers at once
constexpr int max_at_once = 4;
constexpr Duration write_retry = std::chrono::seconds(1);

Duration backoff(int failures) { return std::chrono::seconds(1) * (1 << std::min(failures - 1, 8)); }

std::string sentence(const ImageBuild& b, const std::string& status) {
  if (!b.problem.empty() && status != "building") return b.problem.substr(0, 1000);
  if (status == "needs-approval")
    return fmt::format("{} of {} approvals: `mayfly image approve {} {}`", b.approvals.size(), b.approvals_needed,
                       b.image, b.id);
  if (status == "released") return fmt::format("{} {} is released", b.image, b.version);
  return fmt::format("build {} of image {} is {}", b.id, b.image, status);
}

std::string body_of(const ImageBuild& b, const std::string& status, const ImageSpec* image) {
  json::object out{{"event", "image-build"},
                   {"build", b.id},
                   {"image", b.image},
                   {"status", status},
                   {"over", is_final(b.state)},
                   {"repository", image ? image->repository : ""},
                   {"ref", b.ref},
                   {"commit", b.commit},
                   {"description", sentence(b, status)},
                   {"approvals", b.approvals.size()},
                   {"approvals_needed", b.approvals_needed}};
  if (!b.digest.empty()) out["digest"] = b.digest;
  if (!b.version.empty()) out["version"] = b.version;
  if (b.try_job != 0) out["job"] = b.try_job;
  return json::serialize(out);
}

// The first line, cut where a character ends.
std::string short_line(std::string text, std::size_t limit) {
  text = text.substr(0, text.find('\n'));
  text = text.substr(0, ill_formed_utf8(text));
  if (text.size() <= limit) return text;
  text = text.substr(0, limit - std::string_view("…").size());
  return text.substr(0, ill_formed_utf8(text)) + "…";
}

CommitState state_of(const std::string& status) {
  if (status == "released" || status == "passed" || status == "unchanged") return CommitState::succeeded;
  if (status == "failed") return CommitState::failed;
  return status == "cancelled" || status == "superseded" ? CommitState::error : CommitState::pending;
}

}  // namespace

Report report_of(const ImageBuild& b, const std::string& status, const ImageSpec* image, const ReportSpec& to) {
  return {to, "image-build", fmt::format("build-{}-{}", b.id, status), body_of(b, status, image)};
}

CommitStatus commit_status_of(const ImageBuild& b, const std::string& status, const std::string& repository) {
  constexpr std::size_t most = 140;  // that GitHub takes
  return {repository, b.commit, "mayfly/" + b.image, state_of(status), short_line(sentence(b, status), most)};
}

std::string BuildReports::owed(const ImageBuild* before, const ImageBuild& next) const {
  const auto& owed = next.*parts_.owed;
  if (!parts_.wanted(next)) return owed;
  if (next.commit.empty() && !is_final(next.state)) return owed;  // a commit's status needs the commit
  auto status = build_status(next);
  bool known = before && build_status(*before) == status && !before->commit.empty();
  return known ? owed : status;
}

void BuildReports::owe(BuildId id, const std::string& status) {
  if (status.empty()) return;
  auto& debt = debts_[id];
  if (debt.status == status) return;
  debt.status = status;
  debt.failures = 0;
  debt.at = parts_.clock.now();
  if (!wake_ || debt.at < *wake_) wake_ = debt.at;
}

void BuildReports::tick() {
  wake_.reset();
  auto free = max_at_once - std::count_if(debts_.begin(), debts_.end(), [](const auto& d) { return d.second.busy; });
  std::vector<BuildId> due;  // an answer may come at once, and change what is owed
  for (const auto& [id, debt] : debts_) {
    if (debt.busy) continue;
    if (debt.at > parts_.clock.now())
      wake_ = wake_ ? std::min(*wake_, debt.at) : debt.at;
    else if (static_cast<std::ptrdiff_t>(due.size()) < free)
      due.push_back(id);  // the others' turn comes with told()
  }
  for (BuildId id : due) {
    debts_.at(id).busy = true;
    tell(id, debts_.at(id).status);
  }
}

void BuildReports::tell(BuildId id, const std::string& status) {
  auto b = parts_.build(id);
  if (!b) return told(id, status, Unexpected(b.error()));
  parts_.tell(*b, status, [this, id, status](const Result<void>& outcome) { told(id, status, outcome); });
}

void BuildReports::told(BuildId id, const std::string& status, const Result<void>& outcome) {
  auto found = debts_.find(id);
  if (found == debts_.end()) return;
  auto& debt = found->second;
  auto now = parts_.clock.now();
  debt.busy = false;
  wake_ = now;                        // others may have waited for this one's place
  if (debt.status != status) return;  // overtaken meanwhile
  if (outcome) return settle(id, status, parts_.told, "");
  const Error& e = outcome.error();
  bool may_pass = e.code == ErrorCode::unavailable || e.code == ErrorCode::timeout || e.code == ErrorCode::exhausted;
  if (may_pass && ++debt.failures < max_tries) {
    debt.at = now + backoff(debt.failures);
    parts_.log.debug("build {} is {}, and could not be reported: {}", id, status, e.text());
    return;
  }
  parts_.log.warning("build {} is {}, and nobody was told: {}", id, status, e.text());
  settle(id, status, parts_.failed, e.text());
}

// The record no longer says that it is owed.
void BuildReports::settle(BuildId id, const std::string& status, const char* kind, const std::string& problem) {
  json::object detail{{"status", status}};
  if (!problem.empty()) detail["problem"] = problem;
  if (auto b = parts_.build(id); b && (*b).*parts_.owed == status) {
    ((*b).*parts_.owed).clear();
    if (!parts_.write(std::move(*b), kind, json::serialize(detail))) {
      debts_.at(id).at = parts_.clock.now() + write_retry;
      return;
    }
  }
  debts_.erase(id);
}

}  // namespace mayfly
