#pragma once
// One thread that serves many quiet connections. Everything of net/ that is not said to be callable from any thread
// runs on its loop's thread.
#include <functional>
#include <memory>
#include <string>

namespace boost::asio {
class io_context;
}

namespace mayfly::net {

class EventLoop {
 public:
  explicit EventLoop(std::string thread_name);  // at most 15 characters; the thread starts with start()
  ~EventLoop();                                 // as finish()

  void start();
  // Any thread. After finish() the function is dropped unrun.
  void post(std::function<void()> f);
  // On the loop's thread at once, otherwise by post(): no hop where none is needed.
  void dispatch(std::function<void()> f);
  // Lets the thread end once nothing is left to wait for, and joins it. Not from the loop's own thread.
  void finish();

  boost::asio::io_context& context();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mayfly::net
