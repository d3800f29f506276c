#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "model/log_index.h"
#include "platforms/fake/fake_files.h"

namespace mayfly {
namespace {

TEST(FakeFiles, AreThoseThatAnAgentWrites) {
  std::string directory = "/tmp/mayfly-fake-XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  AgentOrder o;
  o.log_path = directory + "/log", o.index_path = directory + "/log.index", o.result_path = directory + "/result";
  agent::Finished finished{
      .job = 1, .result = {.cause = JobCause::exited, .exit_code = 4, .signal = 0, .message = {}}, .log_bytes = 6};
  auto result_file = open_fake_result(o);
  write_fake_files(o, "hello\n", finished, result_file.get());

  auto read = [](const std::string& path) { return (std::stringstream() << std::ifstream(path).rdbuf()).str(); };
  EXPECT_EQ(read(o.log_path), "hello\n");
  auto index = read(o.index_path);
  ASSERT_EQ(index.size(), LogRecord::size);
  EXPECT_EQ(decode_log_record(reinterpret_cast<const unsigned char*>(index.data())).end, 6U);
  auto result = agent::decode_result(read(o.result_path));
  ASSERT_TRUE(result);
  EXPECT_EQ(result->result.exit_code, 4);

  std::filesystem::remove_all(directory);
  EXPECT_FALSE(open_fake_result(o));
  write_fake_files(o, "hello\n", finished, nullptr);  // the directory is gone: no files, no failure
  EXPECT_FALSE(std::filesystem::exists(directory));
}

}  // namespace
}  // namespace mayfly
