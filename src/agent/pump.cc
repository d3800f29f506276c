#include "agent/pump.h"

#include <algorithm>
#include <cerrno>

namespace mayfly::agent {
namespace {

constexpr std::size_t block = 256U << 10;

// A job that writes single bytes, taking turns between its streams, would make an index of 24 times its log. Beyond
// this size and once the index is larger than the log, let output gather a little before each read.
constexpr std::uint64_t small_index = 1U << 20;
constexpr auto gathering = milliseconds(5);

}  // namespace

Pump::Pump(LogWriter writer, const std::vector<std::string>& patterns)
    : writer_(std::move(writer)),
      out_{Fd(), Masker(patterns), LogStream::out},
      err_{Fd(), Masker(patterns), LogStream::err},
      buffer_(new char[block]) {}

void Pump::attach(Fd out, Fd err) {
  out_.fd = std::move(out);
  err_.fd = std::move(err);
}

void Pump::add_interest(std::vector<pollfd>& fds, Instant now) const {
  if (writer_.blocked() || now < rest_until_) return;
  if (out_.fd) fds.push_back({out_.fd.get(), POLLIN, 0});
  if (err_.fd) fds.push_back({err_.fd.get(), POLLIN, 0});
}

Instant Pump::wake_at() const {
  if (writer_.blocked()) return writer_.retry_at();
  if ((out_.fd || err_.fd) && rest_until_ != Instant()) return rest_until_;
  return Instant::max();
}

void Pump::ready(const pollfd& fd, Instant now) {
  if (fd.revents == 0 || writer_.blocked()) return;
  if (out_.fd && fd.fd == out_.fd.get())
    read_some(out_, now);
  else if (err_.fd && fd.fd == err_.fd.get())
    read_some(err_, now);
}

void Pump::tick(Instant now) {
  if (writer_.blocked() && now >= writer_.retry_at()) writer_.retry(now);
  if (now >= rest_until_) rest_until_ = Instant();
}

void Pump::read_some(Stream& s, Instant now) {
  auto n = ::read(s.fd.get(), buffer_.get(), block);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (n <= 0) return finish(s, now);
  std::string_view data(buffer_.get(), static_cast<std::size_t>(n));
  if (s.masker.idle()) {
    writer_.append(s.name, data, now);
  } else {
    masked_.clear();
    s.masker.feed(data, masked_);
    writer_.append(s.name, masked_, now);
  }
  if (writer_.index_bytes() > small_index && writer_.index_bytes() > writer_.log_bytes()) rest_until_ = now + gathering;
}

void Pump::finish(Stream& s, Instant now) {
  s.fd.reset();
  if (s.finished) return;
  s.finished = true;
  masked_.clear();
  s.masker.finish(masked_);
  writer_.append(s.name, masked_, now);
}

void Pump::close(Instant now) {
  finish(out_, now);
  finish(err_, now);
}

}  // namespace mayfly::agent
