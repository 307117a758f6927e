// The description of a program, written once and shown as --help's table, as
// a man page, as a page of the documentation and as completions for shells, so
// that none of them goes stale.
#ifndef ZEROSHOT_BASE_PROGRAM_PAGES_H_
#define ZEROSHOT_BASE_PROGRAM_PAGES_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace base {

struct FlagPage {
  std::string name;   // without the dashes
  std::string value;  // what stands after `=`: "HOST:PORT"; empty: a switch.
                      // "a|b" are the values allowed; FILE, FOLDER and PATH
                      // are completed as such
  // The first sentence, without its full stop, is the line of --help; the man
  // page has all.
  std::string help;
  std::string default_text = "";  // empty: not worth a word
};

struct TopicPage {
  std::string title;
  std::vector<FlagPage> flags;
};

struct CommandPage {
  std::string name;
  std::string arguments;  // "FILE..."
  std::string summary;    // one line
  std::string details;    // as its --help prints them
  std::vector<FlagPage> flags;
};

struct ProgramPage {
  std::string name, version;
  std::string summary;                // after "NAME -": no capital, no stop
  std::string usage;                  // after the program's name
  std::vector<CommandPage> commands;  // may be empty
  std::vector<TopicPage> topics;      // flags of the program or of all commands
  // Further sections of the man page: title and text. A blank line ends a
  // paragraph; lines that begin with a blank stay as they are.
  std::vector<std::pair<std::string, std::string>> sections;
};

// A heading for each topic, below it a line for each flag.
std::string FlagTable(const std::vector<TopicPage>& topics);

// What --generate=KIND prints. Nothing: another kind.
std::optional<std::string> GeneratePage(const ProgramPage& program,
                                        absl::string_view kind);
inline constexpr char kPageKinds[] = "man|markdown|bash|zsh|fish";

}  // namespace base

#endif  // ZEROSHOT_BASE_PROGRAM_PAGES_H_
