#include "platforms/fake/fake_files.h"

#include <filesystem>
#include <fstream>

#include "model/log_index.h"

namespace mayfly {
namespace {

bool has_directory(const std::string& path) {
  std::error_code ignored;
  return !path.empty() && std::filesystem::is_directory(std::filesystem::path(path).parent_path(), ignored);
}

}  // namespace

void write_fake_files(const AgentOrder& order, const std::string& output, const agent::Finished& finished) {
  if (has_directory(order.log_path) && has_directory(order.index_path) && !output.empty()) {
    std::ofstream log(order.log_path, std::ios::binary | std::ios::app);
    log << output << std::flush;
    LogRecord record{.end = static_cast<std::uint64_t>(log.tellp()), .at = finished.ended_at, .stream = LogStream::out};
    unsigned char bytes[LogRecord::size];
    encode(record, bytes);
    std::ofstream index(order.index_path, std::ios::binary | std::ios::app);
    index.write(reinterpret_cast<const char*>(bytes), sizeof bytes);
  }
  if (has_directory(order.result_path)) std::ofstream(order.result_path, std::ios::binary) << encode_result(finished);
}

}  // namespace mayfly
