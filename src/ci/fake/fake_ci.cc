#include "ci/fake/fake_ci.h"

#include <algorithm>

#include "base/text.h"

namespace mayfly {

Result<CiNews> FakeCi::receive(const std::vector<std::pair<std::string, std::string>>& headers, std::string_view body) {
  auto header = [&](std::string_view name) {
    auto h = std::find_if(headers.begin(), headers.end(), [&](const auto& h) { return h.first == name; });
    return h == headers.end() ? std::string() : h->second;
  };
  if (header("x-fake-secret") != secret_) return fail(ErrorCode::denied, "the secret is missing or wrong", "webhook");
  CiNews news;
  for (const auto& line : split(body, '\n')) {
    if (line.empty()) continue;
    auto space = line.find(' ');
    if (space == std::string::npos || space == 0) return fail(ErrorCode::invalid, "not a line of ID PHASE", "webhook");
    CiJob job{.id = line.substr(0, space)};
    auto phase = line.substr(space + 1);
    job.phase = phase == "pending" ? CiPhase::pending : phase == "running" ? CiPhase::running : CiPhase::ended;
    news.jobs.push_back(std::move(job));
  }
  std::scoped_lock lock(mutex_);
  auto id = header("x-fake-delivery");
  if (std::find(delivered_.begin(), delivered_.end(), id) != delivered_.end())
    return fail(ErrorCode::conflict, "this delivery came before", "webhook");
  delivered_.push_back(id);
  if (delivered_.size() > 1000) delivered_.pop_front();
  news.look = true;
  return news;
}

}  // namespace mayfly
