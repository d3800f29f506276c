#include "ci/github/runners.h"

#include <algorithm>

#include <fmt/format.h>

#include <boost/json.hpp>

#include "base/text.h"

namespace mayfly::github {
namespace {

constexpr int max_pages = 110;  // a group has 10,000 runners at most

}  // namespace

Result<std::int64_t> Runners::group(Deadline deadline) {
  constexpr std::int64_t default_group = 1;
  if (group_.empty() || !address_.whole_organization()) return default_group;
  {
    std::lock_guard lock(mutex_);
    if (group_id_ != 0) return group_id_;
  }
  std::optional<std::int64_t> found;
  auto done = api_->pages(
      {.path = fmt::format("/orgs/{}/actions/runner-groups?per_page=100", address_.owner), .urgency = Urgency::urgent},
      max_pages,
      [&](const json::value& page) -> Result<bool> {
        found = runner_group_from(page, group_);
        return !found;
      },
      deadline);
  if (!done) return Unexpected(done.error());
  if (!found)
    return fail(ErrorCode::not_found, fmt::format("there is no runner group '{}'", group_), address_.text(),
                "Make it in the organization's settings (Actions, Runner groups), or correct runner_group.");
  std::lock_guard lock(mutex_);
  return group_id_ = *found;
}

Result<JitRunner> Runners::make(const std::string& name, const std::vector<std::string>& labels, Deadline deadline) {
  MAYFLY_ASSIGN(auto group_id, group(deadline));
  json::object body{{"name", name}, {"runner_group_id", group_id}, {"work_folder", "_work"}};
  body["labels"] = json::value_from(labels);
  Call call{.method = "POST",
            .path = address_.runners() + "/generate-jitconfig",
            .body = json::serialize(body),
            .urgency = Urgency::urgent};
  auto reply = api_->call(call, deadline);
  if (!reply && reply.error().code == ErrorCode::conflict) {
    // The reply to an earlier try was lost; its configuration cannot be had again.
    auto old = by_name(name, deadline);
    if (!old && old.error().code != ErrorCode::not_found) return Unexpected(old.error());
    if (old) MAYFLY_TRY(remove(old->id, deadline));
    reply = api_->call(call, deadline);
  }
  if (!reply) {
    std::lock_guard lock(mutex_);
    group_id_ = 0;  // it may have been made anew
  }
  if (!reply && reply.error().code == ErrorCode::not_found) {
    auto e = reply.error();
    return fail(ErrorCode::denied, e.what, e.where,
                e.next + " Registering runners needs the right to administer them: docs/github.md, rights.");
  }
  if (!reply) return Unexpected(reply.error());
  return jit_runner_from(reply->value);
}

Result<std::vector<Runner>> Runners::with_prefix(const std::string& prefix, Deadline deadline) {
  std::vector<Runner> out;
  auto low = to_lower(prefix);
  auto whole = api_->pages(
      {.path = address_.runners() + "?per_page=100"}, max_pages,
      [&](const json::value& page) -> Result<bool> {
        MAYFLY_ASSIGN(auto some, runners_from(page));
        for (auto& r : some)
          if (to_lower(r.name).starts_with(low)) out.push_back(std::move(r));
        return true;
      },
      deadline);
  if (!whole) return Unexpected(whole.error());
  return out;
}

Result<Runner> Runners::by_name(const std::string& name, Deadline deadline) {
  // Older enterprise servers do not know `name` and give all, so all are gone through.
  std::optional<Runner> found;
  auto done = api_->pages(
      {.path = fmt::format("{}?name={}&per_page=100", address_.runners(), url_encode(name)),
       .urgency = Urgency::urgent},
      max_pages,
      [&](const json::value& page) -> Result<bool> {
        MAYFLY_ASSIGN(auto some, runners_from(page));
        for (auto& r : some)
          if (to_lower(r.name) == to_lower(name)) found = std::move(r);
        return !found;
      },
      deadline);
  if (!done) return Unexpected(done.error());
  if (found) return *found;
  return fail(ErrorCode::not_found, fmt::format("there is no runner '{}'", name), address_.text());
}

Result<void> Runners::remove(std::int64_t id, Deadline deadline) {
  auto reply = api_->call(
      {.method = "DELETE", .path = fmt::format("{}/{}", address_.runners(), id), .urgency = Urgency::urgent}, deadline);
  if (reply || reply.error().code == ErrorCode::not_found) return {};
  // 422: "Runner … is currently running a job and cannot be deleted."
  if (reply.error().code == ErrorCode::invalid)
    return fail(ErrorCode::conflict, reply.error().what, reply.error().where, "It is removed once its job has ended.");
  return Unexpected(reply.error());
}

}  // namespace mayfly::github
