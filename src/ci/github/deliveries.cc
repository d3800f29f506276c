#include "ci/github/deliveries.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

namespace mayfly::github {
namespace {

constexpr auto pause = std::chrono::minutes(1);
constexpr auto look_back = std::chrono::minutes(30);  // what is older, the queue has shown long since
constexpr int max_pages = 5, max_at_once = 50, max_tries = 3;

}  // namespace

std::map<std::string, std::int64_t> failed_deliveries(const std::vector<Delivery>& all) {
  std::map<std::string, std::int64_t> failed;
  std::set<std::string> arrived;
  for (const auto& d : all) {
    if (d.event != "workflow_job") continue;
    // 0: under way, or not told.
    if (d.ok() || d.status_code == 0) arrived.insert(d.guid);
    auto& latest = failed[d.guid];
    latest = std::max(latest, d.id);
  }
  std::erase_if(failed, [&](const auto& entry) { return arrived.contains(entry.first); });
  return failed;
}

Result<int> Redelivery::sweep(Deadline deadline) {
  auto now = clock_.now();
  if (!api_->credentials().app() || (now < next_ && next_ <= now + pause)) return 0;
  next_ = now + pause;
  auto oldest = api_->server_now() - look_back;
  std::vector<Delivery> recent;
  auto listed = api_->pages(
      {.path = "/app/hook/deliveries?per_page=100", .as_app = true}, max_pages,
      [&](const json::value& page) -> Result<bool> {
        MAYFLY_ASSIGN(auto some, deliveries_from(page));
        bool more = !some.empty();
        for (auto& d : some)
          if (d.delivered_at >= oldest)
            recent.push_back(std::move(d));
          else
            more = false;
        return more;
      },
      deadline);
  if (!listed) return Unexpected(listed.error());
  auto failed = failed_deliveries(recent);
  std::erase_if(asked_, [&](const auto& entry) { return !failed.contains(entry.first); });
  int asked = 0;
  for (const auto& [guid, id] : failed) {
    if (asked == max_at_once || asked_[guid] >= max_tries) continue;
    ++asked_[guid];
    MAYFLY_TRY(api_->call(
        {.method = "POST", .path = fmt::format("/app/hook/deliveries/{}/attempts", id), .as_app = true}, deadline));
    ++asked;
  }
  return asked;
}

}  // namespace mayfly::github
