#include "platforms/local/launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "platforms/local/launch_steps.h"
#include "platforms/local/launcher_support.h"
#include "platforms/local/remains.h"

namespace mayfly::local {
namespace {

constexpr std::size_t idle_slots = 4;       // as many as launches may run in parallel
constexpr int lock_patience_ms = 15'000;    // for a launcher of a killed daemon to finish
constexpr int finish_patience_ms = 10'000;  // for launches in flight once the daemon is gone
constexpr std::size_t max_shifted = 512;    // idmapped layers kept; beyond it, the whole cache is dropped

std::string failed(const std::string& what) { return what + ": " + std::strerror(errno); }

std::string tail_of(const std::string& path) {
  auto text = os::read_file(path, 1u << 20).value_or("");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.size() > 600 ? "…" + text.substr(text.size() - 600) : text;
}

}  // namespace

// Unless builders are left. The kernel lets go of removed children a moment after their rmdir, and says busy until
// then.
static void remove_parent_cgroup(const std::string& path) {
  for (int tries = 0; rmdir(path.c_str()) != 0 && errno == EBUSY && tries < 100; ++tries) {
    for (const auto& name : names_in(path))
      if (name.starts_with("s")) return;  // a slot's
    usleep(5000);
  }
}

int Launcher::run() {
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, nullptr);
  signals_.reset(signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
  const std::string error = prepare();
  (void)send_message(control_.get(), encode(LaunchAnswer{0, error.empty(), error}));
  if (!error.empty()) return 1;
  while (control_) {
    fill_slots();
    fill_networks();
    std::vector<pollfd> fds{{control_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
    networks_.add_to(fds);
    if (poll(fds.data(), fds.size(), -1) < 0) continue;
    if (fds[1].revents) reap();
    look_at_networks();
    if (fds[0].revents) take_message();
  }
  finish();
  if (!dismissed_ && !setup_.remove_when_gone.empty()) stop_builders();
  return 0;
}

std::string Launcher::prepare() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  birth_ = std::to_string(now.tv_sec) + "x" + std::to_string(now.tv_nsec / 1000);
  // Containers are children of the runtime, which ends; the launcher inherits and reaps them, whatever the host's PID 1
  // does.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (setup_.egress) networks_wanted_ = idle_slots;
  if (auto error = take_lock(); !error.empty()) return error;
  if (setup_.rootless)
    if (auto error = enter_user_namespace(setup_); !error.empty()) return error;
  if (auto error = private_mounts(setup_); !error.empty()) return error;
  if (setup_.cgroup.empty()) return "";
  if (auto error = make_parent_cgroups(setup_); !error.empty()) return error;
  remove_unowned_cgroups();
  return "";
}

// Without close-on-exec: a runtime still at work after this process was killed holds the lock too.
std::string Launcher::take_lock() {
  const std::string path = setup_.directory + "/launcher.lock";
  lock_.reset(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_) return failed("cannot open " + path);
  const int high = fcntl(lock_.get(), F_DUPFD, 64);
  if (high < 0) return failed("cannot duplicate a descriptor");
  lock_.reset(high);
  for (int waited = 0; flock(lock_.get(), LOCK_EX | LOCK_NB) != 0; waited += 5) {
    if (errno != EWOULDBLOCK || waited > lock_patience_ms)
      return "another launcher still works in " + setup_.directory + " (it holds launcher.lock)";
    usleep(5000);
  }
  return "";
}

void Launcher::remove_unowned_cgroups() {
  std::vector<std::string> owned;
  for (const auto& builder : names_in(setup_.directory + "/b"))
    owned.push_back(os::read_file(setup_.directory + "/b/" + builder + "/slot", 256).value_or(""));
  for (const auto& root : setup_.cgroup_roots)
    for (const auto& name : names_in(root + setup_.cgroup))
      if (name.starts_with("s") && std::find(owned.begin(), owned.end(), name) == owned.end()) remove_slot_cgroup(name);
}

void Launcher::remove_slot_cgroup(const std::string& name) {
  for (const auto& root : setup_.all_cgroup_roots) kill_and_remove_cgroup(slot_cgroup(setup_, root, name), 2000);
}

void Launcher::fill_slots() {
  while (slot_error_.empty() && idle_.size() < idle_slots)
    if (!fork_slot()) return;
}

bool Launcher::fork_slot() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return false;
  Slot slot;
  slot.name = "s" + birth_ + "-" + std::to_string(++slots_made_);
  slot.socket.reset(ends[0]);
  os::Fd theirs(ends[1]);
  slot.pid = fork();
  if (slot.pid == 0) {
    slot.socket.reset();  // with the launcher's end in its own hands a slot would never learn that the launcher is gone
    be_slot(slot.name, theirs.get());
  }
  if (slot.pid < 0) return false;
  idle_.push_back(std::move(slot));
  return true;
}

void Launcher::be_slot(const std::string& name, int socket) {
  control_.reset();
  networks_.forget();
  waiting_.clear();
  idle_.clear();  // their sockets: a slot ends when the launcher's end closes, so no other process may hold it
  busy_.clear();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int s : {SIGINT, SIGTERM, SIGPIPE}) signal(s, SIG_DFL);
  setsid();
  std::string error = prepare_cgroups(setup_, name);
  auto order_bytes = receive_message(socket);
  if (!order_bytes || order_bytes->bytes.empty()) _exit(0);
  auto order = decode_order(order_bytes->bytes);
  os::Fd hold;
  if (order && order->egress)
    if (auto more = receive_message(socket)) {
      hold = std::move(more->fd);
      replace_all(order->config, network_placeholder, "/proc/" + more->bytes);
    }
  if (error.empty())
    error = order ? carry_out(setup_, *order, name, std::move(order_bytes->fd), std::move(hold)) : order.error().what;
  (void)send_message(socket, error);
  _exit(1);
}

