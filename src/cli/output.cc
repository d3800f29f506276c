#include "cli/output.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace mayfly {

bool Output::write(int fd, std::string_view text) {
  while (!text.empty()) {
    ssize_t n = ::write(fd, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      pollfd p{fd, POLLOUT, 0};  // somebody gave us a non-blocking stream; a log must not lose bytes for that
      ::poll(&p, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

void Output::clear_progress() {
  if (progress_shown_ && err_open_) err_open_ = write(err_fd_, "\r\033[K");
  progress_shown_ = false;
}

bool Output::out(std::string_view text) {
  clear_progress();
  return out_open_ = out_open_ && write(out_fd_, text);
}

bool Output::err(std::string_view text) {
  if (text.empty()) return err_open_;
  clear_progress();
  err_at_line_start_ = text.back() == '\n';
  return err_open_ = err_open_ && write(err_fd_, text);
}

void Output::remark(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  err(fmt::format("{}{}{}\n", err_at_line_start_ ? "" : "\n",
                  err_colour_ ? "\033[2mmayfly:\033[0m " : "mayfly: ", text));
}

void Output::progress(std::string_view text) {
  if (!err_terminal_) return;
  clear_progress();
  if (text.empty() || !err_at_line_start_) return;
  err_open_ = err_open_ && write(err_fd_, fmt::format("\r{}", shorten(printable(text), 100)));
  progress_shown_ = true;
}

std::string Output::paint(std::string_view text, Colour colour) const {
  const char* code = colour == Colour::good ? "32" : colour == Colour::bad ? "31" : colour == Colour::busy ? "36" : "2";
  if (!out_colour_ || colour == Colour::plain || text.empty()) return std::string(text);
  return fmt::format("\033[{}m{}\033[0m", code, text);
}

std::string Table::text(const Output& output) const {
  std::vector<std::size_t> widths;
  auto measure = [&](const std::vector<std::string>& cells) {
    widths.resize(std::max(widths.size(), cells.size()));
    for (std::size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], display_width(printable(cells[i])));
  };
  measure(heading_);
  for (const auto& row : rows_) measure(row.cells);
  std::string all;
  auto put = [&](const Row& row, bool quiet) {
    std::string line;
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      auto cell = printable(row.cells[i]);
      auto pad = widths[i] - display_width(cell) + 2;
      auto colour = quiet ? Output::Colour::quiet : Output::Colour::plain;
      for (const auto& [column, c] : row.colours)
        if (column == i) colour = c;
      line += output.paint(cell, colour) + std::string(pad, ' ');
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    all += line + '\n';
  };
  put({heading_, {}}, true);
  for (const auto& row : rows_) put(row, false);
  return all;
}

std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    bool c1 =
        c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;  // U+0080…9F: also controls
    if (c1) ++i;
    if (c == '\n' || c == '\t')
      out += ' ';
    else if (c < 0x20 || c == 0x7f || c1)
      out += "\xef\xbf\xbd";
    else
      out += static_cast<char>(c);
  }
  return out;
}

std::size_t display_width(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string shorten(std::string_view text, std::size_t width) {
  if (display_width(text) <= width) return std::string(text);
  std::size_t at = 0, seen = 0;
  while (at < text.size() && seen < width) {
    ++at;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
    if (++seen == width - 1) break;
  }
  return std::string(text.substr(0, at)) + "…";
}

std::string rough_duration(Duration d) {
  auto s = std::chrono::duration_cast<seconds>(d).count();
  if (s < 60) return fmt::format("{} s", std::max<long>(s, 0));
  if (s < 3600) return fmt::format("{} min", s / 60);
  if (s < 2 * 86400) return fmt::format("{} h", s / 3600);
  return fmt::format("{} d", s / 86400);
}

std::string age(Duration since) { return since < seconds(1) ? "just now" : rough_duration(since) + " ago"; }

Output::Colour colour_of(JobState state) {
  switch (state) {
    case JobState::succeeded:
      return Output::Colour::good;
    case JobState::failed:
    case JobState::timed_out:
    case JobState::lost:
      return Output::Colour::bad;
    case JobState::running:
    case JobState::assigned:
      return Output::Colour::busy;
    case JobState::queued:
    case JobState::cancelled:
      return Output::Colour::plain;
  }
  return Output::Colour::plain;
}

}  // namespace mayfly
