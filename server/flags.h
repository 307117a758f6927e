// The flags of the server: each is declared once, with the variable it sets,
// and its value is then looked for on the command line, in the file that
// --flagfile names, in the environment; the first that has it wins. If none
// has, the variable keeps what it held, which is the default that --help shows.
//
// Our own rather than absl's flags: those know no environment, no units and no
// topics, end the program with status 1 in the middle of parsing, and differ
// from release to release.
#ifndef ZEROSHOT_SERVER_FLAGS_H_
#define ZEROSHOT_SERVER_FLAGS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/program_pages.h"

namespace zeroshot::server {

// Variables by name, as of a process.
using Environment = std::map<std::string, std::string>;
Environment ProcessEnvironment();

// Thread rule: use from one thread.
class Flags {
 public:
  // The flags that follow are listed below this title.
  void Topic(absl::string_view title);

  // One flag each. `out` holds the default and is set by Parse; it outlives
  // this object. `help` is as in base::FlagPage. `low` to `high` is allowed.
  void Text(absl::string_view name, absl::string_view value, std::string* out,
            absl::string_view help);
  // As Text, but no message ever repeats the value.
  void Secret(absl::string_view name, absl::string_view value, std::string* out,
              absl::string_view help);
  void Switch(absl::string_view name, bool* out, absl::string_view help);
  void Integer(absl::string_view name, int64_t low, int64_t high, int* out,
               absl::string_view help);
  void Integer(absl::string_view name, int64_t low, int64_t high, int64_t* out,
               absl::string_view help);
  // A number from 0 to 1.
  void Fraction(absl::string_view name, double* out, absl::string_view help);
  // Bytes, as base::ParseBytes reads them.
  void Size(absl::string_view name, int64_t low, int64_t high, int64_t* out,
            absl::string_view help);
  // A time, as base::ParseTime reads it.
  void Time(absl::string_view name, absl::Duration low, absl::Duration high,
            absl::Duration* out, absl::string_view help);
  // One of some words; the variable is the word or the word's place among
  // them, for enumerations that count from 0.
  void Choice(absl::string_view name, const std::vector<std::string>& words,
              std::string* out, absl::string_view help);
  template <typename Enum>
  void Choice(absl::string_view name, const std::vector<std::string>& words,
              Enum* out, absl::string_view help) {
    Choice(
        name, words, static_cast<int>(*out),
        [out](int place) { *out = static_cast<Enum>(place); }, help);
  }

  // The flag declared last asks for something once: it is taken from the
  // command line alone, so that ZEROSHOT_VERSION may mean what it likes.
  void OnCommandLineOnly() { flags_.back().on_command_line_only = true; }

  // Sets the variables. `arguments`: without the program's name; forms are
  // --flag=value, --flag value, --switch, --noswitch.
  //
  // InvalidArgument: the first thing that is wrong; the message says where it
  // stands (flag, file and line, or variable), what it is and what is allowed.
  // NotFound: the flagfile cannot be read.
  absl::Status Parse(const std::vector<std::string>& arguments,
                     const Environment& environment);

  // Variables of the environment that no flag reads though they nearly have
  // the name of one: a line each.
  std::vector<std::string> Suspects(const Environment& environment) const;

  // Whether Parse found a value for the flag.
  bool IsSet(absl::string_view name) const;

  // InvalidArgument: where the flag was set, its value, and `what`.
  absl::Status Wrong(absl::string_view name, absl::string_view what) const;
  // InvalidArgument: the value is not allowed, it must be `allowed`. For rules
  // over several flags.
  absl::Status NotAllowed(absl::string_view name,
                          absl::string_view allowed) const;

  // For --help and the man page.
  std::vector<base::TopicPage> Pages() const;

 private:
  struct Flag {
    size_t topic;
    base::FlagPage page;
    std::function<bool(const std::string& text)> set;  // false: not allowed
    std::string allowed;                               // after "it must be"
    bool is_switch = false, is_secret = false, on_command_line_only = false;
    // The value given, and where: "--threads", "server.flags:3: --threads" or
    // "ZEROSHOT_THREADS". No place: none was given.
    std::string value, place;
  };
  // A flag as it stands on the command line or in a file.
  struct Given {
    std::string name;   // without dashes
    std::string value;  // if has_value
    bool has_value = false;
  };

  Flag& Add(absl::string_view name, absl::string_view value,
            absl::string_view help, std::string default_text,
            absl::string_view allowed,
            std::function<bool(const std::string&)> set);
  void Choice(absl::string_view name, const std::vector<std::string>& words,
              int otherwise, std::function<void(int)> set,
              absl::string_view help);
  const Flag* Find(absl::string_view name) const;
  std::vector<std::string> Names() const;
  absl::Status Split(const std::vector<std::string>& arguments,
                     std::vector<Given>* out) const;
  // Keeps the value; `where`: "" or "FILE:LINE: ".
  absl::Status Take(const Given& given, absl::string_view where);
  absl::Status ReadFile(const std::string& file);

  std::vector<std::string> topics_;
  std::vector<Flag> flags_;
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_FLAGS_H_
