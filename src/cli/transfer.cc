#include "cli/transfer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <optional>
#include <thread>

#include "model/json.h"

namespace mayfly {
namespace {

// libarchive wants to push, and to pull, just where the HTTP client does too: a thread and a pipe lie between them.
class Pipe {
 public:
  Pipe() { MAYFLY_CHECK(::pipe2(fds_, O_CLOEXEC) == 0); }
  ~Pipe() {
    close_read();
    close_write();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int read_end() const { return fds_[0]; }
  int write_end() const { return fds_[1]; }
  void close_read() { close_one(fds_[0]); }
  void close_write() { close_one(fds_[1]); }

 private:
  static void close_one(int& fd) {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
  int fds_[2] = {-1, -1};
};

Error interrupted() { return Error{ErrorCode::unavailable, "interrupted", {}, {}}; }

}  // namespace

Result<std::string> upload_directory(Api& api, const std::string& directory, int wake_fd) {
  Pipe pipe;
  Result<void> packed;
  std::thread packer([&] {
    packed = pack_tar(directory, pipe.write_end(), upload_limit);
    pipe.close_write();
  });
  HttpRequest request{.method = "POST", .path = "/v1/uploads", .content_type = "application/x-tar"};
  request.timeout = Duration{};
  request.idle_timeout = seconds(60);
  bool ended = false;
  request.upload = [&](char* buffer, std::size_t size) -> Result<std::size_t> {
    for (;;) {
      pollfd fds[2] = {{pipe.read_end(), POLLIN, 0}, {wake_fd, POLLIN, 0}};
      ::poll(fds, 2, -1);
      if (fds[1].revents != 0) return Unexpected(interrupted());
      ssize_t n = ::read(pipe.read_end(), buffer, size);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return Unexpected(errno_error("reading the archive", errno, directory));
      if (n > 0) return static_cast<std::size_t>(n);
      // Only what was packed whole may be ended as whole.
      packer.join();
      ended = true;
      if (!packed) return Unexpected(packed.error());
      return std::size_t{0};
    }
  };
  HttpStream watch;
  watch.wake_fd = wake_fd;
  watch.on_wake = [&] {
    pollfd p{wake_fd, POLLIN, 0};
    return ::poll(&p, 1, 0) <= 0;
  };
  auto answer = api.send(request, &watch);
  pipe.close_read();  // a packer that still writes stops with EPIPE
  if (!ended) packer.join();
  // What the packer says is nearer to the cause than that the upload broke off; but EPIPE is only our own doing.
  if (ended && !packed) return Unexpected(packed.error());
  if (!answer) return Unexpected(answer.error());
  if (answer->stopped) return Unexpected(interrupted());
  MAYFLY_ASSIGN(auto o, parse_json_object(answer->body));
  auto* id = o.if_contains("upload");
  if (!id || !id->is_string())
    return fail(ErrorCode::internal, "the daemon gave no id for the upload", api.address().server.name());
  return std::string(id->get_string().c_str());
}

Result<Unpacked> download_output(Api& api, std::uint64_t job, const std::string& directory, int wake_fd) {
  Pipe pipe;
  std::optional<Result<Unpacked>> unpacked;
  std::thread unpacker([&] {
    unpacked = unpack_tar(pipe.read_end(), directory);
    // Read on, so that padding after the archive's end is no broken pipe.
    char rest[4096];
    while (*unpacked && ::read(pipe.read_end(), rest, sizeof rest) > 0) {
    }
    pipe.close_read();
  });
  HttpRequest request{.path = fmt::format("/v1/jobs/{}/output", job)};
  request.timeout = Duration{};
  request.idle_timeout = seconds(60);
  HttpStream stream;
  stream.wake_fd = wake_fd;
  stream.on_wake = [&] {
    pollfd p{wake_fd, POLLIN, 0};
    return ::poll(&p, 1, 0) <= 0;
  };
  bool refused = false;
  stream.on_chunk = [&](std::string_view part) {
    while (!part.empty()) {
      ssize_t n = ::write(pipe.write_end(), part.data(), part.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return refused = true, false;
      part.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  };
  auto answer = api.send(request, &stream);
  pipe.close_write();
  unpacker.join();
  if (!answer) return Unexpected(answer.error());
  if (answer->stopped && !refused) return Unexpected(interrupted());
  return std::move(*unpacked);
}

}  // namespace mayfly
