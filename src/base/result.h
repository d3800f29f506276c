#pragma once
// Expected failures are values. A function that can fail for a reason outside this program returns Result<T>;
// a broken invariant aborts (see MAYFLY_CHECK). Nothing here does I/O; every type may be used from any thread.
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace mayfly {

enum class ErrorCode {
  invalid,      // the input is wrong; trying again unchanged cannot help
  not_found,    // the named thing does not exist
  conflict,     // it exists already, or is in a state that forbids this
  denied,       // no right to do it
  unavailable,  // a system we depend on does not answer or refuses for now; trying again may help
  timeout,      // no answer by the deadline
  exhausted,    // a limit or a resource (disk, queue, quota) is used up
  unsupported,  // this host or build cannot do it
  internal,     // a bug or a state we did not foresee
};

std::string_view to_string(ErrorCode code);

// What a person needs: what happened, where (a file and line, a name, an address), and what to do next.
struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string what;
  std::string where = {};
  std::string next = {};

  // "where: what. next", leaving out what is empty.
  std::string text() const;
};

template <class T>
using Result = tl::expected<T, Error>;
using Unexpected = tl::unexpected<Error>;

inline Unexpected fail(ErrorCode code, std::string what, std::string where = {}, std::string next = {}) {
  return Unexpected(Error{code, std::move(what), std::move(where), std::move(next)});
}

// `what: strerror(errno_value)`, with the code that fits (ENOENT is not_found, ENOSPC is exhausted, …).
Error errno_error(std::string what, int errno_value, std::string where = {});

[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace mayfly

// A bug, not a failure: says where, and aborts.
#define MAYFLY_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::mayfly::check_failed(#condition, __FILE__, __LINE__))

// Evaluates a Result; returns its error from the enclosing function or goes on.
#define MAYFLY_TRY(expression)                                           \
  do {                                                                   \
    if (auto mayfly_try_result = (expression); !mayfly_try_result)       \
      return ::mayfly::Unexpected(std::move(mayfly_try_result).error()); \
  } while (false)

// `MAYFLY_ASSIGN(auto x, f());` declares x from f()'s value, or returns f()'s error.
#define MAYFLY_ASSIGN_CAT2(a, b) a##b
#define MAYFLY_ASSIGN_CAT(a, b) MAYFLY_ASSIGN_CAT2(a, b)
#define MAYFLY_ASSIGN_IMPL(tmp, declaration, expression)         \
  auto tmp = (expression);                                       \
  if (!tmp) return ::mayfly::Unexpected(std::move(tmp).error()); \
  declaration = std::move(*tmp)
#define MAYFLY_ASSIGN(declaration, expression) \
  MAYFLY_ASSIGN_IMPL(MAYFLY_ASSIGN_CAT(mayfly_result_, __LINE__), declaration, expression)
