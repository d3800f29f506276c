#include "cli/follow.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "model/json.h"

namespace mayfly {
namespace {

constexpr std::size_t head_size = 16;
constexpr std::uint64_t max_frame = 1u << 30;

std::uint64_t little_endian(const char* bytes, int n) {
  std::uint64_t v = 0;
  for (int i = n; i-- > 0;) v = v << 8 | static_cast<unsigned char>(bytes[i]);
  return v;
}

}  // namespace

Result<bool> FrameParser::feed(std::string_view bytes, const Sink& sink) {
  while (!bytes.empty()) {
    if (left_ == 0) {
      auto part = bytes.substr(0, head_size - head_.size());
      head_ += part;
      bytes.remove_prefix(part.size());
      if (head_.size() == head_size) MAYFLY_TRY(begin_frame());
      continue;
    }
    auto part = bytes.substr(0, std::min<std::uint64_t>(left_, bytes.size()));
    bytes.remove_prefix(part.size());
    left_ -= part.size();
    at_ += part.size();
    if (at_ <= next_) continue;  // all of it was here before
    if (at_ - next_ < part.size()) part.remove_prefix(part.size() - (at_ - next_));
    next_ = at_;
    if (!sink(static_cast<LogStream>(stream_), part)) return false;
  }
  return true;
}

Result<void> FrameParser::begin_frame() {
  stream_ = static_cast<std::uint8_t>(head_[0]);
  left_ = little_endian(head_.data() + 4, 4);
  at_ = little_endian(head_.data() + 8, 8);
  bool zeros = head_[1] == 0 && head_[2] == 0 && head_[3] == 0;
  head_.clear();
  if (stream_ > 3 || !zeros || left_ > max_frame || (stream_ == 0 && left_ != 0))
    return fail(ErrorCode::internal, "the log's frames cannot be read", {},
                "Are daemon and client of the same version? See `mayfly version` and `mayfly status`.");
  if (stream_ != 0 && at_ > next_) {
    skipped_ += at_ - next_;
    next_ = at_;
  }
  return {};
}

bool Patience::again(const Error& error) {
  if (!Api::is_passing(error)) return false;
  auto now = std::chrono::steady_clock::now();
  if (tries_ == 0) since_ = now;
  if (now - since_ >= limit_) return false;
  // The first try comes at once: a daemon that was only restarted is not worth a word.
  if (tries_ == 1)
    output_.remark(fmt::format("lost the daemon ({}); trying again for up to {}", error.what, rough_duration(limit_)));
  interrupts_.sleep(tries_ == 0 ? 20 : std::min(1000, 50 << std::min(tries_, 5)));
  ++tries_;
  return true;
}

Result<Followed> follow_log(Api& api, const FollowOptions& options, const Interrupts& interrupts, Output& output) {
  FrameParser parser(options.offset);
  Patience patience(options.patience, interrupts, output);
  Followed end;
  for (;;) {
    parser.restart();
    HttpRequest request{.path = fmt::format("/v1/jobs/{}/log?offset={}&follow={}&format=framed", options.job,
                                            parser.next(), options.follow ? "true" : "false")};
    request.timeout = Duration{};
    request.idle_timeout = seconds(45);  // three keepalives
    std::optional<Error> problem;
    bool enough = false;
    HttpStream stream;
    stream.tick = options.tick;
    stream.wake_fd = interrupts.fd();
    stream.on_wake = options.on_wake;
    stream.on_chunk = [&](std::string_view part) {
      patience.progress();
      auto more = parser.feed(part, options.sink);
      if (!more) problem = more.error();
      enough = more && !*more;
      return more && *more;
    };
    auto answer = api.send(request, &stream);
    end.offset = parser.next();
    if (problem) return Unexpected(*problem);
    if (answer && answer->stopped) return end.stopped = true, end;
    if (answer) return end;
    // The first try of a program that never reached the daemon is no lost connection.
    if (!api.connected() || !patience.again(answer.error())) return Unexpected(answer.error());
    if (options.on_wake && !options.on_wake()) return end.stopped = true, end;
  }
}

Result<Job> patient_job(Api& api, std::uint64_t job, seconds limit, const std::function<bool()>& on_wake,
                        const Interrupts& interrupts, Output& output) {
  Patience patience(limit, interrupts, output);
  for (;;) {
    auto answer = api.get(fmt::format("/v1/jobs/{}", job));
    if (answer) return job_from_json(*answer);
    if (!patience.again(answer.error())) return Unexpected(answer.error());
    if (on_wake && !on_wake()) return Unexpected(answer.error());
  }
}

}  // namespace mayfly
