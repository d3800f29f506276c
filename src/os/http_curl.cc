// HTTP by libcurl, which is opened when it is first needed (see http_client.h for why).
#include <curl/curl.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <optional>

#include "base/text.h"
#include "os/http_transport.h"

namespace mayfly {
namespace {

// The functions used, by the types in libcurl's own header.
struct Curl {
#define MAYFLY_CURL(f) decltype(&::curl_##f) f = nullptr
  MAYFLY_CURL(global_init);
  MAYFLY_CURL(easy_init);
  MAYFLY_CURL(easy_cleanup);
  MAYFLY_CURL(easy_reset);
  decltype(&::curl_easy_setopt) easy_setopt = nullptr;
  decltype(&::curl_easy_getinfo) easy_getinfo = nullptr;
  MAYFLY_CURL(easy_strerror);
  MAYFLY_CURL(slist_append);
  MAYFLY_CURL(slist_free_all);
  MAYFLY_CURL(multi_init);
  MAYFLY_CURL(multi_cleanup);
  MAYFLY_CURL(multi_add_handle);
  MAYFLY_CURL(multi_remove_handle);
  MAYFLY_CURL(multi_perform);
  MAYFLY_CURL(multi_poll);
  MAYFLY_CURL(multi_info_read);
#undef MAYFLY_CURL
  std::string problem;
};

Curl open_curl() {
  Curl c;
  void* library = ::dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    c.problem = ::dlerror();
    return c;
  }
  auto load = [&](auto& f, const char* name) {
    f = reinterpret_cast<std::remove_reference_t<decltype(f)>>(::dlsym(library, name));
    if (!f) c.problem = fmt::format("libcurl.so.4 has no {}", name);
  };
  load(c.global_init, "curl_global_init");
  load(c.easy_init, "curl_easy_init");
  load(c.easy_cleanup, "curl_easy_cleanup");
  load(c.easy_reset, "curl_easy_reset");
  load(c.easy_setopt, "curl_easy_setopt");
  load(c.easy_getinfo, "curl_easy_getinfo");
  load(c.easy_strerror, "curl_easy_strerror");
  load(c.slist_append, "curl_slist_append");
  load(c.slist_free_all, "curl_slist_free_all");
  load(c.multi_init, "curl_multi_init");
  load(c.multi_cleanup, "curl_multi_cleanup");
  load(c.multi_add_handle, "curl_multi_add_handle");
  load(c.multi_remove_handle, "curl_multi_remove_handle");
  load(c.multi_perform, "curl_multi_perform");
  load(c.multi_poll, "curl_multi_poll");
  load(c.multi_info_read, "curl_multi_info_read");
  if (c.problem.empty() && c.global_init(CURL_GLOBAL_NOTHING) != CURLE_OK) c.problem = "libcurl could not be started";
  return c;
}

// libcurl is one per process, whatever we would wish; immutable once opened.
const Curl& curl() {
  static const Curl opened = open_curl();
  return opened;
}

class CurlTransport final : public HttpClient::Transport {
 public:
  explicit CurlTransport(const HttpServer& server) : server_(server) {}
  ~CurlTransport() override {
    if (multi_) curl().multi_cleanup(multi_);
    if (easy_) curl().easy_cleanup(easy_);
  }
  Result<HttpAnswer> exchange(const HttpRequest& request, const HttpStream* stream) override;

 private:
  Result<void> set_up();
  Result<CURLcode> drive();
  Result<HttpAnswer> conclude(CURLcode code);
  static std::size_t on_body(char* data, std::size_t, std::size_t n, void* self);
  static std::size_t on_header(char* data, std::size_t, std::size_t n, void* self);
  static std::size_t on_upload(char* data, std::size_t, std::size_t n, void* self);
  template <class V>
  void set(CURLoption option, V value) {
    curl().easy_setopt(easy_, option, value);
  }

