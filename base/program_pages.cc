#include "base/program_pages.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "base/page_writers.h"

namespace base {
namespace {

// Where the help begins; a longer flag pushes it to the right.
constexpr size_t kHelpColumn = 31;

std::string Spelled(const FlagPage& flag) {
  return absl::StrCat("--", flag.name, flag.value.empty() ? "" : "=",
                      flag.value);
}

std::string InCell(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"|", "\\|"}});
}

std::string MarkdownPage(const ProgramPage& program) {
  std::string out =
      absl::StrCat("# Flags of ", program.name, "\n\n<!-- Made by ",
                   program.name, " --generate=markdown. -->\n\n    ",
                   program.name, " ", program.usage, "\n");
  for (const TopicPage& topic : program.topics) {
    absl::StrAppend(&out, "\n## ", topic.title,
                    "\n\n| flag | default | meaning |\n|---|---|---|\n");
    for (const FlagPage& flag : topic.flags) {
      absl::StrAppend(&out, "| `", InCell(Spelled(flag)), "` | ",
                      flag.default_text.empty()
                          ? ""
                          : absl::StrCat("`", flag.default_text, "` "),
                      "| ", InCell(flag.help), " |\n");
    }
  }
  for (const auto& [title, text] : program.sections) {
    absl::StrAppend(&out, "\n## ", title, "\n\n", text, "\n");
  }
  return out;
}

}  // namespace

absl::string_view FirstSentence(const FlagPage& flag) {
  const absl::string_view help = flag.help;
  return absl::StripSuffix(help.substr(0, help.find(". ")), ".");
}

std::string FlagTable(const std::vector<TopicPage>& topics) {
  std::string table;
  for (const TopicPage& topic : topics) {
    absl::StrAppend(&table, table.empty() ? "" : "\n", topic.title, ":\n");
    for (const FlagPage& flag : topic.flags) {
      std::string line = absl::StrCat("  ", Spelled(flag));
      line.append(std::max(line.size() + 2, kHelpColumn) - line.size(), ' ');
      absl::StrAppend(&table, line, FirstSentence(flag));
      if (!flag.default_text.empty()) {
        absl::StrAppend(&table, " [", flag.default_text, "]");
      }
      absl::StrAppend(&table, "\n");
    }
  }
  return table;
}

std::optional<std::string> GeneratePage(const ProgramPage& program,
                                        absl::string_view kind) {
  if (kind == "man") return ManPage(program);
  if (kind == "markdown") return MarkdownPage(program);
  if (kind == "bash") return BashCompletion(program);
  if (kind == "zsh") return ZshCompletion(program);
  if (kind == "fish") return FishCompletion(program);
  return std::nullopt;
}

}  // namespace base
