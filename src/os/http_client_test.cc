// Both transports against one little server: by hand over a unix socket, by libcurl over loopback TCP.
#include "os/http_client.h"

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <thread>

#include <fmt/format.h>

namespace mayfly {
namespace {

using testing::HasSubstr;

// Serves connections one after the other; for each request the test says what to send, and whether to hang up after it.
class Server {
 public:
  struct Say {
    std::string bytes;
    bool hang_up = false;
  };
  Server(bool unix_socket, std::function<Say(const std::string& head, const std::string& body)> script)
      : script_(std::move(script)) {
    if (unix_socket) {
      char name[] = "/tmp/mayfly-http-XXXXXX";
      dir_ = ::mkdtemp(name);
      server.unix_socket = dir_ + "/s";
      sockaddr_un a{};
      a.sun_family = AF_UNIX;
      std::strcpy(a.sun_path, server.unix_socket.c_str());
      listen(AF_UNIX, reinterpret_cast<sockaddr*>(&a), sizeof a);
    } else {
      sockaddr_in a{};
      a.sin_family = AF_INET;
      a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t n = sizeof a;
      listen(AF_INET, reinterpret_cast<sockaddr*>(&a), sizeof a);
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&a), &n);
      server.url = fmt::format("http://127.0.0.1:{}", ntohs(a.sin_port));
    }
    thread_ = std::thread([this] { serve(); });
  }
  ~Server() {
    ::shutdown(listener_, SHUT_RDWR);
    if (int fd = current_.load(); fd >= 0) ::shutdown(fd, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    if (dir_.empty()) return;
    ::unlink(server.unix_socket.c_str());
    ::rmdir(dir_.c_str());
  }
  HttpServer server;
  std::atomic<int> connections{0};

 private:
  void listen(int family, sockaddr* a, socklen_t n) {
    listener_ = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::bind(listener_, a, n) != 0 || ::listen(listener_, 8) != 0) std::abort();
  }
  void serve() {
    for (int fd; (fd = ::accept(listener_, nullptr, nullptr)) >= 0;) {
      current_ = fd;
      ++connections;
      std::string in;
      for (char bytes[4096];;) {
        ssize_t n = ::recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0) break;
        in.append(bytes, static_cast<std::size_t>(n));
        auto end = in.find("\r\n\r\n");
        if (end == std::string::npos) continue;
        auto head = in.substr(0, end), body = in.substr(end + 4);
        if (auto at = head.find("Content-Length: ");
            at != std::string::npos && body.size() < std::stoul(head.substr(at + 16)))
          continue;
        if (head.find("chunked") != std::string::npos && !body.ends_with("0\r\n\r\n")) continue;
        in.clear();
        auto say = script_(head, body);
        ::send(fd, say.bytes.data(), say.bytes.size(), MSG_NOSIGNAL);
        if (say.hang_up) break;
      }
      current_ = -1;
      ::close(fd);
    }
  }
  std::function<Say(const std::string&, const std::string&)> script_;
  std::string dir_;
  int listener_ = -1;
  std::atomic<int> current_{-1};
  std::thread thread_;
};

std::string reply(const std::string& body, const char* status = "200 OK") {
  return fmt::format("HTTP/1.1 {}\r\nContent-Type: text/x\r\nContent-Length: {}\r\n\r\n{}", status, body.size(), body);
}

class Client : public testing::TestWithParam<bool> {};

TEST_P(Client, SendsAndReusesItsConnection) {
  std::string head, body;
  Server s(GetParam(), [&](const std::string& h, const std::string& b) {
    return head = h, body = b, Server::Say{reply("answer", "418 Teapot")};
  });
  s.server.bearer_token = "t0k";
  HttpClient client(s.server);
  EXPECT_FALSE(client.connected());
  for (int i = 0; i < 3; ++i) {
    auto answer = client.request({.method = "POST", .path = "/a?b=c", .body = "{}"});
    ASSERT_TRUE(answer) << answer.error().text();
    EXPECT_EQ(answer->status, 418);
    EXPECT_EQ(answer->body, "answer");
    EXPECT_EQ(answer->content_type, "text/x");
  }
  EXPECT_EQ(s.connections, 1);
  EXPECT_TRUE(client.connected());
  EXPECT_TRUE(head.starts_with("POST /a?b=c HTTP/1.1\r\n")) << head;
  EXPECT_THAT(head, HasSubstr("Authorization: Bearer t0k"));
  EXPECT_EQ(body, "{}");
}

TEST_P(Client, HeadersGoAndComeBack) {
  std::string head;
  Server s(GetParam(), [&](const std::string& h, const std::string&) {
    return head = h, Server::Say{
                         "HTTP/1.1 100 Continue\r\nX-Old: 1\r\n\r\nHTTP/1.1 304 Not Modified\r\nETag:  \"a:b\" \r\n"
                         "RETRY-after: 7\r\n\r\n"};
  });
  HttpClient client(s.server);
  auto answer = client.request({.path = "/", .headers = {{"If-None-Match", "\"a:b\""}, {"X-Empty", ""}}});
  ASSERT_TRUE(answer) << answer.error().text();
  EXPECT_EQ(answer->status, 304);
  EXPECT_THAT(answer->headers,
              testing::UnorderedElementsAre(testing::Pair("etag", "\"a:b\""), testing::Pair("retry-after", "7")));
  EXPECT_THAT(head, HasSubstr("\r\nIf-None-Match: \"a:b\"\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\nX-Empty:"));
  for (const char* bad : {"a\r\nX-Injected: 1", "a\n", "\x7f"}) {
    auto refused = client.request({.path = "/", .headers = {{"Authorization", bad}}});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::invalid);
  }
}

