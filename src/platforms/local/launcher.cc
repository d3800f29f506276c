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

#include "platforms/local/launcher_support.h"

namespace mayfly::local {
namespace {

constexpr int lock_patience_ms = 15'000;    // for a launcher of a killed daemon to finish
constexpr int finish_patience_ms = 10'000;  // for launches in flight once the daemon is gone
constexpr auto unowned_patience = std::chrono::seconds(2);
constexpr std::size_t max_shifted = 512;  // idmapped layers kept; beyond it, the whole cache is dropped

std::string failed(const std::string& what) { return what + ": " + std::strerror(errno); }

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

Launcher::Launcher(int control, LauncherSetup setup)
    : control_(control), setup_(std::move(setup)), place_{setup_.directory, setup_.cgroup, setup_.all_cgroup_roots} {}

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
    for (const auto& slot : slots_)
      if (!slot.ready) fds.push_back({slot.socket.get(), POLLIN, 0});
    if (poll(fds.data(), fds.size(), calm_in_ms()) < 0) continue;
    look_at_slots();
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
  if (auto error = take_lock(); !error.empty()) return error;
  if (setup_.rootless)
    if (auto error = enter_user_namespace(setup_); !error.empty()) return error;
  if (auto error = private_mounts(setup_); !error.empty()) return error;
  if (auto error = share_lowers(setup_); !error.empty()) return error;
  if (!setup_.cgroup.empty())
    if (auto error = make_parent_cgroups(setup_); !error.empty()) return error;
  remove_unowned();
  for (int network : setup_.expected) kind(static_cast<Network>(network)).wanted = true;
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

// Slots of launchers that were killed.
void Launcher::remove_unowned() {
  for (const auto& name : names_in(slots_directory(setup_)))
    (void)remove_slot(place_, slots_directory(setup_) + "/" + name, after(unowned_patience));
  std::vector<std::string> owned;
  for (const auto& builder : names_in(setup_.directory + "/b"))
    owned.push_back(os::read_file(setup_.directory + "/b/" + builder + slot_note, 256).value_or(""));
  const auto unowned = [&owned](const std::string& name) {
    return name.starts_with("s") && std::find(owned.begin(), owned.end(), name) == owned.end();
  };
  for (const auto& name : names_in(setup_.directory + "/r"))
    if (unowned(name)) (void)os::remove_tree(setup_.directory + "/r/" + name);
  if (setup_.cgroup.empty()) return;
  for (const auto& root : setup_.all_cgroup_roots)
    for (const auto& name : names_in(root + setup_.cgroup))
      if (unowned(name)) kill_and_remove_cgroup(slot_cgroup(setup_, root, name), 2000);
}

void Launcher::take_message() {
  auto message = receive_message(control_.get());
  if (!message || message->empty()) return control_.reset();
  auto order = decode_order(*message);
  if (!order) return;
  if (order->goodbye) dismissed_ = true;
  if (order->goodbye) return;
  if (order->cancel) return cancel(*order);
  launch(std::move(*order));
}

void Launcher::launch(LaunchOrder order) {
  Kind& k = kind(order.network);
  k.wanted = true;
  k.resting = false;
  Slot* slot = best_slot(order.network);
  if (!slot && order.network == Network::egress) return waiting_.push_back(std::move(order));
  if (!slot) return answer(order, failed("cannot fork"));
  if (auto error = make_lowers(order); !error.empty()) return answer(order, error);
  slot->order = std::move(order);
  if (slot->ready) hand_over(*slot);
}

void Launcher::cancel(const LaunchOrder& order) {
  // Its end is reaped and answered as a failed launch; whoever cancels waits for that.
  for (const auto& slot : slots_)
    if (slot.order && slot.order->id == order.id) kill(slot.pid, SIGKILL);
  for (auto waiting = waiting_.begin(); waiting != waiting_.end(); ++waiting)
    if (waiting->id == order.id) {
      answer(*waiting, "cancelled");
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
  const auto shift = [this](std::string& directory) -> std::string {
    auto found = shifted_.find(directory);
    if (found == shifted_.end()) {
      const std::string at = setup_.directory + "/l/" + std::to_string(shifted_.size());
      if (auto error = mount_shifted(directory, at); !error.empty()) return error;
      found = shifted_.emplace(directory, at).first;
    }
    directory = found->second;
    return "";
  };
  for (auto& lower : order.lowers)
    if (auto error = shift(lower); !error.empty()) return error;
  return order.shared.empty() ? "" : shift(order.shared);
}

bool Launcher::unmount_lowers() {
  bool good = true;
  for (const auto& [layer, at] : shifted_) good &= umount2(at.c_str(), MNT_DETACH) == 0;
  shifted_.clear();
  return good;
}

std::string Launcher::mount_shifted(const std::string& layer, const std::string& at) {
  mkdir(at.c_str(), 0700);
  return mount_idmapped(layer, at, user_namespace_.get());
}

void Launcher::answer(const LaunchOrder& order, const std::string& error) {
  if (control_) (void)send_message(control_.get(), encode(LaunchAnswer{order.number, error.empty(), error}));
}

void Launcher::finish() {
  waiting_.clear();
  // A slot that is still being made has a runtime under way, which would outlive it, and its agent too where there is
  // no cgroup to find them by: it finishes, sees that nobody wants it, and takes its agent along.
  for (auto& slot : slots_)
    if (!slot.handed_over) slot.socket.reset();
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(finish_patience_ms);
  while (!slots_.empty() && std::chrono::steady_clock::now() < until) {
    pollfd ended{signals_.get(), POLLIN, 0};
    (void)poll(&ended, 1, 10);
    reap();
  }
  for (auto& slot : slots_) {
    kill(slot.pid, SIGKILL);
    waitpid(slot.pid, nullptr, 0);
    if (!slot.handed_over) drop(slot);
  }
  networks_.end();
  remove_parent_cgroups();
}

void Launcher::remove_parent_cgroups() {
  for (const auto& root : setup_.all_cgroup_roots)
    if (!setup_.cgroup.empty()) remove_parent_cgroup(root + setup_.cgroup);
}

// The daemon was killed, and nobody will ever start another here.
void Launcher::stop_builders() {
  for (const auto& id : names_in(setup_.directory + "/b"))
    (void)remove_builder(place_, id, after(std::chrono::milliseconds(finish_patience_ms)));
  remove_parent_cgroups();
  // They are the images' own layers: where one stays mounted, nothing below it may be removed.
  if (unmount_lowers() && umount2((setup_.directory + "/l").c_str(), MNT_DETACH) == 0)
    (void)os::remove_tree(setup_.remove_when_gone);
}

}  // namespace mayfly::local
