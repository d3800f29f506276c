#pragma once
// Answers with their ETags, so that asking again costs nothing when nothing changed. Bounded; the least recently used
// go. Not safe for several threads at once; what it gave out stays valid.
#include <list>
#include <map>
#include <memory>
#include <string>

namespace mayfly::github {

class AnswerCache {
 public:
  struct Entry {
    std::string path, etag, body, link;
  };
  using Found = std::shared_ptr<const Entry>;
  explicit AnswerCache(std::size_t max_bytes = 64u << 20) : max_bytes_(max_bytes) {}

  Found find(const std::string& path);  // null: not there
  void put(Entry entry);                // without an ETag: only removes what was there
  std::size_t bytes() const { return bytes_; }

 private:
  static std::size_t size(const Entry& e) {
    return e.path.size() + e.etag.size() + e.body.size() + e.link.size() + 256;
  }
  void drop(std::list<Found>::iterator entry);

  const std::size_t max_bytes_;
  std::size_t bytes_ = 0;
  std::list<Found> entries_;  // the most recently used first
  std::map<std::string, std::list<Found>::iterator> by_path_;
};

}  // namespace mayfly::github