  HttpServer server_;
  CURLM* multi_ = nullptr;  // keeps the connection
  CURL* easy_ = nullptr;
  const HttpRequest* request_ = nullptr;
  const HttpStream* stream_ = nullptr;
  HttpAnswer answer_;
  std::optional<Error> problem_;  // from one of the callbacks
  std::string url_;
  curl_slist* headers_ = nullptr;
  std::array<char, CURL_ERROR_SIZE> message_{};
};

Result<HttpAnswer> CurlTransport::exchange(const HttpRequest& request, const HttpStream* stream) {
  request_ = &request;
  stream_ = stream;
  answer_ = {};
  problem_.reset();
  MAYFLY_TRY(set_up());
  curl().multi_add_handle(multi_, easy_);
  auto code = drive();
  curl().multi_remove_handle(multi_, easy_);
  curl().slist_free_all(headers_);
  headers_ = nullptr;
  if (!code) return Unexpected(code.error());
  return conclude(*code);
}

Result<void> CurlTransport::set_up() {
  if (!curl().problem.empty())
    return fail(ErrorCode::unsupported, curl().problem, server_.url, "Install libcurl4, which https:// needs.");
  if (!multi_) multi_ = curl().multi_init();
  if (!easy_) easy_ = curl().easy_init();
  MAYFLY_CHECK(multi_ && easy_);
  curl().easy_reset(easy_);
  url_ = server_.url + request_->path;
  set(CURLOPT_URL, url_.c_str());
  set(CURLOPT_PROTOCOLS_STR, "https,http");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_CUSTOMREQUEST, request_->method.c_str());
  set(CURLOPT_CONNECTTIMEOUT_MS, 10'000L);
  set(CURLOPT_TCP_KEEPALIVE, 1L);  // a long answer may be silent for long; a machine that is gone is noticed
  set(CURLOPT_ERRORBUFFER, message_.data());
  message_[0] = 0;
  set(CURLOPT_WRITEFUNCTION, &CurlTransport::on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  set(CURLOPT_HEADERFUNCTION, &CurlTransport::on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  if (!server_.ca_file.empty()) set(CURLOPT_CAINFO, server_.ca_file.c_str());
  if (!server_.certificate_file.empty()) {
    set(CURLOPT_SSLCERT, server_.certificate_file.c_str());
    set(CURLOPT_SSLKEY, server_.key_file.c_str());
  }
  if (auto ms = std::chrono::ceil<milliseconds>(request_->timeout).count(); ms > 0)
    set(CURLOPT_TIMEOUT_MS, static_cast<long>(ms));
  if (auto s = std::chrono::ceil<seconds>(request_->idle_timeout).count(); s > 0) {
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(s));
  }
  std::string type = "Content-Type: " + request_->content_type,
              authorization = "Authorization: Bearer " + server_.bearer_token;
  headers_ =
      curl().slist_append(nullptr, "Expect:");  // waiting for 100-continue would cost a second where it is unknown
  if (!server_.bearer_token.empty()) headers_ = curl().slist_append(headers_, authorization.c_str());
  for (const auto& [name, value] : request_->headers) {
    // libcurl leaves out a header without a value unless it ends in a semicolon.
    auto line = value.empty() ? name + ";" : name + ": " + value;
    headers_ = curl().slist_append(headers_, line.c_str());
  }
  if (request_->upload) {
    headers_ = curl().slist_append(headers_, type.c_str());
    headers_ = curl().slist_append(headers_, "Transfer-Encoding: chunked");
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
    set(CURLOPT_READFUNCTION, &CurlTransport::on_upload);
    set(CURLOPT_READDATA, static_cast<void*>(this));
  } else if (!request_->body.empty() || request_->method == "POST") {
    headers_ = curl().slist_append(headers_, type.c_str());
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_->body.size()));
    set(CURLOPT_POSTFIELDS, request_->body.c_str());
  }
  set(CURLOPT_HTTPHEADER, headers_);
  return {};
}

