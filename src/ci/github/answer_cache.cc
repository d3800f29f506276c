#include "ci/github/answer_cache.h"

#include <utility>

namespace mayfly::github {

void AnswerCache::drop(std::list<Found>::iterator entry) {
  bytes_ -= size(**entry);
  by_path_.erase((*entry)->path);
  entries_.erase(entry);
}

AnswerCache::Found AnswerCache::find(const std::string& path) {
  auto found = by_path_.find(path);
  if (found == by_path_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return entries_.front();
}

void AnswerCache::put(Entry entry) {
  if (auto old = by_path_.find(entry.path); old != by_path_.end()) drop(old->second);
  if (entry.etag.empty() || size(entry) > max_bytes_) return;
  bytes_ += size(entry);
  entries_.push_front(std::make_shared<const Entry>(std::move(entry)));
  by_path_[entries_.front()->path] = entries_.begin();
  while (bytes_ > max_bytes_) drop(std::prev(entries_.end()));
}

}  // namespace mayfly::github
