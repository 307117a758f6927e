#include "client/cli/console.h"

#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/utf8.h"

namespace zeroshot::client {
namespace {

bool IsTerminal(int fd) {
  const char* term = std::getenv("TERM");
  return isatty(fd) && term != nullptr && absl::string_view(term) != "dumb";
}

std::string Escaped(absl::string_view code, absl::string_view text,
                    bool colour) {
  if (!colour) return std::string(text);
  return absl::StrCat("\033[", code, "m", text, "\033[0m");
}

}  // namespace

Console StandardConsole() {
  Console console{.in = &std::cin, .out = &std::cout, .err = &std::cerr};
  console.out_is_terminal = IsTerminal(STDOUT_FILENO);
  console.err_is_terminal = IsTerminal(STDERR_FILENO);
  const char* no_colour = std::getenv("NO_COLOR");
  console.colour = no_colour == nullptr || *no_colour == '\0';
  winsize size{};
  const int fd = console.out_is_terminal ? STDOUT_FILENO : STDERR_FILENO;
  if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    console.width = size.ws_col;
  }
  return console;
}

std::string Printable(absl::string_view text) {
  std::string result;
  while (!text.empty()) {
    const Utf8Character c = FirstCharacter(text);
    const bool control =
        c.code_point < 0x20 || (c.code_point >= 0x7f && c.code_point < 0xa0);
    // U+202A..U+202E and U+2066..U+2069 turn the writing direction of what
    // follows.
    const bool turns = (c.code_point >= 0x202a && c.code_point <= 0x202e) ||
                       (c.code_point >= 0x2066 && c.code_point <= 0x2069);
    if (!c.valid || control || turns) {
      result += kReplacementCharacter;
    } else {
      result.append(text.data(), c.length);
    }
    text.remove_prefix(c.length);
  }
  return result;
}

int ColumnsOf(absl::string_view text) {
  int columns = 0;
  while (!text.empty()) {
    const Utf8Character c = FirstCharacter(text);
    // Negative for what this C library does not know.
    const int width = wcwidth(static_cast<wchar_t>(c.code_point));
    columns += width < 0 ? 1 : width;
    text.remove_prefix(c.length);
  }
  return columns;
}

std::string PadRight(absl::string_view text, int columns) {
  return absl::StrCat(text,
                      std::string(std::max(0, columns - ColumnsOf(text)), ' '));
}

std::string PadLeft(absl::string_view text, int columns) {
  return absl::StrCat(std::string(std::max(0, columns - ColumnsOf(text)), ' '),
                      text);
}

std::string Bar(double fraction, int columns) {
  static constexpr const char* kEighths[] = {"",  "▏", "▎", "▍",
                                             "▌", "▋", "▊", "▉"};
  const double filled =
      std::isfinite(fraction) ? std::clamp(fraction, 0.0, 1.0) * columns : 0.0;
  const int eighths = static_cast<int>(std::lround(filled * 8));
  std::string bar;
  for (int i = 0; i < eighths / 8; ++i) bar += "█";
  bar += kEighths[eighths % 8];
  return PadRight(bar, columns);
}

std::string Bold(absl::string_view text, bool colour) {
  return Escaped("1", text, colour);
}

std::string Dim(absl::string_view text, bool colour) {
  return Escaped("2", text, colour);
}

std::string Green(absl::string_view text, bool colour) {
  return Escaped("32", text, colour);
}

std::string Percent(double fraction) {
  return absl::StrFormat("%.1f %%", fraction * 100);
}

std::string WithCommas(int64_t number) {
  std::string digits = absl::StrCat(number);
  const int first = number < 0 ? 1 : 0;
  for (int i = static_cast<int>(digits.size()) - 3; i > first; i -= 3) {
    digits.insert(i, ",");
  }
  return digits;
}

std::string HumanBytes(int64_t bytes) {
  if (bytes < 1000) return absl::StrCat(bytes, " B");
  double value = bytes;
  const char* unit = "";
  for (const char* larger : {"kB", "MB", "GB", "TB"}) {
    if (value < 999.95) break;
    value /= 1000;
    unit = larger;
  }
  return absl::StrFormat("%.1f %s", value, unit);
}

std::string HumanDuration(absl::Duration duration) {
  const double seconds = absl::ToDoubleSeconds(duration);
  if (seconds < 0.01) return absl::StrFormat("%.1f ms", seconds * 1000);
  if (seconds < 10) return absl::StrFormat("%.2f s", seconds);
  if (seconds < 120) return absl::StrFormat("%.0f s", seconds);
  const int64_t whole = std::llround(seconds);
  return absl::StrFormat("%d min %d s", whole / 60, whole % 60);
}

}  // namespace zeroshot::client
