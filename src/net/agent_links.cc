#include "net/agent_links.h"

#include <map>
#include <thread>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <future>

#include <fmt/format.h>

#include "net/agent_outbox.h"
#include "net/agent_wire.h"
#include "net/event_loop.h"
#include "net/stream.h"
#include "net/task.h"

namespace mayfly::net {
namespace {

constexpr auto retry_pause = milliseconds(2);

// One builder's line. Lives as long as its coroutines run; `closed` makes it mute.
class Link final : public std::enable_shared_from_this<Link> {
 public:
  Link(asio::io_context& context, BuilderId builder, std::string address, std::shared_ptr<AgentOutbox> outbox,
       const AgentSink& sink, const Log& log)
      : context_(context),
        builder_(std::move(builder)),
        address_(std::move(address)),
        outbox_(std::move(outbox)),
        sink_(sink),
        log_(log),
        timer_(context),
        out_(context) {}

  void start(Duration patience) {
    patience_ = patience;
    deadline_ = std::chrono::steady_clock::now() + patience;
    asio::co_spawn(context_, [self = shared_from_this()] { return self->run(); }, asio::detached);
  }

  void send(std::string text, std::vector<Fd> fds) {
    if (!outbox_->add(std::move(text), std::move(fds))) return broken("the agent does not take its messages");
    out_.notify();
  }
  void send_rest() { out_.notify(); }

  void refuse(JobId job, std::string why) {
    AgentEvent event{.kind = AgentEvent::Kind::refused,
                     .builder = builder_,
                     .hello = {},
                     .finished = {},
                     .job = job,
                     .text = std::move(why)};
    tell(std::move(event));
  }

  void close() {
    closed_ = true;
    timer_.cancel();
    out_.notify();
    outbox_->closed();
    if (stream_) stream_->close();
  }

  bool closed() const { return closed_; }

 private:
  void tell(AgentEvent event) {
    if (!closed_) sink_(std::move(event));
  }

  void broken(std::string why) {
    if (!closed_) log_.debug("the line to the agent of {} broke: {}", builder_, why);
    tell({.kind = AgentEvent::Kind::unreachable,
          .builder = builder_,
          .hello = {},
          .finished = {},
          .text = std::move(why)});
    close();
  }

  Task<void> run() {
    bool connected = co_await connect();
    if (!connected) co_return;
    asio::co_spawn(context_, [self = shared_from_this()] { return self->write_queue(); }, asio::detached);
    // An agent that accepts but never says hello is as good as none.
    timer_.expires_at(deadline_);
    timer_.async_wait([weak = weak_from_this()](error_code ec) {
      auto self = weak.lock();
      if (!ec && self && !self->greeted_)
        self->broken(fmt::format("no hello from the agent within {}", format_duration(self->patience_)));
    });
    co_await read_frames();
  }

  Task<bool> connect() {
    for (;;) {
      if (closed_) co_return false;
      auto fd = connect_unix(address_);
      if (fd) {
        stream_ = make_plain_stream(context_, std::move(*fd));
        outbox_->open(stream_->fd());
        co_return true;
      }
      auto now = std::chrono::steady_clock::now();
      if (now >= deadline_) {
        broken(fmt::format("no answer from the agent within {}: {}", format_duration(patience_), fd.error().text()));
        co_return false;
      }
      timer_.expires_at(std::min<SteadyTime>(now + retry_pause, deadline_));
      co_await timer_.async_wait(use_task);
    }
  }

  Task<void> read_frames() {
    FrameReader frames;
    std::string bytes;
    while (!closed_) {
      bytes.clear();
      bool open = co_await stream_->read(bytes);
      if (closed_) co_return;
      if (!open) {
        broken("the agent closed the line");
        co_return;
      }
      frames.add(bytes);
      for (;;) {
        auto text = frames.next();
        if (!text) {
          broken("the agent does not make sense: " + text.error().text());
          co_return;
        }
        if (!*text) break;
        bool understood = take(**text);
        if (!understood || closed_) co_return;
      }
    }
  }

  bool take(const std::string& text) {
    auto message = agent::decode_from_agent(text);
    if (!message) return broken("the agent does not make sense: " + message.error().text()), false;
    AgentEvent event;
    event.builder = builder_;
    if (auto* hello = std::get_if<agent::Hello>(&*message)) {
      greeted_ = true;
      timer_.cancel();
      if (hello->version != agent::protocol_version)
        return broken(fmt::format("the agent speaks protocol {}, this daemon {}", hello->version,
                                  agent::protocol_version)),
               false;
      event.kind = AgentEvent::Kind::hello;
      event.job = hello->job;
      event.hello = std::move(*hello);
    } else if (auto* started = std::get_if<agent::Started>(&*message)) {
      event.kind = AgentEvent::Kind::started;
      event.job = started->job;
      event.at = started->at;
    } else if (auto* finished = std::get_if<agent::Finished>(&*message)) {
      event.kind = AgentEvent::Kind::finished;
      event.job = finished->job;
      event.finished = std::move(*finished);
    } else {
      auto& refused = std::get<agent::Refused>(*message);
      event.kind = AgentEvent::Kind::refused;
      event.job = refused.job;
      event.text = std::move(refused.why);
    }
    tell(std::move(event));
    return true;
  }

  Task<void> write_queue() {
    while (!closed_) {
      auto all = outbox_->flush();
      if (!all) {
        broken(all.error().text());
        co_return;
      }
      if (*all) {
        co_await out_.wait();
        continue;
      }
      bool writable = co_await stream_->writable();
      if (!writable) co_return;  // the reader sees the same break and tells of it
    }
  }

