#include "platforms/local/launcher_client.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace mayfly::local {
namespace {

constexpr int ready_patience_ms = 20'000;  // longer than the launcher itself waits for its lock

Result<pid_t> spawn(const std::string& program, int control) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, control, 3);
  posix_spawn_file_actions_addclosefrom_np(&actions, 4);
  posix_spawn_file_actions_addchdir_np(&actions, "/");
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  char name[] = "mayfly-launcher";
  char* argv[] = {name, nullptr};
  pid_t pid = -1;
  const int error = posix_spawn(&pid, program.c_str(), &actions, &attributes, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return Unexpected(errno_error("cannot start the launcher", error, program));
  return pid;
}

}  // namespace

Result<std::unique_ptr<LauncherClient>> LauncherClient::start(const std::string& program, const LauncherSetup& setup) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return Unexpected(errno_error("cannot make a socket", errno));
  os::Fd ours(ends[0]), theirs(ends[1]);
  // dup2 of a descriptor onto itself would leave close-on-exec set, so it is moved away from 3 first.
  os::Fd high(fcntl(theirs.get(), F_DUPFD_CLOEXEC, 10));
  theirs.reset();
  MAYFLY_ASSIGN(const pid_t pid, spawn(program, high.get()));
  high.reset();
  std::unique_ptr<LauncherClient> client(new LauncherClient(std::move(ours), pid));
  MAYFLY_TRY(send_message(client->control_.get(), encode(setup)));
  pollfd readable{client->control_.get(), POLLIN, 0};
  if (poll(&readable, 1, ready_patience_ms) <= 0)
    return fail(ErrorCode::timeout, "the launcher did not become ready", setup.directory);
  MAYFLY_ASSIGN(const std::string first, receive_message(client->control_.get()));
  if (first.empty()) return fail(ErrorCode::internal, "the launcher ended at once", program);
  MAYFLY_ASSIGN(const LaunchAnswer ready, decode_answer(first));
  if (!ready.ok)
    return fail(ErrorCode::unsupported, ready.error, "launcher", "`mayfly doctor` says what this host lacks");
  client->reader_ = std::thread([c = client.get()] { c->read_answers(); });
  return client;
}

LauncherClient::~LauncherClient() {
  LaunchOrder goodbye;
  goodbye.goodbye = true;
  (void)send_message(control_.get(), encode(goodbye));
  shutdown(control_.get(), SHUT_RDWR);
  if (reader_.joinable()) reader_.join();
  control_.reset();
  waitpid(pid_, nullptr, 0);
}

void LauncherClient::read_answers() {
  for (;;) {
    auto message = receive_message(control_.get());
    auto answer = message && !message->empty() ? decode_answer(*message)
                                               : Result<LaunchAnswer>(fail(ErrorCode::internal, "gone"));
    const std::lock_guard lock(mutex_);
    if (!message || message->empty())
      gone_ = true;
    else if (answer)
      if (auto waiting = waiting_.find(answer->number); waiting != waiting_.end()) waiting->second = std::move(*answer);
    changed_.notify_all();
    if (gone_) return;
  }
}

Result<void> LauncherClient::launch(LaunchOrder order, Deadline deadline) {
  std::unique_lock lock(mutex_);
  const std::uint64_t number = order.number = ++last_number_;
  waiting_[number];
  if (auto sent = send_message(control_.get(), encode(order)); !sent) {
    waiting_.erase(number);
    // Known here before the reader has heard of it: who tries again at once should find another launcher.
    pollfd line{control_.get(), 0, 0};
    if (poll(&line, 1, 0) > 0 && (line.revents & (POLLHUP | POLLERR)) != 0) gone_ = true;
    return sent;
  }
  changed_.wait_until(lock, deadline, [&] { return gone_ || waiting_[number].has_value(); });
  const auto answer = std::move(waiting_[number]);
  waiting_.erase(number);
  if (answer && answer->ok) return {};
  if (answer) return fail(ErrorCode::unavailable, answer->error, order.id);
  if (gone_) return fail(ErrorCode::unavailable, "the launcher is gone", order.id, "It is started anew; try again");
  return fail(ErrorCode::timeout, "the container did not start in time", order.id);
}

void LauncherClient::cancel(const std::string& id) {
  LaunchOrder order;
  order.id = id;
  order.cancel = true;
  (void)launch(order, std::chrono::steady_clock::now() + std::chrono::seconds(2));
}

bool LauncherClient::alive() const {
  const std::lock_guard lock(mutex_);
  return !gone_;
}

}  // namespace mayfly::local
