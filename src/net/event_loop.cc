#include "net/event_loop.h"

#include <pthread.h>
#include <signal.h>

#include <optional>
#include <thread>

#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

namespace mayfly::net {

namespace asio = boost::asio;

struct EventLoop::Impl {
  explicit Impl(std::string n) : name(std::move(n)) {}
  std::string name;
  asio::io_context context{1};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work{context.get_executor()};
  std::thread thread;
};

EventLoop::EventLoop(std::string thread_name) : impl_(std::make_unique<Impl>(std::move(thread_name))) {}
EventLoop::~EventLoop() { finish(); }

void EventLoop::start() {
  impl_->thread = std::thread([impl = impl_.get()] {
    pthread_setname_np(pthread_self(), impl->name.c_str());
    // Signals are the main thread's: a handler that ran here would interrupt the wrong thread.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    impl->context.run();
  });
}

void EventLoop::post(std::function<void()> f) { asio::post(impl_->context, std::move(f)); }
void EventLoop::dispatch(std::function<void()> f) { asio::dispatch(impl_->context, std::move(f)); }

void EventLoop::finish() {
  impl_->work.reset();
  if (impl_->thread.joinable()) impl_->thread.join();
}

asio::io_context& EventLoop::context() { return impl_->context; }

}  // namespace mayfly::net
