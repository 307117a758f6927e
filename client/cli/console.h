// What the commands talk to: streams, and what the terminal can show.
//
// Thread rule: use from one thread.
#ifndef ZEROSHOT_CLIENT_CLI_CONSOLE_H_
#define ZEROSHOT_CLIENT_CLI_CONSOLE_H_

#include <cstdint>
#include <iosfwd>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace zeroshot::client {

struct Console {
  std::istream* in = nullptr;
  std::ostream* out = nullptr;   // answers
  std::ostream* err = nullptr;   // messages and progress
  bool out_is_terminal = false;  // then bars are drawn
  bool err_is_terminal = false;  // then progress is drawn
  bool colour = false;           // on the streams that are terminals
  int width = 80;                // columns of the terminal
};

// stdin, stdout and stderr. A terminal that cannot move its cursor
// (TERM=dumb) counts as none; NO_COLOR (https://no-color.org) is honoured.
Console StandardConsole();

// Text of others (file names, class names, messages) made safe to show:
// control characters, which could steer the terminal, and bytes that are not
// UTF-8 become U+FFFD.
std::string Printable(absl::string_view text);

// Columns that `text` takes on a terminal. REQUIRES: Printable.
int ColumnsOf(absl::string_view text);

// Padded with spaces to `columns`.
std::string PadRight(absl::string_view text, int columns);
std::string PadLeft(absl::string_view text, int columns);

// `columns` wide, filled to `fraction` (0 to 1) in eighths of a character.
std::string Bar(double fraction, int columns);

std::string Bold(absl::string_view text, bool colour);
std::string Dim(absl::string_view text, bool colour);
std::string Green(absl::string_view text, bool colour);

std::string Percent(double fraction);                // "93.1 %"
std::string WithCommas(int64_t number);              // "1,204"
std::string HumanBytes(int64_t bytes);               // "41.0 kB"
std::string HumanDuration(absl::Duration duration);  // "0.83 s", "3 min 20 s"

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_CONSOLE_H_
