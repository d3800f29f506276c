#pragma once
// Inside net/ only: coroutines, and a way to wake one. Includes Asio; keep it out of headers that others include.
#include <chrono>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace mayfly::net {

namespace asio = boost::asio;
using boost::system::error_code;
using SteadyTime = std::chrono::steady_clock::time_point;

template <class T>
using Task = asio::awaitable<T>;

// Errors come back as values: no exception crosses a coroutine of ours.
inline constexpr auto use_task = asio::as_tuple(asio::use_awaitable);

// Wakes the one coroutine that waits. The waiter loops on its condition: wakes may be spurious, and on one thread none
// is lost between the look at the condition and the wait.
class Signal {
 public:
  explicit Signal(asio::io_context& context) : timer_(context) {}
  void notify() { timer_.cancel(); }
  Task<void> wait(SteadyTime until = SteadyTime::max()) {
    timer_.expires_at(until);
    co_await timer_.async_wait(use_task);
  }

 private:
  asio::steady_timer timer_;
};

}  // namespace mayfly::net