void Launcher::take_message() {
  auto message = receive_message(control_.get());
  if (!message || message->bytes.empty()) return control_.reset();
  auto order = decode_order(message->bytes);
  if (!order) return;
  if (order->goodbye) dismissed_ = true;
  if (order->goodbye) return;
  if (order->cancel) return cancel(*order);
  launch(std::move(*order), std::move(message->fd));
}

void Launcher::launch(LaunchOrder order, os::Fd listen_socket) {
  if (order.egress && !networks_.any_ready()) {
    networks_wanted_ = idle_slots;
    return waiting_.push_back({std::move(order), std::move(listen_socket)});
  }
  if (auto error = make_lowers(order); !error.empty()) return answer(order, error);
  if (idle_.empty() && !fork_slot()) return answer(order, failed("cannot fork"));
  Slot slot = std::move(idle_.front());
  idle_.pop_front();
  if (order.egress) slot.network = std::move(*networks_.take());
  if (auto error = hand_over(slot, order, listen_socket); !error.empty()) {
    // Nobody knows this slot any more, so its cgroup goes with it.
    kill(slot.pid, SIGKILL);
    waitpid(slot.pid, nullptr, 0);
    remove_slot_cgroup(slot.name);
    return answer(order, error);
  }
  slot.order = std::move(order);
  busy_.push_back(std::move(slot));
}

std::string Launcher::hand_over(Slot& slot, const LaunchOrder& order, const os::Fd& listen_socket) {
  // Written before the slot learns of the order: from here on its cgroup is this builder's, whoever dies.
  if (auto error = note(order.directory + "/slot", slot.name); !error.empty()) return error;
  Network& network = slot.network;
  if (order.egress) {
    const std::string text = std::to_string(network.slirp) + " " + std::to_string(process_start_time(network.slirp));
    if (auto error = note(order.directory + "/slirp", text); !error.empty()) return error;
  }
  if (auto sent = send_message(slot.socket.get(), encode(order), listen_socket.get()); !sent)
    return sent.error().text();
  if (!order.egress) return "";
  auto sent = send_message(slot.socket.get(), std::to_string(network.holder), network.hold.get());
  network.hold.reset();
  return sent ? "" : sent.error().text();
}

void Launcher::cancel(const LaunchOrder& order) {
  // Its end is reaped and answered as a failed launch; whoever cancels waits for that.
  for (const auto& slot : busy_)
    if (slot.order->id == order.id) kill(slot.pid, SIGKILL);
  for (auto waiting = waiting_.begin(); waiting != waiting_.end(); ++waiting)
    if (waiting->order.id == order.id) {
      answer(waiting->order, "cancelled");
      waiting_.erase(waiting);
      networks_.end_stuck();
      break;
    }
  answer(order, "");
}

// Root's layers belong to uid 0 of the host; a builder's uid 0 is another. An idmapped mount shows them as its own.
std::string Launcher::make_lowers(LaunchOrder& order) {
  if (setup_.rootless || setup_.ids == 0) return "";
  if (shifted_.size() + order.lowers.size() > max_shifted) (void)unmount_lowers();
  if (!user_namespace_) user_namespace_ = make_user_namespace(setup_);
  if (!user_namespace_) return failed("cannot make a user namespace");
  for (auto& lower : order.lowers) {
    auto found = shifted_.find(lower);
    if (found == shifted_.end()) {
      const std::string at = setup_.directory + "/l/" + std::to_string(shifted_.size());
      if (auto error = mount_shifted(lower, at); !error.empty()) return error;
      found = shifted_.emplace(lower, at).first;
    }
    lower = found->second;
  }
  return "";
}