  asio::io_context& context_;
  const BuilderId builder_;
  const std::string address_;
  const std::shared_ptr<AgentOutbox> outbox_;
  const AgentSink& sink_;
  const Log& log_;
  Duration patience_{};
  SteadyTime deadline_;
  asio::steady_timer timer_;
  Signal out_;
  std::unique_ptr<Stream> stream_;
  bool closed_ = false, greeted_ = false;
};

class AgentLinks final : public Agents {
 public:
  AgentLinks(AgentSink sink, const Log& log) : sink_(std::move(sink)), log_(log), loop_("mayfly-agents") {
    loop_.start();
  }

  ~AgentLinks() override {
    std::promise<void> done;
    loop_.post([&] {
      for (auto& [builder, link] : links_) link->close();
      links_.clear();
      done.set_value();
    });
    done.get_future().wait();
    loop_.finish();
  }

  void connect(const BuilderId& builder, const std::string& address, Duration patience) override {
    auto outbox = std::make_shared<AgentOutbox>();
    lines_[builder] = {outbox, 0};
    loop_.post([this, builder, address, patience, outbox = std::move(outbox)] {
      auto link = std::make_shared<Link>(loop_.context(), builder, address, outbox, sink_, log_);
      auto& entry = links_[builder];
      if (entry) entry->close();
      entry = link;
      link->start(patience);
    });
  }

  void prepare(const BuilderId& builder, const AgentOrder& order) override {
    auto held = order.message;
    held.hold = true;
    auto text = agent::encode(held);
    if (text.size() > agent::max_frame) return;  // what is wrong with it, assign() will tell
    auto files = open_order_files(order);
    if (!files || !send_now(builder, text, *files)) return;
    lines_[builder].held = order.message.job;
    // The kernel likes to wake the agent on this thread's processor. What the agent has to do now, until the job's
    // process goes its own way, is less than what this thread goes on with: writing the record.
    std::this_thread::yield();
  }

  void assign(const BuilderId& builder, AgentOrder order) override {
    const JobId job = order.message.job;
    auto found = lines_.find(builder);
    const bool held = found != lines_.end() && found->second.held == job;
    if (held && send_now(builder, agent::encode(agent::Begin{job}), {})) return;
    loop_.post([this, builder, held, job, order = std::make_shared<AgentOrder>(std::move(order))] {
      auto link = line(builder, job);
      if (!link) return;
      if (held) return link->send(agent::encode(agent::Begin{job}), {});
      if (auto given = give(*link, *order); !given) link->refuse(job, given.error().text());
    });
  }

  void cancel(const BuilderId& builder, JobId job) override {
    loop_.post([this, builder, job] { pass(builder, agent::Cancel{job}); });
  }
  void release(const BuilderId& builder) override {
    loop_.post([this, builder] { pass(builder, agent::Release{}); });
  }
  void disconnect(const BuilderId& builder) override {
    lines_.erase(builder);
    loop_.post([this, builder] {
      auto found = links_.find(builder);
      if (found == links_.end()) return;
      found->second->close();
      links_.erase(found);
    });
  }

 private:
  // Control's own end of a line.
  struct Line {
    std::shared_ptr<AgentOutbox> outbox;
    JobId held = 0;  // the job whose order the agent holds
  };

  // False: it was not sent, and the loop has to.
  bool send_now(const BuilderId& builder, const std::string& text, const std::vector<Fd>& files) {
    auto found = lines_.find(builder);
    if (found == lines_.end()) return false;
    auto sent = found->second.outbox->send_now(text, files);
    if (sent == AgentOutbox::Sent::partly)
      loop_.post([this, builder] {
        if (auto link = links_.find(builder); link != links_.end()) link->second->send_rest();
      });
    return sent != AgentOutbox::Sent::not_at_all;
  }

  std::shared_ptr<Link> line(const BuilderId& builder, JobId job) {
    auto found = links_.find(builder);
    if (found != links_.end() && !found->second->closed()) return found->second;
    sink_({.kind = AgentEvent::Kind::unreachable,
           .builder = builder,
           .hello = {},
           .finished = {},
           .job = job,
           .text = "there is no line to this builder's agent"});
    return nullptr;
  }

  // A cancel or release that finds no line is no news: the break was told already.
  void pass(const BuilderId& builder, const agent::ToAgent& message) {
    auto found = links_.find(builder);
    if (found != links_.end() && !found->second->closed()) found->second->send(agent::encode(message), {});
  }

  Result<void> give(Link& link, const AgentOrder& order) {
    MAYFLY_ASSIGN(auto files, open_order_files(order));
    auto text = agent::encode(order.message);
    if (text.size() > agent::max_frame)
      return fail(ErrorCode::invalid,
                  fmt::format("the job's order is {} bytes, more than the limit of {}: make its script, environment "
                              "and secrets smaller",
                              text.size(), agent::max_frame));
    link.send(std::move(text), std::move(files));
    return {};
  }

  const AgentSink sink_;
  const Log& log_;
  EventLoop loop_;
  std::map<BuilderId, Line> lines_;                   // control's
  std::map<BuilderId, std::shared_ptr<Link>> links_;  // the loop's
};

}  // namespace

std::unique_ptr<Agents> make_agent_links(AgentSink sink, const Log& log) {
  return std::make_unique<AgentLinks>(std::move(sink), log);
}

}  // namespace mayfly::net
