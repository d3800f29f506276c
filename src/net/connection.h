#pragma once
// Inside net/ only: one client, from accept to close.
#include <functional>
#include <memory>
#include <optional>
#include <variant>

#include "net/event_loop.h"
#include "net/file_watch.h"
#include "net/http_parser.h"
#include "net/server.h"
#include "net/stream.h"
#include "net/task.h"

namespace mayfly::net {

// What all connections of a server share; outlives them.
struct ServerCore {
  ServerCore(ServerOptions o, Admit a, Handler h, const Log& l)
      : options(std::move(o)),
        admit(std::move(a)),
        handler(std::move(h)),
        log(l),
        loop("mayfly-http"),
        files(loop.context()) {}
  const ServerOptions options;
  const Admit admit;
  const Handler handler;
  const Log& log;
  ServerStats stats;
  EventLoop loop;
  FileWatch files;
};

struct FullAnswer {
  int status = 200;
  std::string type, body;
  std::vector<std::pair<std::string, std::string>> headers;
  bool close = false;
};
struct FileAnswer {
  std::string path, type;
};
using Answer = std::variant<FullAnswer, FileAnswer, LogFollow>;

class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<ServerCore> core, std::unique_ptr<Stream> stream, Peer peer);
  ~Connection();
  void start();
  void stop();  // from the loop's thread
  void answered(std::uint64_t request, Answer answer);
  void after(std::uint64_t request, Duration d, std::function<void()> f);

 private:
  struct Body;  // what is being received (connection.cc)

  Task<void> run();
  Task<void> pump();
  Task<bool> one_request();
  Task<bool> read_header(HttpParser& parser);
  Task<bool> read_body(HttpParser& parser, Request& request, const Admission& admission);
  Task<bool> respond(Answer answer, const Request& request, bool http10, bool keep);
  Task<bool> send_full(const FullAnswer& answer, bool head_only, bool http10, bool keep);
  Task<bool> send_file(const FileAnswer& answer, bool head_only, bool http10, bool keep);
  Task<bool> send_log(const LogFollow& follow, bool head_only, bool http10, bool keep);
  Task<bool> refuse(int status, Error error, std::vector<std::pair<std::string, std::string>> headers = {});
  Task<bool> write(std::array<std::string_view, 3> parts, bool with_timeout = true);
  Task<void> linger();
  bool peer_gone() const;
  void arm(Duration d);
  void disarm() { deadline_ = SteadyTime::max(); }
  void watchdog();
  std::string head(int status, std::string_view type, std::optional<std::uint64_t> length, bool keep, bool chunked,
                   const std::vector<std::pair<std::string, std::string>>& more = {}) const;

  std::shared_ptr<ServerCore> core_;
  std::unique_ptr<Stream> stream_;
  Peer peer_;
  std::string in_;  // received, not yet parsed; bounded by the pump
  std::size_t in_limit_;
  Signal wake_, drained_;
  asio::steady_timer timer_;
  SteadyTime deadline_ = SteadyTime::max();
  bool timer_runs_ = false, expired_ = false, writing_ = false;
  bool eof_ = false, stopped_ = false;
  std::uint64_t request_ = 0;  // numbers the requests, so that a late reply cannot answer the next one
  std::optional<Answer> answer_;
  asio::steady_timer reply_timer_;
  std::function<void()> reply_after_;

  friend class LogStream;
};

}  // namespace mayfly::net
