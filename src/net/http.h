#pragma once
// What the server hands to the API, and how the API answers.
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "net/notice.h"
#include "net/target.h"

namespace mayfly::net {

// Who is at the other end, as the transport knows it.
struct Peer {
  std::optional<uid_t> uid;  // over the unix socket: told by the kernel, cannot be forged
  std::string address;       // over TCP: "192.0.2.7:51234"
};

struct Request {
  std::string method;
  Target target;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  std::string body_file;         // instead of `body`, where Admission asked for it
  std::uint64_t body_bytes = 0;  // either way
  Peer peer;
  std::string who;                                             // from Admission
  std::string_view header(std::string_view lower_name) const;  // empty: not sent
};

// The API's word on a request whose header has arrived, before any of its body is taken.
struct Admission {
  std::string who;                     // goes into Request::who
  std::uint64_t body_limit = 8 << 20;  // bytes
  std::string body_file;               // stream the body into this file (written beside it, renamed when complete)
};

// A refusal carries its HTTP status, since 401 and 404 are not told apart by every ErrorCode.
struct Refusal {
  int status = 0;  // 0: by the error's code
  Error error;
  std::vector<std::pair<std::string, std::string>> headers;
};

// A job's log as a stream.
struct LogFollow {
  std::string log_path, index_path;
  std::uint64_t offset = 0;
  bool framed = false;
  std::shared_ptr<Notice> ended;  // raised: no more will be appended. Null: send what is there and end
  Duration keepalive = seconds(15);
};

int http_status(const Error& e);
std::string_view http_reason(int status);
std::string error_body(const Error& e);

// One answer, once, from any thread. Dropped unanswered, it answers 500 by itself: no client waits for ever.
class Reply {
 public:
  virtual ~Reply() = default;
  virtual void json(int status, std::string body) = 0;
  virtual void refuse(Refusal refusal) = 0;
  void error(const Error& e) { refuse({0, e, {}}); }
  virtual void file(std::string path, std::string content_type) = 0;
  virtual void log(LogFollow follow) = 0;
  // Runs f on the server's thread: the place to turn values into JSON, away from the control thread.
  virtual void on_loop(std::function<void()> f) = 0;
  // Calls f on the server's thread after d, or as soon as the client is gone; not at all once answered. One at a time.
  virtual void after(Duration d, std::function<void()> f) = 0;
};

}  // namespace mayfly::net
