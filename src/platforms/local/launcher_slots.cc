// The launcher's stock of containers without an image.
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "platforms/local/launcher.h"
#include "platforms/local/launcher_support.h"
#include "platforms/local/slot_container.h"

namespace mayfly::local {
namespace {

constexpr std::size_t stock = 4;  // as many as launches may run in parallel
// After an order no slot is made ahead for so long: its job's first steps need the cores more.
constexpr auto calm = std::chrono::milliseconds(25);
constexpr auto drop_patience = std::chrono::seconds(2);

std::string failed(const std::string& what) { return what + ": " + std::strerror(errno); }

}  // namespace

int Launcher::calm_in_ms() const {
  for (std::size_t k = 0; k < kinds_.size(); ++k)
    if (kinds_[k].wanted && !kinds_[k].resting && idle(static_cast<Network>(k)) < stock) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(calm_at_ - std::chrono::steady_clock::now());
      return static_cast<int>(std::max<long long>(left.count(), 0));
    }
  return -1;
}

std::size_t Launcher::idle(Network network) const {
  return static_cast<std::size_t>(
      std::count_if(slots_.begin(), slots_.end(), [&](const Slot& s) { return s.kind == network && !s.order; }));
}

void Launcher::fill_slots() {
  if (std::chrono::steady_clock::now() < calm_at_) return;
  for (const Network network : {Network::none, Network::egress, Network::host}) {
    Kind& k = kind(network);
    while (k.wanted && !k.resting && idle(network) < stock)
      if (!fork_slot(network)) break;
  }
}

// Null: it cannot be made now; with egress most likely since no network is ready.
Launcher::Slot* Launcher::fork_slot(Network network) {
  int ends[2];
  if (network == Network::egress && !networks_.any_ready()) return nullptr;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return nullptr;
  Slot slot;
  slot.kind = network;
  slot.place.name = "s" + birth_ + "-" + std::to_string(++slots_made_);
  slot.place.directory = slots_directory(setup_) + "/" + slot.place.name;
  slot.socket.reset(ends[0]);
  os::Fd theirs(ends[1]);
  if (network == Network::egress) slot.network = std::move(*networks_.take());
  slot.pid = fork();
  if (slot.pid == 0) {
    // A slot ends when the launcher's end of its socket closes: neither it nor another may hold one.
    control_.reset();
    networks_.forget();
    slots_.clear();
    slot.socket.reset();
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    for (int s : {SIGINT, SIGTERM, SIGPIPE}) signal(s, SIG_DFL);
    setsid();
    JoinedNetwork joined{slot.network.holder, std::move(slot.network.hold)};
    slot.network = {};  // the holder ends when all ends of its pipe are closed
    be_slot(setup_, network, slot.place, std::move(theirs), std::move(joined));
  }
  if (slot.pid < 0) return nullptr;
  slot.network.hold.reset();
  slots_.push_back(std::move(slot));
  return &slots_.back();
}

Launcher::Slot* Launcher::best_slot(Network network) {
  Slot* best = nullptr;
  for (auto& slot : slots_)
    if (slot.kind == network && !slot.order && (!best || (slot.ready && !best->ready))) best = &slot;
  return best ? best : fork_slot(network);
}

void Launcher::look_at_slots() {
  for (auto& slot : slots_) {
    pollfd readable{slot.socket.get(), POLLIN, 0};
    if (slot.ready || poll(&readable, 1, 0) <= 0) continue;
    char word[16] = {};  // an error stays where it is: reap() tells it
    if (recv(slot.socket.get(), word, sizeof word, MSG_PEEK | MSG_DONTWAIT) <= 0 || std::string(word) != slot_ready)
      continue;
    (void)receive_message(slot.socket.get());
    slot.ready = true;
    slot.network.keep.reset();  // the container has joined
    if (slot.order) hand_over(slot);
  }
}

void Launcher::hand_over(Slot& slot) {
  calm_at_ = std::chrono::steady_clock::now() + calm;
  const auto error = give(slot);
  if (error.empty()) return;
  kill(slot.pid, SIGKILL);  // its end is reaped
  (void)note((slot.handed_over ? slot.order->directory : slot.place.directory) + slot_errors, error);
}

