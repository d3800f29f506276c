#include "platforms/local/launch_order.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <type_traits>

namespace mayfly::local {
namespace {

// Appends values in order; Reader takes them out in the same order.
class Writer {
 public:
  void operator()(const std::string& s) {
    number(s.size());
    bytes_ += s;
  }
  template <class T>
    requires(std::is_arithmetic_v<T> || std::is_enum_v<T>)
  void operator()(const T& v) {
    number(static_cast<std::uint64_t>(v));
  }
  template <class T>
  void operator()(const std::vector<T>& list) {
    number(list.size());
    for (const auto& item : list) (*this)(item);
  }
  void operator()(const std::pair<std::string, std::string>& p) {
    (*this)(p.first);
    (*this)(p.second);
  }
  std::string take() { return std::move(bytes_); }

 private:
  void number(std::uint64_t v) { bytes_.append(reinterpret_cast<const char*>(&v), sizeof v); }
  std::string bytes_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  void operator()(std::string& s) {
    const std::uint64_t size = number();
    if (size > rest_.size()) return spoil();
    s = rest_.substr(0, size);
    rest_.remove_prefix(size);
  }
  template <class T>
    requires(std::is_arithmetic_v<T> || std::is_enum_v<T>)
  void operator()(T& v) {
    v = static_cast<T>(number());
  }
  template <class T>
  void operator()(std::vector<T>& list) {
    const std::uint64_t count = number();
    if (count > rest_.size()) return spoil();
    list.resize(count);
    for (auto& item : list) (*this)(item);
  }
  void operator()(std::pair<std::string, std::string>& p) {
    (*this)(p.first);
    (*this)(p.second);
  }
  bool complete() const { return good_ && rest_.empty(); }

 private:
  std::uint64_t number() {
    std::uint64_t v = 0;
    if (rest_.size() < sizeof v) {
      spoil();
      return 0;
    }
    std::memcpy(&v, rest_.data(), sizeof v);
    rest_.remove_prefix(sizeof v);
    return v;
  }
  void spoil() {
    good_ = false;
    rest_ = {};
  }
  std::string_view rest_;
  bool good_ = true;
};

template <class Visitor, class Setup>
void visit_setup(Visitor& v, Setup& s) {
  v(s.directory), v(s.runtime), v(s.is_runc), v(s.cgroup), v(s.cgroup_roots), v(s.all_cgroup_roots), v(s.cgroup_v2),
      v(s.hide_unified);
  v(s.rootless), v(s.host_uid), v(s.host_gid), v(s.sub_uid), v(s.sub_gid), v(s.sub_count);
  v(s.first_uid), v(s.first_gid), v(s.ids), v(s.remove_when_gone), v(s.place), v(s.agent), v(s.configs), v(s.expected);
}
template <class Visitor, class Order>
void visit_order(Visitor& v, Order& o) {
  v(o.number), v(o.id), v(o.directory), v(o.lowers), v(o.shared), v(o.files);
  v(o.disk), v(o.memory), v(o.cpu_micros), v(o.pids), v(o.network), v(o.cancel), v(o.goodbye);
}
template <class Visitor, class Answer>
void visit_answer(Visitor& v, Answer& a) {
  v(a.number), v(a.ok), v(a.error);
}

Unexpected torn() { return fail(ErrorCode::internal, "a message between the daemon and its launcher is torn"); }

}  // namespace

std::string encode(const LauncherSetup& setup) {
  Writer w;
  visit_setup(w, setup);
  return w.take();
}
std::string encode(const LaunchOrder& order) {
  Writer w;
  visit_order(w, order);
  return w.take();
}
std::string encode(const LaunchAnswer& answer) {
  Writer w;
  visit_answer(w, answer);
  return w.take();
}

Result<LauncherSetup> decode_setup(std::string_view bytes) {
  LauncherSetup setup;
  Reader r(bytes);
  visit_setup(r, setup);
  if (!r.complete()) return torn();
  return setup;
}
Result<LaunchOrder> decode_order(std::string_view bytes) {
  LaunchOrder order;
  Reader r(bytes);
  visit_order(r, order);
  if (!r.complete()) return torn();
  return order;
}
Result<LaunchAnswer> decode_answer(std::string_view bytes) {
  LaunchAnswer answer;
  Reader r(bytes);
  visit_answer(r, answer);
  if (!r.complete()) return torn();
  return answer;
}

void replace_all(std::string& text, std::string_view placeholder, std::string_view value) {
  for (std::size_t at = 0; (at = text.find(placeholder, at)) != std::string::npos; at += value.size())
    text.replace(at, placeholder.size(), value);
}

Result<void> send_message(int socket, std::string_view bytes) {
  if (bytes.size() > max_message) return fail(ErrorCode::exhausted, "too large a request for the launcher", "launcher");
  ssize_t n;
  do n = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n < 0) return Unexpected(errno_error("cannot send to the peer", errno, "launcher"));
  return {};
}

Result<std::string> receive_message(int socket) {
  std::string bytes(max_message, '\0');
  ssize_t n;
  do n = recv(socket, bytes.data(), bytes.size(), 0);
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno == ECONNRESET) n = 0;
  if (n < 0) return Unexpected(errno_error("cannot receive from the peer", errno, "launcher"));
  bytes.resize(static_cast<std::size_t>(n));
  return bytes;
}

std::uint64_t process_start_time(int pid) {
  const auto stat = os::read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!stat) return 0;
  // "pid (name) state ppid …": the name may hold anything, so count from the last parenthesis; starttime is field 22.
  std::string_view rest(*stat);
  const auto close = rest.rfind(") ");
  if (close == std::string_view::npos) return 0;
  rest.remove_prefix(close + 2);
  if (rest.starts_with("Z") || rest.starts_with("X")) return 0;
  for (int field = 3; field < 22; ++field) {
    const auto space = rest.find(' ');
    if (space == std::string_view::npos) return 0;
    rest.remove_prefix(space + 1);
  }
  std::uint64_t ticks = 0;
  std::from_chars(rest.data(), rest.data() + rest.size(), ticks);
  return ticks;
}

}  // namespace mayfly::local
