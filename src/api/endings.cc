#include "api/endings.h"

namespace mayfly::api {

std::shared_ptr<Ending> Endings::of(JobId id) {
  // Those that are over serve nobody new: whoever asks again learns it from the backend, which may have news.
  std::erase_if(endings_, [](const auto& e) { return e.second->notice.raised(); });
  auto& ending = endings_[id];
  if (ending) return ending;
  auto made = ending = std::make_shared<Ending>();
  backend_.when_ended(id, [made](Result<Job> job) {
    made->result = std::move(job);
    made->notice.raise();
  });
  return made;
}

}  // namespace mayfly::api
