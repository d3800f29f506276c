#include "net/http.h"

#include <boost/json.hpp>

#include "base/text.h"
#include "model/json.h"

namespace mayfly::net {

std::string_view Request::header(std::string_view lower_name) const {
  for (const auto& [name, value] : headers)
    if (name == lower_name) return value;
  return {};
}

int http_status(const Error& e) {
  switch (e.code) {
    case ErrorCode::invalid:
      return 400;
    case ErrorCode::denied:
      return 403;
    case ErrorCode::not_found:
      return 404;
    case ErrorCode::conflict:
      return 409;
    case ErrorCode::exhausted:
      return e.where == "queue" ? 429 : 507;
    case ErrorCode::timeout:
      return 504;
    case ErrorCode::unavailable:
      return 503;
    case ErrorCode::unsupported:
      return 501;
    case ErrorCode::internal:
      return 500;
  }
  return 500;
}

std::string_view http_reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 507:
      return "Insufficient Storage";
    default:
      return "Status";
  }
}

std::string error_body(const Error& e) {
  // A message may quote bytes that a client sent; JSON must be UTF-8 whatever they were.
  Error clean = e;
  for (auto* text : {&clean.what, &clean.where, &clean.next}) {
    if (ill_formed_utf8(*text) == std::string::npos) continue;
    for (char& c : *text)
      if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  }
  return boost::json::serialize(boost::json::object{{"error", to_json(clean)}});
}

}  // namespace mayfly::net
