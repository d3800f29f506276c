#pragma once
#include <string>
#include <string_view>

namespace mayfly::agent {

// Fit for a message: at most `most` bytes, valid UTF-8 (anything else would make the result unreadable as JSON: file
// names and first lines of scripts come from the job), control characters as spaces.
std::string plain_text(std::string_view text, std::size_t most);

}  // namespace mayfly::agent
