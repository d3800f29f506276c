#pragma once
// Inside net/ only: one inotify instance for a whole loop, since a host allows only 128 of them to a user.
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"

namespace boost::asio {
class io_context;
}

namespace mayfly::net {

class FileWatch {
 public:
  explicit FileWatch(boost::asio::io_context& context);
  ~FileWatch();

  class Subscription {
   public:
    virtual ~Subscription() = default;  // ends it
  };
  // Calls back on the loop's thread whenever the file is written to, or an entry appears in the directory. It may also
  // be called without cause. not_found if the path does not exist; exhausted if the host's limit of watches is reached.
  Result<std::unique_ptr<Subscription>> watch(const std::string& path, std::function<void()> on_change);
  std::size_t watched() const;  // how many files and directories, for tests
  void close();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mayfly::net
