#pragma once
// Inside net/ only: Beast's incremental HTTP/1.1 request parser, without its streams (those cost 100 s of compile
// time).
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mayfly::net {

struct HttpHead {
  std::string method, target;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  bool http10 = false;
};

class HttpParser {
 public:
  explicit HttpParser(std::uint32_t header_limit);
  ~HttpParser();

  // Returns how much of `bytes` was used; what was not must be offered again with more behind it. Stops after the
  // header once, so that the caller can decide about the body before a byte of it is taken.
  Result<std::size_t> feed(std::string_view bytes);
  bool header_done() const;
  bool done() const;
  bool header_too_large() const { return header_too_large_; }
  bool keep_alive() const;
  std::optional<std::uint64_t> content_length() const;
  HttpHead& head();
  // Where the body goes, piece by piece; false refuses the rest.
  void on_body(std::function<bool(std::string_view)> sink);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
  bool header_too_large_ = false;
};

}  // namespace mayfly::net
