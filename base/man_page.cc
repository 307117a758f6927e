// roff as in man(7).
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/page_writers.h"

namespace base {
namespace {

// Of a line; roff's linters want no longer ones.
constexpr size_t kColumns = 80;

std::string Roff(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"\\", "\\e"}, {"-", "\\-"}});
}

// A line that begins with one of these would be a request.
std::string RoffLine(absl::string_view line) {
  const bool request =
      absl::StartsWith(line, ".") || absl::StartsWith(line, "'");
  return absl::StrCat(request ? "\\&" : "", line, "\n");
}

// Words on lines that are not too long.
std::string Filled(absl::string_view text) {
  std::string out, line;
  for (const absl::string_view word :
       absl::StrSplit(Roff(text), ' ', absl::SkipEmpty())) {
    if (!line.empty() && line.size() + 1 + word.size() > kColumns - 2) {
      absl::StrAppend(&out, RoffLine(line));
      line.clear();
    }
    absl::StrAppend(&line, line.empty() ? "" : " ", word);
  }
  return line.empty() ? out : absl::StrCat(out, RoffLine(line));
}

// The paragraphs of a section. A line that begins with a blank stays as it is.
std::string RoffText(absl::string_view text) {
  std::string out, paragraph, example;
  const auto finish = [&] {
    if (paragraph.empty() && example.empty()) return;
    if (!out.empty()) absl::StrAppend(&out, ".PP\n");
    absl::StrAppend(&out, Filled(paragraph));
    if (!example.empty()) absl::StrAppend(&out, ".nf\n", example, ".fi\n");
    paragraph.clear();
    example.clear();
  };
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const bool indented = absl::StartsWith(line, " ");
    if (line.empty() || indented == example.empty()) finish();
    if (indented) {
      absl::StrAppend(&example, RoffLine(Roff(line)));
    } else if (!line.empty()) {
      absl::StrAppend(&paragraph, paragraph.empty() ? "" : " ", line);
    }
  }
  finish();
  return out;
}

std::string RoffFlags(const std::vector<FlagPage>& flags) {
  std::string out;
  for (const FlagPage& flag : flags) {
    absl::StrAppend(&out, ".TP\n\\fB", Roff(absl::StrCat("--", flag.name)),
                    "\\fR");
    if (!flag.value.empty()) {
      absl::StrAppend(&out, "=\\fI", Roff(flag.value), "\\fR");
    }
    std::string help =
        absl::StrCat(flag.help, absl::EndsWith(flag.help, ".") ? "" : ".");
    if (!flag.default_text.empty()) {
      absl::StrAppend(&help, " Default: ", flag.default_text, ".");
    }
    absl::StrAppend(&out, "\n", Filled(help));
  }
  return out;
}

}  // namespace

std::string ManPage(const ProgramPage& program) {
  const std::string name = Roff(program.name);
  std::string out = absl::StrCat(
      ".TH ", absl::AsciiStrToUpper(name), " 1 ", ZEROSHOT_VERSION_DATE,
      " \"zeroshot ", program.version, "\" \"User Commands\"\n.SH NAME\n", name,
      " \\- ", Roff(program.summary), "\n.SH SYNOPSIS\n.B ", name, "\n",
      Filled(program.usage));
  if (!program.commands.empty()) absl::StrAppend(&out, ".SH COMMANDS\n");
  for (const CommandPage& command : program.commands) {
    const absl::string_view space = command.arguments.empty() ? "" : " ";
    absl::StrAppend(&out, ".SS ", Roff(command.name), space,
                    Roff(command.arguments), "\n");
    absl::StrAppend(&out, RoffText(command.details), RoffFlags(command.flags));
  }
  absl::StrAppend(&out, ".SH OPTIONS\n");
  for (const TopicPage& topic : program.topics) {
    absl::StrAppend(&out, ".SS ", Roff(topic.title), "\n",
                    RoffFlags(topic.flags));
  }
  for (const auto& [title, text] : program.sections) {
    absl::StrAppend(&out, ".SH ", absl::AsciiStrToUpper(Roff(title)), "\n",
                    RoffText(text));
  }
  return out;
}

}  // namespace base