TEST_P(Client, ConnectsAgainWhenTheServerHungUpMeanwhile) {
  Server s(GetParam(), [&](const std::string&, const std::string&) { return Server::Say{reply("x"), true}; });
  HttpClient client(s.server);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(client.request({.path = "/"}));
  EXPECT_EQ(s.connections, 3);
}

TEST_P(Client, UploadsInChunksAndNeverEndsAHalf) {
  std::string body;
  std::atomic<int> requests = 0;
  Server s(GetParam(),
           [&](const std::string&, const std::string& b) { return body = b, ++requests, Server::Say{reply("")}; });
  HttpClient client(s.server);
  HttpRequest request{.method = "POST", .path = "/u"};
  int left = 2;
  request.upload = [&](char* buffer, std::size_t) -> Result<std::size_t> {
    return left-- > 0 ? (std::memcpy(buffer, "abc", 3), 3) : 0;
  };
  ASSERT_TRUE(client.request(request));
  EXPECT_THAT(body, HasSubstr("3\r\nabc\r\n"));
  EXPECT_TRUE(body.ends_with("0\r\n\r\n"));
  left = 1;
  request.upload = [&](char* buffer, std::size_t) -> Result<std::size_t> {
    if (left-- > 0) return std::memcpy(buffer, "abc", 3), 3;
    return fail(ErrorCode::not_found, "a file went away");
  };
  auto answer = client.request(request);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().what, "a file went away");
  EXPECT_EQ(requests, 1);
}

TEST_P(Client, StreamsUntilToldToStop) {
  Server s(GetParam(), [&](const std::string&, const std::string&) {
    return Server::Say{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"};
  });
  HttpClient client(s.server);
  HttpStream stream;
  std::string got;
  stream.on_chunk = [&](std::string_view part) { return got += part, false; };
  auto answer = client.stream({.path = "/"}, stream);
  ASSERT_TRUE(answer) << answer.error().text();
  EXPECT_TRUE(answer->stopped);
  EXPECT_EQ(got, "abc");
}

TEST_P(Client, WakesForADescriptor) {
  Server s(GetParam(), [&](const std::string&, const std::string&) {
    return Server::Say{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"};
  });
  HttpClient client(s.server);
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  ASSERT_EQ(::write(pipe[1], "!", 1), 1);
  HttpStream stream;
  stream.wake_fd = pipe[0];
  stream.tick = std::chrono::hours(1);
  int woken = 0;
  stream.on_wake = [&] { return ++woken, false; };
  auto answer = client.stream({.path = "/", .timeout = Duration{}}, stream);
  ::close(pipe[0]), ::close(pipe[1]);
  ASSERT_TRUE(answer) << answer.error().text();
  EXPECT_TRUE(answer->stopped);
  EXPECT_EQ(woken, 1);
}

TEST_P(Client, NamesWhatFailed) {
  std::string say = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
  Server s(GetParam(), [&](const std::string&, const std::string&) { return Server::Say{say, say.ends_with("half")}; });
  HttpClient client(s.server);
  auto answer = client.request({.path = "/"});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::unavailable);
  EXPECT_EQ(answer.error().where, s.server.name());
  say = reply("0123456789");
  answer = client.request({.path = "/", .limit = 5});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::exhausted);
  say.clear();  // and then nothing
  answer = client.request({.path = "/", .timeout = milliseconds(30)});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::timeout);
}

TEST_P(Client, DoesNotFollowRedirects) {
  Server s(GetParam(), [&](const std::string&, const std::string&) {
    return Server::Say{"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.invalid/\r\nContent-Length: 0\r\n\r\n"};
  });
  auto answer = HttpClient(s.server).request({.path = "/"});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 302);
}

INSTANTIATE_TEST_SUITE_P(Http, Client, testing::Values(true, false),
                         [](const auto& info) { return info.param ? "unix" : "curl"; });

TEST(HttpClient, SaysThatNobodyIsThere) {
  for (const auto& server :
       {HttpServer{.unix_socket = "/tmp/mayfly-no-such-socket"}, HttpServer{.url = "http://127.0.0.1:1"}}) {
    HttpClient client(server);
    auto answer = client.request({.path = "/"});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ErrorCode::unavailable);
    EXPECT_FALSE(client.connected());
  }
  EXPECT_EQ(HttpClient(HttpServer{.unix_socket = "/" + std::string(200, 'x')}).request({.path = "/"}).error().code,
            ErrorCode::invalid);
}

TEST(HttpClient, EncodesForUrls) { EXPECT_EQ(url_encode("a b/c?ä-._~"), "a%20b%2Fc%3F%C3%A4-._~"); }

}  // namespace
}  // namespace mayfly
