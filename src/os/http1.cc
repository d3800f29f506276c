#include "os/http1.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace mayfly {
namespace {

constexpr std::size_t max_head = 64u << 10;
constexpr std::size_t max_line = 4096;

Unexpected broken(std::string what) {
  return fail(ErrorCode::unavailable, "the answer is not HTTP: " + std::move(what));
}

}  // namespace

Result<void> Http1Answer::feed(std::string_view bytes, const std::function<bool(std::string_view)>& body) {
  while (!bytes.empty() && !stopped_ && state_ != State::done) {
    switch (state_) {
      case State::head: {
        // The end may lie across two reads, so the search starts a little before the new bytes.
        std::size_t from = buffer_.size() < 3 ? 0 : buffer_.size() - 3, before = buffer_.size();
        buffer_ += bytes.substr(0, max_head);
        auto end = buffer_.find("\r\n\r\n", from);
        if (end == std::string::npos) {
          if (buffer_.size() > max_head) return broken("its head is too long");
          return {};
        }
        bytes.remove_prefix(end + 4 - before);
        std::string head = buffer_.substr(0, end);
        buffer_.clear();
        MAYFLY_TRY(take_head(head));
        break;
      }
      case State::body:
      case State::chunk:
      case State::until_close:
        take_body(bytes, body);
        break;
      case State::chunk_size:
      case State::chunk_end:
      case State::trailer: {
        std::string line;
        MAYFLY_ASSIGN(bool whole, take_line(bytes, line));
        if (!whole) return {};
        if (state_ == State::chunk_size) {
          MAYFLY_TRY(take_chunk_size(line));
        } else if (state_ == State::chunk_end) {
          if (!line.empty()) return broken("a chunk is longer than it said");
          state_ = State::chunk_size;
        } else if (line.empty()) {
          state_ = State::done;
        }
        break;
      }
      case State::done:
        break;
    }
  }
  if (!bytes.empty()) excess_ = true;
  return {};
}

Result<void> Http1Answer::end_of_stream() {
  if (state_ == State::until_close) state_ = State::done;
  if (state_ != State::done)
    return fail(ErrorCode::unavailable, "the connection was closed in the middle of the answer");
  return {};
}

Result<void> Http1Answer::take_head(std::string_view head) {
  auto line = head.substr(0, head.find("\r\n"));
  if (!line.starts_with("HTTP/1.") || line.size() < 12) return broken("no status line");
  auto [end, ec] = std::from_chars(line.data() + 9, line.data() + 12, status);
  if (ec != std::errc() || end != line.data() + 12 || status < 100) return broken("no status");
  keep_alive_ = line[7] == '1';
  has_length_ = chunked_ = false;
  headers.clear();
  while (line.size() < head.size()) {
    head.remove_prefix(line.size() + 2);
    line = head.substr(0, head.find("\r\n"));
    MAYFLY_TRY(take_header(line));
    if (line.size() == head.size()) break;
  }
  begin_body();
  return {};
}

Result<void> Http1Answer::take_header(std::string_view line) {
  auto colon = line.find(':');
  if (colon == std::string_view::npos) return broken("a header without a colon");
  auto name = to_lower(line.substr(0, colon));
  auto value = trim(line.substr(colon + 1));
  if (name == "content-type") content_type = std::string(value);
  if (name == "connection" && to_lower(value) == "close") keep_alive_ = false;
  if (name == "transfer-encoding") {
    if (to_lower(value) != "chunked") return broken("an unknown transfer encoding");
    chunked_ = true;
  }
  if (name == "content-length") {
    auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), left_);
    if (ec != std::errc() || end != value.data() + value.size()) return broken("a length that is no number");
    has_length_ = true;
  }
  headers[std::move(name)] = std::string(value);
  return {};
}

void Http1Answer::begin_body() {
  if (status < 200) {
    state_ = State::head;  // 100 Continue and the like: the answer proper follows
  } else if (status == 204 || status == 304) {
    state_ = State::done;
  } else if (chunked_) {
    state_ = State::chunk_size;
  } else if (has_length_) {
    state_ = left_ == 0 ? State::done : State::body;
  } else {
    state_ = State::until_close;
    keep_alive_ = false;
  }
}

// True once a whole line is there, without its line end.
Result<bool> Http1Answer::take_line(std::string_view& bytes, std::string& line) {
  auto end = bytes.find('\n');
  auto part = bytes.substr(0, end);
  if (buffer_.size() + part.size() > max_line) return broken("a chunk's head is too long");
  buffer_ += part;
  bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
  if (end == std::string_view::npos) return false;
  if (!buffer_.empty() && buffer_.back() == '\r') buffer_.pop_back();
  line.swap(buffer_);
  buffer_.clear();
  return true;
}

Result<void> Http1Answer::take_chunk_size(std::string_view line) {
  auto number = trim(line.substr(0, line.find(';')));
  auto [end, ec] = std::from_chars(number.data(), number.data() + number.size(), left_, 16);
  if (number.empty() || ec != std::errc() || end != number.data() + number.size())
    return broken("a chunk without a size");
  state_ = left_ == 0 ? State::trailer : State::chunk;
  return {};
}

void Http1Answer::take_body(std::string_view& bytes, const std::function<bool(std::string_view)>& body) {
  bool counted = state_ != State::until_close;
  auto part = counted ? bytes.substr(0, std::min<std::uint64_t>(left_, bytes.size())) : bytes;
  bytes.remove_prefix(part.size());
  if (!body(part)) stopped_ = true;
  if (!counted) return;
  left_ -= part.size();
  if (left_ == 0) state_ = state_ == State::chunk ? State::chunk_end : State::done;
}

}  // namespace mayfly
