#include "net/file_watch.h"

#include <sys/inotify.h>

#include <cerrno>
#include <map>
#include <optional>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "net/task.h"

namespace mayfly::net {

struct FileWatch::Impl : std::enable_shared_from_this<FileWatch::Impl> {
  explicit Impl(asio::io_context& c) : context(c), inotify(c) {}

  Result<void> open() {
    int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0) return Unexpected(errno_error("inotify is not available", errno));
    inotify.assign(fd);
    asio::co_spawn(context, run(shared_from_this()), asio::detached);
    return {};
  }

  static Task<void> run(std::shared_ptr<Impl> self) {
    while (self->inotify.is_open()) {
      auto [ec] = co_await self->inotify.async_wait(asio::posix::stream_descriptor::wait_read, use_task);
      if (ec) co_return;
      self->read_events();
    }
  }

  void read_events() {
    alignas(inotify_event) char buffer[16 << 10];
    for (;;) {
      ssize_t n = ::read(inotify.native_handle(), buffer, sizeof buffer);
      if (n <= 0) return;
      for (ssize_t at = 0; at < n;) {
        auto* event = reinterpret_cast<inotify_event*>(buffer + at);
        at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
        if (event->mask & IN_Q_OVERFLOW) {
          for (auto& [wd, entries] : watches) call(entries);  // events were dropped: everybody looks again
        } else if (auto found = watches.find(event->wd); found != watches.end()) {
          call(found->second);
        }
      }
    }
  }

  using Entries = std::map<std::uint64_t, std::function<void()>>;
  static void call(const Entries& entries) {
    for (auto& [id, f] : entries) f();  // a callback only wakes somebody: it never changes the maps
  }

  asio::io_context& context;
  asio::posix::stream_descriptor inotify;
  std::map<int, Entries> watches;
  std::uint64_t next = 1;
  bool closed = false;
};

namespace {

struct Ender final : FileWatch::Subscription {
  explicit Ender(std::function<void()> f) : end(std::move(f)) {}
  ~Ender() override { end(); }
  std::function<void()> end;
};

}  // namespace

FileWatch::FileWatch(asio::io_context& context) : impl_(std::make_shared<Impl>(context)) {}
FileWatch::~FileWatch() { close(); }

void FileWatch::close() {
  impl_->closed = true;  // a stream that looks once more while it ends must not open it again
  error_code ignored;
  impl_->inotify.close(ignored);
}

std::size_t FileWatch::watched() const { return impl_->watches.size(); }

Result<std::unique_ptr<FileWatch::Subscription>> FileWatch::watch(const std::string& path,
                                                                  std::function<void()> on_change) {
  if (impl_->closed) return fail(ErrorCode::unavailable, "the server is stopping", path);
  if (!impl_->inotify.is_open()) MAYFLY_TRY(impl_->open());
  // IN_MODIFY and IN_CREATE never both matter for one path, so one mask serves files and directories.
  int wd = ::inotify_add_watch(impl_->inotify.native_handle(), path.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO);
  if (wd < 0 && errno == ENOSPC)
    return fail(ErrorCode::exhausted, "the host's limit of file watches is reached", path,
                "Raise fs.inotify.max_user_watches.");
  if (wd < 0) return Unexpected(errno_error("cannot watch", errno, path));
  auto id = impl_->next++;
  impl_->watches[wd].emplace(id, std::move(on_change));
  return std::make_unique<Ender>([weak = std::weak_ptr<Impl>(impl_), wd, id] {
    auto impl = weak.lock();
    if (!impl) return;
    auto found = impl->watches.find(wd);
    if (found == impl->watches.end()) return;
    found->second.erase(id);
    if (!found->second.empty()) return;
    impl->watches.erase(found);
    if (impl->inotify.is_open()) ::inotify_rm_watch(impl->inotify.native_handle(), wd);
  });
}

}  // namespace mayfly::net
