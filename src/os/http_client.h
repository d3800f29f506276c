#pragma once
// Outgoing HTTP behind one small class: HTTP/1.1 over a unix socket by hand, everything else by libcurl. libcurl is
// opened only when a URL is first asked for: with the thirty libraries behind it it takes 4 ms to load, more than all
// the rest of a command that talks to the daemon on this machine. One object is one connection, reused while the server
// keeps it open, and belongs to one thread.
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "os/stop_signal.h"

namespace mayfly {

struct HttpServer {
  std::string unix_socket = {};  // a path; or
  std::string url = {};          // "https://HOST[:PORT]", without a path ("http://" is for loopback and tests)
  std::string ca_file = {};      // PEM; empty: the system's
  std::string certificate_file = {}, key_file = {};  // PEM: who we are, where the server asks; empty: nobody
  std::string bearer_token = {};                     // sent with every request; empty: none

  const std::string& name() const { return unix_socket.empty() ? url : unix_socket; }
};

struct HttpRequest {
  std::string method = "GET";
  std::string path;  // with the query: "/v1/jobs?limit=5"
  std::string body = {};
  std::string content_type = "application/json";
  // Further ones, by name. A line break or another control character in one is an error (invalid), not a second header.
  std::vector<std::pair<std::string, std::string>> headers = {};
  // A body of unknown length, sent chunked: fills the buffer and gives back how much, 0 at the end. An error abandons
  // the request in its middle, so that the server cannot take the half for the whole.
  std::function<Result<std::size_t>(char* buffer, std::size_t size)> upload = {};
  Duration timeout = seconds(30);      // for the whole exchange; 0: none
  Duration idle_timeout = Duration{};  // without a byte in either direction; 0: none
  std::size_t limit = 64u << 20;       // bytes of the answer's body that are kept in memory; more is an error
};

struct HttpAnswer {
  int status = 0;
  std::string content_type;
  std::map<std::string, std::string> headers;  // names in lower case; of a repeated one the last
  std::string body;                            // empty where a stream's on_chunk took it
  bool stopped = false;                        // on_chunk or on_wake ended it before its end
};

struct HttpStream {
  std::function<bool(std::string_view)> on_chunk;  // the body of a 2xx answer, piece by piece; false stops
  std::function<bool()> on_wake;                   // every `tick` and whenever wake_fd is readable; false stops
  milliseconds tick = milliseconds(1000);
  int wake_fd = -1;
};

class HttpClient {
 public:
  explicit HttpClient(HttpServer server);
  ~HttpClient();
  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;

  // Errors: `unavailable` where no connection could be made or it broke, `timeout`; `where` names the host or socket.
  // Any status is an answer, also 500; redirects are not followed. A request whose reused connection turns out to have
  // been closed is sent once more on a new one.
  Result<HttpAnswer> request(const HttpRequest& request);
  Result<HttpAnswer> stream(const HttpRequest& request, const HttpStream& stream);
  // As request(), and `unavailable` as soon as `stop` is raised.
  Result<HttpAnswer> request(const HttpRequest& request, const os::StopSignal& stop);

  // Whether any connection was ever made: tells "nobody is there" from "it went away".
  bool connected() const;
  const HttpServer& server() const { return server_; }

  class Transport;

 private:
  HttpServer server_;
  std::unique_ptr<Transport> transport_;
};

// For a path's segment or a query's value: all but letters, digits and "-._~" as %XX.
std::string url_encode(std::string_view text);

}  // namespace mayfly