bool Launcher::unmount_lowers() {
  bool good = true;
  for (const auto& [layer, at] : shifted_) good &= umount2(at.c_str(), MNT_DETACH) == 0;
  shifted_.clear();
  return good;
}

std::string Launcher::mount_shifted(const std::string& layer, const std::string& at) {
  mkdir((setup_.directory + "/l").c_str(), 0700);
  mkdir(at.c_str(), 0700);
  return mount_idmapped(layer, at, user_namespace_.get());
}

void Launcher::reap() {
  signalfd_siginfo drained;
  while (read(signals_.get(), &drained, sizeof drained) > 0) {
  }
  int status = 0;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    const auto is_it = [pid](const Slot& s) { return s.pid == pid; };
    if (auto busy = std::find_if(busy_.begin(), busy_.end(), is_it); busy != busy_.end()) {
      Slot slot = std::move(*busy);
      busy_.erase(busy);
      slot_ended(std::move(slot), status);
    } else if (auto idle = std::find_if(idle_.begin(), idle_.end(), is_it); idle != idle_.end()) {
      remove_slot_cgroup(idle->name);  // somebody killed it; another takes its place
      idle_.erase(idle);
    } else if (networks_.ended(pid)) {
      networks_wanted_ = 0;
    }
  }
}

// The slot became the runtime, and that has ended: the container runs, or it does not.
void Launcher::slot_ended(Slot slot, int status) {
  const LaunchOrder& order = *slot.order;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    std::string error;
    pollfd readable{slot.socket.get(), POLLIN, 0};
    if (poll(&readable, 1, 0) > 0)
      if (auto text = receive_message(slot.socket.get())) error = text->bytes;
    if (error.empty()) error = setup_.runtime + " failed: " + tail_of(order.directory + "/stderr");
    return answer(order, error);
  }
  const int pid = std::atoi(os::read_file(order.directory + "/pid", 64).value_or("").c_str());
  const auto start = pid > 0 ? process_start_time(pid) : 0;
  if (start == 0) return answer(order, "the agent ended at once: " + tail_of(order.directory + "/stderr"));
  if (auto error = note(order.directory + "/alive", std::to_string(pid) + " " + std::to_string(start)); !error.empty())
    return answer(order, error);
  answer(order, "");
}

void Launcher::fill_networks() {
  const auto wanted = std::min(std::max(networks_wanted_, waiting_.size()), idle_slots);
  const auto error = networks_.prepare(wanted);
  if (error.empty()) return;
  networks_wanted_ = 0;
  for (; !waiting_.empty(); waiting_.pop_front()) answer(waiting_.front().order, error);
}

// Every failure fails one order at most, and stops the keeping of a stock until the next order: a network that can
// never be made must not be tried without end.
void Launcher::look_at_networks() {
  for (const auto& error : networks_.look()) {
    networks_wanted_ = 0;
    if (waiting_.empty()) continue;
    answer(waiting_.front().order, error);
    waiting_.pop_front();
  }
  while (!waiting_.empty() && networks_.any_ready()) {
    Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    launch(std::move(next.order), std::move(next.listen_socket));
  }
}

void Launcher::answer(const LaunchOrder& order, const std::string& error) {
  if (control_) (void)send_message(control_.get(), encode(LaunchAnswer{order.number, error.empty(), error}));
}

void Launcher::finish() {
  waiting_.clear();
  networks_.end();
  for (int waited = 0; !busy_.empty() && waited < finish_patience_ms; waited += 10) {
    usleep(10'000);
    reap();
  }
  for (const auto& slot : busy_) kill(slot.pid, SIGKILL);
  for (auto& slot : idle_) {
    kill(slot.pid, SIGKILL);
    waitpid(slot.pid, nullptr, 0);
    remove_slot_cgroup(slot.name);
  }
  remove_parent_cgroups();
}

void Launcher::remove_parent_cgroups() {
  for (const auto& root : setup_.all_cgroup_roots)
    if (!setup_.cgroup.empty()) remove_parent_cgroup(root + setup_.cgroup);
}

// The daemon was killed, and nobody will ever start another here.
void Launcher::stop_builders() {
  const BuilderPlace place{setup_.directory, setup_.cgroup, setup_.all_cgroup_roots};
  for (const auto& id : names_in(setup_.directory + "/b"))
    (void)remove_builder(place, id, after(std::chrono::milliseconds(finish_patience_ms)));
  remove_parent_cgroups();
  // They are the images' own layers: where one stays mounted, nothing below it may be removed.
  if (unmount_lowers()) (void)os::remove_tree(setup_.remove_when_gone);
}

}  // namespace mayfly::local