Result<CURLcode> CurlTransport::drive() {
  auto now = [] { return std::chrono::steady_clock::now(); };
  auto next_tick = now() + (stream_ ? stream_->tick : milliseconds(1000));
  for (;;) {
    int running = 0, ready = 0, queued = 0;
    curl().multi_perform(multi_, &running);
    while (auto* m = curl().multi_info_read(multi_, &queued))
      if (m->msg == CURLMSG_DONE) return m->data.result;
    auto left = std::chrono::ceil<milliseconds>(next_tick - now()).count();
    curl_waitfd wake{stream_ ? stream_->wake_fd : -1, CURL_WAIT_POLLIN, 0};
    bool watched = wake.fd >= 0;
    curl().multi_poll(multi_, watched ? &wake : nullptr, watched ? 1 : 0, static_cast<int>(std::max<long>(left, 0)),
                      &ready);
    if (!stream_ || !(wake.revents != 0 || now() >= next_tick)) {
      if (now() >= next_tick) next_tick = now() + milliseconds(1000);
      continue;
    }
    next_tick = now() + stream_->tick;
    if (stream_->on_wake && !stream_->on_wake()) {
      answer_.stopped = true;
      return CURLE_ABORTED_BY_CALLBACK;
    }
  }
}

Result<HttpAnswer> CurlTransport::conclude(CURLcode code) {
  if (problem_) return Unexpected(*problem_);
  long status = 0, connections = 0;
  char* type = nullptr;
  curl().easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  curl().easy_getinfo(easy_, CURLINFO_CONTENT_TYPE, &type);
  curl().easy_getinfo(easy_, CURLINFO_NUM_CONNECTS, &connections);
  if (connections > 0 && code != CURLE_COULDNT_CONNECT) connected = true;
  answer_.status = static_cast<int>(status);
  if (type) answer_.content_type = type;
  if (code == CURLE_OK || answer_.stopped) return std::move(answer_);
  std::string what = message_[0] != 0 ? message_.data() : curl().easy_strerror(code);
  if (code == CURLE_OPERATION_TIMEDOUT) return fail(ErrorCode::timeout, what, server_.url);
  bool trust = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
  return fail(trust ? ErrorCode::denied : ErrorCode::unavailable, what, server_.url,
              trust ? "If the server's certificate is from an authority of your own, name its file with --ca." : "");
}

std::size_t CurlTransport::on_body(char* data, std::size_t, std::size_t n, void* self_pointer) {
  auto& self = *static_cast<CurlTransport*>(self_pointer);
  std::string_view part(data, n);
  long status = 0;
  curl().easy_getinfo(self.easy_, CURLINFO_RESPONSE_CODE, &status);
  if (self.stream_ && self.stream_->on_chunk && status / 100 == 2) {
    if (self.stream_->on_chunk(part)) return n;
    self.answer_.stopped = true;
    return 0;
  }
  if (self.answer_.body.size() + n > self.request_->limit) {
    self.problem_ =
        Error{ErrorCode::exhausted,
              fmt::format("the answer to {} is longer than {} bytes", self.request_->path, self.request_->limit),
              self.server_.url,
              {}};
    return 0;
  }
  self.answer_.body += part;
  return n;
}

std::size_t CurlTransport::on_header(char* data, std::size_t, std::size_t n, void* self_pointer) {
  auto& headers = static_cast<CurlTransport*>(self_pointer)->answer_.headers;
  std::string_view line(data, n);
  auto colon = line.find(':');
  if (line.starts_with("HTTP/")) {
    headers.clear();  // those before were of a 1xx, or of a proxy
  } else if (colon != std::string_view::npos) {
    std::string name(line.substr(0, colon));
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    headers[std::move(name)] = std::string(trim(line.substr(colon + 1)));
  }
  return n;
}

std::size_t CurlTransport::on_upload(char* data, std::size_t, std::size_t n, void* self_pointer) {
  auto& self = *static_cast<CurlTransport*>(self_pointer);
  auto got = self.request_->upload(data, n);
  if (got) return *got;
  self.problem_ = got.error();
  return CURL_READFUNC_ABORT;
}

}  // namespace

std::unique_ptr<HttpClient::Transport> make_curl_transport(const HttpServer& server) {
  return std::make_unique<CurlTransport>(server);
}

}  // namespace mayfly
