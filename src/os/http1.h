#pragma once
// Reads one HTTP/1.1 answer from bytes as they come. Pure: no I/O. For http_*.cc only.
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mayfly {

class Http1Answer {
 public:
  // Takes bytes; gives what of them belongs to the body to `body` (false from it stops). Stops taking at the answer's
  // end.
  Result<void> feed(std::string_view bytes, const std::function<bool(std::string_view)>& body);
  // The connection was closed: right only where the body had no stated length.
  Result<void> end_of_stream();

  bool head_done() const { return state_ != State::head; }
  bool done() const { return state_ == State::done; }
  bool stopped() const { return stopped_; }
  // Whether another request may follow on the connection.
  bool reusable() const { return done() && keep_alive_ && !excess_; }

  int status = 0;
  std::string content_type;
  std::map<std::string, std::string> headers;  // names in lower case

 private:
  enum class State { head, body, until_close, chunk_size, chunk, chunk_end, trailer, done };

  Result<void> take_head(std::string_view head);
  Result<void> take_header(std::string_view line);
  void begin_body();
  Result<bool> take_line(std::string_view& bytes, std::string& line);
  Result<void> take_chunk_size(std::string_view line);
  void take_body(std::string_view& bytes, const std::function<bool(std::string_view)>& body);

  State state_ = State::head;
  std::string buffer_;  // of the head, or of a line
  std::uint64_t left_ = 0;
  bool has_length_ = false, chunked_ = false, keep_alive_ = true, stopped_ = false, excess_ = false;
};

}  // namespace mayfly
