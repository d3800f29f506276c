#include "base/result.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace mayfly {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid:
      return "invalid";
    case ErrorCode::not_found:
      return "not_found";
    case ErrorCode::conflict:
      return "conflict";
    case ErrorCode::denied:
      return "denied";
    case ErrorCode::unavailable:
      return "unavailable";
    case ErrorCode::timeout:
      return "timeout";
    case ErrorCode::exhausted:
      return "exhausted";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::internal:
      return "internal";
  }
  return "internal";
}

std::string Error::text() const {
  std::string out;
  if (!where.empty()) out += where + ": ";
  out += what;
  if (!next.empty()) {
    if (!out.empty() && out.back() != '.' && out.back() != '\n') out += '.';
    if (!out.empty() && out.back() != '\n') out += ' ';
    out += next;
  }
  return out;
}

static ErrorCode code_of(int errno_value) {
  switch (errno_value) {
    case ENOENT:
    case ESRCH:
    case ENOTDIR:
      return ErrorCode::not_found;
    case EEXIST:
    case EBUSY:
    case ENOTEMPTY:
      return ErrorCode::conflict;
    case EPERM:
    case EACCES:
    case EROFS:
      return ErrorCode::denied;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return ErrorCode::exhausted;
    case ETIMEDOUT:
      return ErrorCode::timeout;
    case EINVAL:
    case ENAMETOOLONG:
      return ErrorCode::invalid;
    case ENOSYS:
    case EOPNOTSUPP:
      return ErrorCode::unsupported;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case EAGAIN:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return ErrorCode::unavailable;
    default:
      return ErrorCode::internal;
  }
}

Error errno_error(std::string what, int errno_value, std::string where) {
  return Error{code_of(errno_value), std::move(what) + ": " + std::strerror(errno_value), std::move(where), {}};
}

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "mayfly: bug: %s does not hold (%s:%d)\n", condition, file, line);
  std::abort();
}

}  // namespace mayfly
