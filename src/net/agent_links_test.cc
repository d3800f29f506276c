#include "net/agent_links.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <condition_variable>
#include <deque>
#include <fstream>
#include <mutex>
#include <set>
#include <sstream>

#include "net/agent_wire.h"
#include "net/test_support.h"

namespace mayfly::net {
namespace {

using Kind = AgentEvent::Kind;

// An agent as the protocol has it, driven by the test.
class FakeAgent {
 public:
  explicit FakeAgent(const std::string& path) {
    listener_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un a{};
    a.sun_family = AF_UNIX;
    path.copy(a.sun_path, sizeof a.sun_path - 1);
    MAYFLY_CHECK(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&a), sizeof a) == 0 &&
                 ::listen(listener_.get(), 16) == 0);
  }
  void accept() {
    pollfd p{listener_.get(), POLLIN, 0};
    MAYFLY_CHECK(::poll(&p, 1, 20'000) == 1);
    line_ = Fd(::accept(listener_.get(), nullptr, nullptr));
    frames_ = {};
  }
  void say(const agent::FromAgent& m) { raw(agent::frame(agent::encode(m))); }
  void raw(const std::string& bytes) {
    ASSERT_EQ(::send(line_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  void hang_up() { line_.reset(); }
  // nullopt: the daemon closed the line.
  std::optional<agent::ToAgent> hear() {
    for (;;) {
      auto text = frames_.next();
      if (text && *text) return agent::decode_to_agent(**text).value();
      if (!receive()) return std::nullopt;
    }
  }
  std::vector<Fd> fds;

 private:
  bool receive() {
    pollfd p{line_.get(), POLLIN, 0};
    if (::poll(&p, 1, 20'000) != 1) return false;
    char bytes[4096];
    iovec io{bytes, sizeof bytes};
    alignas(cmsghdr) char control[256];
    msghdr m{};
    m.msg_iov = &io;
    m.msg_iovlen = 1;
    m.msg_control = control;
    m.msg_controllen = sizeof control;
    ssize_t n = ::recvmsg(line_.get(), &m, MSG_CMSG_CLOEXEC);
    if (n <= 0) return false;
    for (auto* c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
      std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
        fds.emplace_back(fd);
      }
    }
    frames_.add({bytes, static_cast<std::size_t>(n)});
    return true;
  }
  Fd listener_, line_;
  FrameReader frames_;
};

class AgentLinksTest : public ::testing::Test {
 protected:
  AgentEvent next() {
    std::unique_lock lock(mutex_);
    if (!arrived_.wait_for(lock, std::chrono::seconds(20), [this] { return !events_.empty(); })) {
      ADD_FAILURE() << "no event came";
      return {};
    }
    auto e = std::move(events_.front());
    events_.pop_front();
    return e;
  }
  AgentOrder order() {
    AgentOrder o;
    o.message.job = 7;
    o.message.argv = {"true"};
    o.log_path = dir_.file("log");
    o.index_path = dir_.file("log.index");
    o.result_path = dir_.file("result");
    return o;
  }
  AgentOrder order_of_megabytes() {
    auto o = order();
    o.message.argv.clear();
    o.message.script = std::string(5 << 20, 's');
    return o;
  }
  void connect_and_greet(FakeAgent& agent) {
    links_->connect("b-1", dir_.file("a"), seconds(20));
    agent.accept();
    agent.say(agent::Hello{});
    ASSERT_EQ(next().kind, Kind::hello);
  }
  std::string text_of(const std::string& name) {
    std::ifstream in(dir_.file(name));
    std::stringstream out;
    out << in.rdbuf();
    return out.str();
  }

  test::TempDir dir_;
  Log log_{LogLevel::error};
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<AgentEvent> events_;
  std::unique_ptr<Agents> links_ = make_agent_links(
      [this](AgentEvent e) {
        std::lock_guard lock(mutex_);
        events_.push_back(std::move(e));
        arrived_.notify_all();
      },
      log_);
};

TEST_F(AgentLinksTest, AJobFromHelloToRelease) {
  FakeAgent agent(dir_.file("a"));
  connect_and_greet(agent);
  links_->assign("b-1", order());
  auto assign = agent.hear();
  ASSERT_TRUE(assign && std::holds_alternative<agent::Assign>(*assign));
  EXPECT_EQ(std::get<agent::Assign>(*assign).job, 7u);
  agent.say(agent::Started{7, from_micros(42)});
  auto started = next();
  EXPECT_EQ(started.kind, Kind::started);
  EXPECT_EQ(started.builder, "b-1");
  EXPECT_EQ(started.at, from_micros(42));
  links_->cancel("b-1", 7);
  auto cancel = agent.hear();
  ASSERT_TRUE(cancel && std::holds_alternative<agent::Cancel>(*cancel));
  agent.say(agent::Finished{7, {JobCause::exited, 3, 0, "x"}, {}, {}, 99, false});
  auto finished = next();
  EXPECT_EQ(finished.kind, Kind::finished);
  EXPECT_EQ(finished.job, 7u);
  EXPECT_EQ(finished.finished->result.exit_code, 3);
  links_->release("b-1");
  auto release = agent.hear();
  ASSERT_TRUE(release && std::holds_alternative<agent::Release>(*release));
  agent.hang_up();
  EXPECT_EQ(next().kind, Kind::unreachable);
}

TEST_F(AgentLinksTest, APreparedOrderIsHeldAndThenOnlyNamed) {
  FakeAgent agent(dir_.file("a"));
  connect_and_greet(agent);
  links_->prepare("b-1", order());
  auto held = agent.hear();
  ASSERT_TRUE(held && std::holds_alternative<agent::Assign>(*held));
  EXPECT_TRUE(std::get<agent::Assign>(*held).hold);
  EXPECT_EQ(agent.fds.size(), 3u);
  links_->assign("b-1", order());
  auto begin = agent.hear();
  ASSERT_TRUE(begin && std::holds_alternative<agent::Begin>(*begin));
  EXPECT_EQ(std::get<agent::Begin>(*begin).job, 7u);
}

TEST_F(AgentLinksTest, WhatWasPreparedOnAnotherLineIsSentAgain) {
  FakeAgent agent(dir_.file("a"));
  connect_and_greet(agent);
  links_->prepare("b-1", order());
  ASSERT_TRUE(agent.hear());
  connect_and_greet(agent);
  links_->assign("b-1", order());
  auto assign = agent.hear();
  ASSERT_TRUE(assign && std::holds_alternative<agent::Assign>(*assign));
  EXPECT_FALSE(std::get<agent::Assign>(*assign).hold);
}

TEST_F(AgentLinksTest, WhatIsWrongWithAPreparedOrderIsToldWhenItIsAssigned) {
  FakeAgent agent(dir_.file("a"));
  connect_and_greet(agent);
  auto o = order();
  o.log_path = dir_.file("no-such-folder/log");
  links_->prepare("b-1", o);
  links_->assign("b-1", o);
  auto refused = next();
  EXPECT_EQ(refused.kind, Kind::refused);
  EXPECT_EQ(refused.job, 7u);
}

TEST_F(AgentLinksTest, TheFilesArriveInOrderAndAreTheRightOnes) {
  FakeAgent agent(dir_.file("a"));
  connect_and_greet(agent);
  std::ofstream(dir_.file("in.tar")) << "input";
  std::ofstream(dir_.file("log")) << "before;";
  auto o = order();
  o.input_path = dir_.file("in.tar");
  o.output_path = dir_.file("out.tar");
  o.message.has_input = true;
  o.message.output = "out";
  links_->assign("b-1", o);
  ASSERT_TRUE(agent.hear());
  ASSERT_EQ(agent.fds.size(), 5u);
  for (auto [i, name] : {std::pair(0, "log"), {1, "log.index"}, {2, "result"}, {3, "in.tar"}, {4, "out.tar"}}) {
    struct stat a{}, b{};
    ASSERT_EQ(::fstat(agent.fds[static_cast<std::size_t>(i)].get(), &a), 0);
    ASSERT_EQ(::stat(dir_.file(name).c_str(), &b), 0);
    EXPECT_EQ(a.st_ino, b.st_ino) << name;
    if (i != 3 && i != 0) EXPECT_EQ(b.st_mode & 0777, 0600u) << name;
  }
  EXPECT_EQ(::write(agent.fds[0].get(), "after", 5), 5);
  EXPECT_EQ(text_of("log"), "before;after");
  EXPECT_LT(::write(agent.fds[3].get(), "x", 1), 0) << "the input must be read-only";
}

TEST_F(AgentLinksTest, AnOrderOfMegabytesArrivesWhole) {
  FakeAgent agent(dir_.file("a"));
  connect_and_greet(agent);
  const auto o = order_of_megabytes();
  links_->assign("b-1", o);
  auto assign = agent.hear();
  ASSERT_TRUE(assign);
  EXPECT_TRUE(std::get<agent::Assign>(*assign).script == o.message.script);
  EXPECT_EQ(agent.fds.size(), 3u) << "descriptors go once, with the first byte";
}

TEST_F(AgentLinksTest, APreparedOrderOfMegabytesArrivesWholeAndBeforeItsBeginning) {
  FakeAgent agent(dir_.file("a"));
  connect_and_greet(agent);
  const auto o = order_of_megabytes();
  links_->prepare("b-1", o);
  links_->assign("b-1", o);
  auto held = agent.hear();
  ASSERT_TRUE(held && std::holds_alternative<agent::Assign>(*held));
  EXPECT_TRUE(std::get<agent::Assign>(*held).script == o.message.script);
  EXPECT_EQ(agent.fds.size(), 3u);
  auto begin = agent.hear();
  EXPECT_TRUE(begin && std::holds_alternative<agent::Begin>(*begin));
}

TEST_F(AgentLinksTest, APreparedOrderWhoseAgentIsGoneIsUnreachable) {
  FakeAgent agent(dir_.file("a"));
  connect_and_greet(agent);
  links_->prepare("b-1", order());
  ASSERT_TRUE(agent.hear());
  agent.hang_up();
  links_->assign("b-1", order());
  EXPECT_EQ(next().kind, Kind::unreachable);
}

TEST_F(AgentLinksTest, AnOrderThatCannotBeGivenIsRefusedWithTheReason) {
  FakeAgent agent(dir_.file("a"));
  connect_and_greet(agent);
  auto o = order();
  o.input_path = dir_.file("no-such-upload.tar");
  links_->assign("b-1", o);
  auto refused = next();
  EXPECT_EQ(refused.kind, Kind::refused);
  EXPECT_EQ(refused.job, 7u);
  EXPECT_NE(refused.text.find("no-such-upload.tar"), std::string::npos) << refused.text;
  o = order();
  o.message.script = std::string(9 << 20, 's');
  links_->assign("b-1", o);
  refused = next();
  EXPECT_EQ(refused.kind, Kind::refused);
  EXPECT_NE(refused.text.find("limit"), std::string::npos) << refused.text;
  links_->assign("b-2", order());
  EXPECT_EQ(next().kind, Kind::unreachable);
}

TEST_F(AgentLinksTest, WaitsForAnAgentThatListensLater) {
  links_->connect("b-1", dir_.file("a"), seconds(20));
  FakeAgent agent(dir_.file("a"));
  agent.accept();
  agent.say(agent::Hello{.version = agent::protocol_version, .job = 5, .started_at = {}, .finished = {}});
  auto hello = next();
  EXPECT_EQ(hello.kind, Kind::hello);
  EXPECT_EQ(hello.hello->job, 5u);
}

TEST_F(AgentLinksTest, GivesUpAfterItsPatience) {
  links_->connect("b-1", dir_.file("nobody"), milliseconds(20));
  auto e = next();
  EXPECT_EQ(e.kind, Kind::unreachable);
  EXPECT_NE(e.text.find("nobody"), std::string::npos) << e.text;
  FakeAgent mute(dir_.file("a"));
  links_->connect("b-1", dir_.file("a"), milliseconds(20));
  e = next();
  EXPECT_EQ(e.kind, Kind::unreachable);
  EXPECT_NE(e.text.find("hello"), std::string::npos) << e.text;
}

TEST_F(AgentLinksTest, ConnectsAgainAfterABreak) {
  FakeAgent agent(dir_.file("a"));
  connect_and_greet(agent);
  agent.hang_up();
  EXPECT_EQ(next().kind, Kind::unreachable);
  connect_and_greet(agent);
  links_->assign("b-1", order());
  EXPECT_TRUE(agent.hear());
}

TEST_F(AgentLinksTest, GarbageEndsTheLineWithItsReason) {
  FakeAgent agent(dir_.file("a"));
  for (const auto& [bytes, reason] : std::vector<std::pair<std::string, std::string>>{
           {agent::frame("{not json"), "make sense"},
           {agent::frame(R"({"type":"dance"})"), "dance"},
           {"\xff\xff\xff\xff", "limit"},
           {agent::frame(R"({"type":"hello","version":99,"job":0,"started_at":0})"), "protocol 99"}}) {
    connect_and_greet(agent);
    agent.raw(bytes);
    auto e = next();
    EXPECT_EQ(e.kind, Kind::unreachable);
    EXPECT_NE(e.text.find(reason), std::string::npos) << e.text;
    EXPECT_FALSE(agent.hear());
  }
}

TEST_F(AgentLinksTest, AfterDisconnectTheLineIsClosedAndMute) {
  FakeAgent agent(dir_.file("a"));
  connect_and_greet(agent);
  links_->disconnect("b-1");
  EXPECT_FALSE(agent.hear());
  connect_and_greet(agent);  // had the first line spoken of its end, this would see it
}

TEST_F(AgentLinksTest, ReachesASocketWhosePathIsTooLong) {
  auto deep = dir_.file(std::string(120, 'd'));
  std::filesystem::create_directory(deep);
  std::filesystem::create_symlink(deep, dir_.file("short"));
  FakeAgent agent(dir_.file("short/a"));
  links_->connect("b-1", deep + "/a", seconds(20));
  agent.accept();
  agent.say(agent::Hello{});
  EXPECT_EQ(next().kind, Kind::hello);
}

TEST_F(AgentLinksTest, HoldsManyLinesAtOnce) {
  constexpr int many = 1000;
  std::vector<std::unique_ptr<FakeAgent>> agents;
  for (int i = 0; i < many; ++i) {
    auto n = std::to_string(i);
    agents.push_back(std::make_unique<FakeAgent>(dir_.file("m" + n)));
    links_->connect("m-" + n, dir_.file("m" + n), seconds(20));
  }
  for (auto& a : agents) {
    a->accept();
    a->say(agent::Hello{});
  }
  std::set<std::string> greeted;
  for (int i = 0; i < many; ++i) greeted.insert(next().builder);
  EXPECT_EQ(greeted.size(), static_cast<std::size_t>(many));
}

}  // namespace
}  // namespace mayfly::net
