// The agent's protocol as values; tests/fuzz/agent_message and agent_message_fuzz try what nobody thought of.
#include "model/agent_message.h"

#include <gtest/gtest.h>

namespace mayfly::agent {
namespace {

TEST(AgentMessage, WhatIsSentIsWhatArrives) {
  Assign a;
  a.job = 7;
  a.argv = {"make", "t\"est"};
  a.env = {{"A", "b"}};
  a.secrets = {{"TOKEN", "hunter2"}};
  a.user = "builder";
  a.timeout = seconds(60);
  a.log_limit = 1 << 20;
  a.has_input = true;
  a.output = "dist";
  auto assign = decode_to_agent(encode(ToAgent(a)));
  ASSERT_TRUE(assign) << assign.error().text();
  EXPECT_EQ(encode(*assign), encode(ToAgent(a)));

  Finished f;
  f.job = 7;
  f.result = {JobCause::signalled, 0, 9, "killed"};
  f.log_bytes = 8;
  f.log_truncated = true;
  auto hello = decode_from_agent(encode(FromAgent(Hello{1, 7, from_micros(5), f})));
  ASSERT_TRUE(hello) << hello.error().text();
  EXPECT_EQ(std::get<Hello>(*hello).finished->result.signal, 9);
  EXPECT_EQ(encode_result(decode_result(encode_result(f)).value()), encode_result(f));
}

// Ids are unsigned: a negative one became a huge one, which could be said but not read again.
TEST(AgentMessage, AJobsIdIsNeverNegative) {
  EXPECT_FALSE(decode_to_agent(R"({"type":"cancel","job":-1})"));
  EXPECT_FALSE(decode_to_agent(R"({"type":"assign","job":-1,"argv":["true"]})"));
  EXPECT_FALSE(decode_from_agent(R"({"type":"hello","version":1,"job":-1})"));
  EXPECT_FALSE(decode_from_agent(R"({"type":"started","job":-9223372036854775808})"));
  EXPECT_FALSE(decode_from_agent(R"({"type":"refused","job":-1,"why":"taken"})"));
  EXPECT_FALSE(decode_from_agent(R"({"type":"finished","job":-1,"cause":"exited"})"));
  EXPECT_FALSE(decode_result(R"({"job":-1,"cause":"exited"})"));
  EXPECT_FALSE(decode_to_agent(R"({"type":"cancel","job":9223372036854775808})"));
}

TEST(AgentMessage, SaysWhichMemberIsWrong) {
  auto wrong = decode_to_agent(R"({"type":"assign","job":7,"argv":["true"],"env":{"A":1}})");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().text().find("'env'"), std::string::npos) << wrong.error().text();
  EXPECT_FALSE(decode_to_agent(R"({"type":"assign","job":7})")) << "neither argv nor script";
  EXPECT_FALSE(decode_to_agent(R"({"type":"assign","job":7,"argv":["true"],"script":"x"})")) << "both";
  EXPECT_FALSE(decode_to_agent("[]"));
  EXPECT_FALSE(decode_from_agent(R"({"type":"release"})")) << "the other way's";
}

TEST(AgentMessage, AFrameCarriesItsLengthFirst) {
  EXPECT_EQ(frame(std::string(258, 'x')).substr(0, 4), std::string("\x02\x01\0\0", 4));
}

}  // namespace
}  // namespace mayfly::agent
