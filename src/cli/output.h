#pragma once
// What a command prints: to whom, in which colour, in which columns.
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "model/job.h"

namespace mayfly {

class Output {
 public:
  Output(int out_fd, int err_fd, bool out_colour, bool err_terminal, bool err_colour)
      : out_fd_(out_fd),
        err_fd_(err_fd),
        out_colour_(out_colour),
        err_colour_(err_colour),
        err_terminal_(err_terminal) {}

  // All of it, whatever it takes; false once nobody reads it any more.
  bool out(std::string_view text);
  bool err(std::string_view text);
  // "mayfly: text" on stderr, on a line of its own.
  void remark(std::string_view text);
  // A line on a terminal's stderr that the next call, or any other output, replaces; empty: removes it.
  void progress(std::string_view text);
  bool shows_progress() const { return err_terminal_; }

  enum class Colour { plain, good, bad, busy, quiet };
  std::string paint(std::string_view text, Colour colour) const;

 private:
  bool write(int fd, std::string_view text);
  void clear_progress();

  int out_fd_, err_fd_;
  bool out_colour_, err_colour_, err_terminal_;
  bool out_open_ = true, err_open_ = true;
  bool progress_shown_ = false;
  bool err_at_line_start_ = true;
};

// Columns two spaces apart, the last as long as it is. Rows are cells of text, of which control characters are
// replaced: what a job is called must not be able to steer somebody's terminal.
class Table {
 public:
  explicit Table(std::vector<std::string> heading) : heading_(std::move(heading)) {}
  void add(std::vector<std::string> row) { rows_.push_back({std::move(row), {}}); }
  // With a colour for one of its cells.
  void add(std::vector<std::string> row, std::size_t coloured, Output::Colour colour) {
    rows_.push_back({std::move(row), {{coloured, colour}}});
  }
  std::string text(const Output& output) const;

 private:
  struct Row {
    std::vector<std::string> cells;
    std::vector<std::pair<std::size_t, Output::Colour>> colours;
  };
  std::vector<std::string> heading_;
  std::vector<Row> rows_;
};

std::string printable(std::string_view text);
std::size_t display_width(std::string_view text);
std::string shorten(std::string_view text, std::size_t width);  // with "…" where something is left out
std::string age(Duration since);                                // "12 s ago", "4 min ago", "just now"
std::string rough_duration(Duration d);                         // "12 s", "4 min", "3 h", "2 d"
Output::Colour colour_of(JobState state);

}  // namespace mayfly
