#pragma once
// The two ways in which HttpClient exchanges a request for an answer. For http_*.cc only.
#include <memory>

#include "os/http_client.h"

namespace mayfly {

class HttpClient::Transport {
 public:
  virtual ~Transport() = default;
  // stream may be null: the whole body goes to the answer.
  virtual Result<HttpAnswer> exchange(const HttpRequest& request, const HttpStream* stream) = 0;
  bool connected = false;
};

// invalid: a header of the request's has bytes that would end it.
Result<void> check_headers(const HttpRequest& request);

std::unique_ptr<HttpClient::Transport> make_unix_transport(const HttpServer& server);
std::unique_ptr<HttpClient::Transport> make_curl_transport(const HttpServer& server);

}  // namespace mayfly
