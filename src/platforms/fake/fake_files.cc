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

std::shared_ptr<std::ofstream> open_fake_result(const AgentOrder& order) {
  if (!has_directory(order.result_path)) return nullptr;
  return std::make_shared<std::ofstream>(order.result_path, std::ios::binary);
}

void write_fake_files(const AgentOrder& order, const std::string& output, const agent::Finished& finished,
                      std::ofstream* result) {
  if (has_directory(order.log_path) && has_directory(order.index_path) && !output.empty()) {
    std::ofstream log(order.log_path, std::ios::binary | std::ios::app);
    log << output << std::flush;
    LogRecord record{.end = static_cast<std::uint64_t>(log.tellp()), .at = finished.ended_at, .stream = LogStream::out};
    unsigned char bytes[LogRecord::size];
    encode(record, bytes);
    std::ofstream index(order.index_path, std::ios::binary | std::ios::app);
    index.write(reinterpret_cast<const char*>(bytes), sizeof bytes);
  }
  if (result) *result << encode_result(finished) << std::flush;
}

}  // namespace mayfly
