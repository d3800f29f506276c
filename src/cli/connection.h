#pragma once
// Finds the daemon that a command line means, and asks it.
#include <map>
#include <string>

#include <boost/json/object.hpp>

#include "cli/call.h"
#include "os/http_client.h"

namespace mayfly {

struct DaemonAddress {
  HttpServer server;
  std::string why;  // "because of --state", "the default": for the message when nobody is there
};

// The state directory meant by --state (may be empty), MAYFLY_STATE or by default.
std::string state_directory(const std::string& given, const CliEnvironment& environment);
Result<DaemonAddress> find_daemon(const OptionValues& connection, const CliEnvironment& environment);

// The public API, as far as the command line needs it: JSON in, JSON out.
class Api {
 public:
  explicit Api(DaemonAddress address) : address_(std::move(address)), client_(address_.server) {}

  Result<boost::json::object> get(const std::string& path, Duration timeout = seconds(30));
  Result<boost::json::object> post(const std::string& path, const std::string& body = {});
  // 2xx or the error that the answer tells; a failure to connect at all says where was looked and what to do.
  Result<HttpAnswer> send(const HttpRequest& request, const HttpStream* stream = nullptr);

  // Whether trying again may help: the daemon is restarting, or the connection broke.
  static bool is_passing(const Error& error);
  bool connected() const { return client_.connected(); }
  const DaemonAddress& address() const { return address_; }

 private:
  Error nobody_there(const Error& cause) const;
  DaemonAddress address_;
  HttpClient client_;
};

}  // namespace mayfly
