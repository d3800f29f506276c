#include "agent/mask.h"

#include <algorithm>
#include <cstring>

#include "base/text.h"

namespace mayfly::agent {

std::vector<std::string> mask_patterns(const std::map<std::string, std::string>& secrets) {
  std::vector<std::string> out;
  auto add = [&](std::string_view value) {
    if (value.size() >= min_masked_length) out.emplace_back(value);
  };
  for (const auto& [variable, value] : secrets) {
    add(value);
    if (value.find('\n') == std::string::npos) continue;
    for (const auto& line : split(value, '\n')) {
      add(line);
      if (line.ends_with('\r')) add(std::string_view(line).substr(0, line.size() - 1));
    }
  }
  return out;
}

Masker::Masker(std::vector<std::string> patterns) : patterns_(std::move(patterns)) {
  std::erase_if(patterns_, [](const std::string& p) { return p.empty(); });
  std::sort(patterns_.begin(), patterns_.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() > b.size() : a < b;
  });
  patterns_.erase(std::unique(patterns_.begin(), patterns_.end()), patterns_.end());
  for (std::size_t i = 0; i < patterns_.size(); ++i)
    by_first_[static_cast<unsigned char>(patterns_[i][0])].push_back(i);
}

std::size_t Masker::scan(std::string_view data, bool final, std::string& out) const {
  std::size_t plain = 0;  // start of what is decided to be no secret but not yet appended
  std::size_t i = 0;
  auto flush = [&] { out.append(data.substr(plain, i - plain)); };
  while (i < data.size()) {
    const auto& candidates = by_first_[static_cast<unsigned char>(data[i])];
    std::size_t left = data.size() - i, matched = 0;
    for (std::size_t c : candidates) {
      const auto& p = patterns_[c];
      if (std::memcmp(data.data() + i, p.data(), std::min(left, p.size())) != 0) continue;
      if (p.size() <= left) {
        matched = p.size();
        break;
      }
      if (!final) return flush(), i;  // may yet become this one, which is longer than any that matches already
    }
    if (matched == 0) {
      ++i;
      continue;
    }
    flush();
    out += "***";
    i += matched;
    plain = i;
  }
  flush();
  return i;
}

void Masker::feed(std::string_view data, std::string& out) {
  if (held_.empty()) {
    held_ = data.substr(scan(data, false, out));
    return;
  }
  held_ += data;
  held_.erase(0, scan(held_, false, out));
}

void Masker::finish(std::string& out) {
  scan(held_, true, out);
  held_.clear();
}

std::string mask_all(const std::vector<std::string>& patterns, std::string_view text) {
  Masker masker(patterns);
  std::string out;
  masker.feed(text, out);
  masker.finish(out);
  return out;
}

}  // namespace mayfly::agent