std::string Launcher::give(Slot& slot) {
  const LaunchOrder& order = *slot.order;
  if (slot.kind == Network::egress) {
    const pid_t slirp = slot.network.slirp;
    const std::string text = std::to_string(slirp) + " " + std::to_string(process_start_time(slirp));
    if (auto error = note(slot.place.directory + "/slirp", text); !error.empty()) return error;
  }
  // From here on all that the slot made is this builder's, whoever dies.
  if (rename(slot.place.directory.c_str(), order.directory.c_str()) != 0)
    return failed("cannot make the builder's directory " + order.directory);
  slot.handed_over = true;
  auto sent = send_message(slot.socket.get(), encode(order));
  return sent ? "" : sent.error().text();
}

void Launcher::reap() {
  signalfd_siginfo drained;
  while (read(signals_.get(), &drained, sizeof drained) > 0) {
  }
  int status = 0;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    const auto found = std::find_if(slots_.begin(), slots_.end(), [pid](const Slot& s) { return s.pid == pid; });
    if (found != slots_.end()) {
      Slot slot = std::move(*found);
      slots_.erase(found);
      slot_ended(std::move(slot), status);
    } else if (networks_.ended(pid)) {
      kind(Network::egress).resting = true;
    } else {
      for (auto& slot : slots_)  // its network went: no job is to get this one
        if (slot.network.slirp == pid && !slot.handed_over) kill(slot.pid, SIGKILL);
    }
  }
}

void Launcher::slot_ended(Slot slot, int status) {
  if (!slot.handed_over) drop(slot);
  if (!slot.order) {
    kind(slot.kind).resting = true;
    return;
  }
  const LaunchOrder& order = *slot.order;
  if (!slot.handed_over || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return answer(order, last_words(slot, status));
  if (!first_process_runs(order.directory))
    return answer(order, "the agent ended at once: " + tail_of(order.directory + slot_errors));
  if (rename((order.directory + slot_process).c_str(), (order.directory + slot_alive).c_str()) != 0)
    return answer(order, failed("cannot note that the builder runs"));
  answer(order, "");
}

std::string Launcher::last_words(const Slot& slot, int status) {
  pollfd readable{slot.socket.get(), POLLIN, 0};
  if (poll(&readable, 1, 0) > 0)
    if (auto text = receive_message(slot.socket.get()); text && !text->empty() && *text != slot_ready) return *text;
  const std::string said = slot.handed_over ? tail_of(slot.order->directory + slot_errors) : "";
  if (!said.empty()) return said;
  return WIFSIGNALED(status) ? "the launch was ended by signal " + std::to_string(WTERMSIG(status))
                             : "the launch ended without a word";
}

void Launcher::drop(const Slot& slot) { (void)remove_slot(place_, slot.place.directory, after(drop_patience)); }

void Launcher::fill_networks() {
  const Kind& egress = kind(Network::egress);
  const std::size_t lacking = egress.wanted && !egress.resting ? stock - std::min(stock, idle(Network::egress)) : 0;
  const auto error = networks_.prepare(std::min(std::max(lacking, waiting_.size()), stock));
  if (error.empty()) return;
  kind(Network::egress).resting = true;
  for (; !waiting_.empty(); waiting_.pop_front()) answer(waiting_.front(), error);
}

// Every failure fails one order at most, and stops the keeping of a stock until the next order: a network that can
// never be made must not be tried without end.
void Launcher::look_at_networks() {
  for (const auto& error : networks_.look()) {
    kind(Network::egress).resting = true;
    if (waiting_.empty()) continue;
    answer(waiting_.front(), error);
    waiting_.pop_front();
  }
  while (!waiting_.empty() && networks_.any_ready()) {
    LaunchOrder next = std::move(waiting_.front());
    waiting_.pop_front();
    launch(std::move(next));
  }
}

}  // namespace mayfly::local
