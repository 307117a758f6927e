#include "base/program_pages.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace base {
namespace {

// Where the help begins; a longer flag pushes it to the right.
constexpr size_t kHelpColumn = 31;

std::string Spelled(const FlagPage& flag) {
  return absl::StrCat("--", flag.name, flag.value.empty() ? "" : "=",
                      flag.value);
}

absl::string_view FirstSentence(const FlagPage& flag) {
  const absl::string_view help = flag.help;
  return absl::StripSuffix(help.substr(0, help.find(". ")), ".");
}

// The values that a flag may have, if they are named.
std::vector<std::string> Choices(const FlagPage& flag) {
  if (!absl::StrContains(flag.value, '|')) return {};
  return absl::StrSplit(flag.value, '|');
}

bool TakesFile(const FlagPage& flag) {
  return flag.value == "FILE" || flag.value == "PATH";
}

std::vector<FlagPage> FlagsOfTopics(const ProgramPage& program) {
  std::vector<FlagPage> flags;
  for (const TopicPage& topic : program.topics) {
    flags.insert(flags.end(), topic.flags.begin(), topic.flags.end());
  }
  return flags;
}

// A command's own flags and those of all commands.
std::vector<FlagPage> FlagsOf(const ProgramPage& program,
                              const CommandPage& command) {
  std::vector<FlagPage> flags = command.flags;
  for (const FlagPage& flag : FlagsOfTopics(program)) flags.push_back(flag);
  return flags;
}

std::vector<FlagPage> AllFlags(const ProgramPage& program) {
  std::vector<FlagPage> flags = FlagsOfTopics(program);
  for (const CommandPage& command : program.commands) {
    flags.insert(flags.end(), command.flags.begin(), command.flags.end());
  }
  return flags;
}

// ---- man: roff as in man(7).

std::string Roff(absl::string_view text) {
  std::string out = absl::StrReplaceAll(
      text,
      {{"\\", "\\e"}, {"-", "\\-"}, {"\n.", "\n\\&."}, {"\n'", "\n\\&'"}});
  if (absl::StartsWith(out, ".") || absl::StartsWith(out, "'")) {
    out = absl::StrCat("\\&", out);
  }
  return out;
}

// Paragraphs, and lines that stay as they are.
std::string RoffText(absl::string_view text) {
  std::string out;
  bool as_it_is = false;
  while (absl::ConsumePrefix(&text, "\n")) {
  }
  for (const absl::string_view line :
       absl::StrSplit(absl::StripTrailingAsciiWhitespace(text), '\n')) {
    const bool indented = absl::StartsWith(line, " ");
    if (indented && !as_it_is) absl::StrAppend(&out, ".PP\n.nf\n");
    if (!indented && as_it_is) absl::StrAppend(&out, ".fi\n");
    as_it_is = indented;
    absl::StrAppend(&out, line.empty() ? ".PP" : Roff(line), "\n");
  }
  if (as_it_is) absl::StrAppend(&out, ".fi\n");
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
    absl::StrAppend(&out, "\n", Roff(flag.help),
                    absl::EndsWith(flag.help, ".") ? "" : ".", "\n");
    if (!flag.default_text.empty()) {
      absl::StrAppend(&out, "Default: ", Roff(flag.default_text), ".\n");
    }
  }
  return out;
}

std::string ManPage(const ProgramPage& program) {
  const std::string name = Roff(program.name);
  std::string out =
      absl::StrCat(".TH ", absl::AsciiStrToUpper(name), " 1 \"\" \"zeroshot ",
                   program.version, "\" \"User Commands\"\n.SH NAME\n", name,
                   " \\- ", Roff(program.summary), "\n.SH SYNOPSIS\n.B ", name,
                   "\n", Roff(program.usage), "\n");
  if (!program.commands.empty()) absl::StrAppend(&out, ".SH COMMANDS\n");
  for (const CommandPage& command : program.commands) {
    absl::StrAppend(&out, ".SS ",
                    Roff(absl::StripTrailingAsciiWhitespace(
                        absl::StrCat(command.name, " ", command.arguments))),
                    "\n", Roff(command.summary), ".\n",
                    RoffText(command.details), RoffFlags(command.flags));
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

// ---- Markdown.

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

// ---- Completions.

std::string Quoted(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

// The words to offer after --, as bash has them: "--json --target=".
std::string BashWords(const std::vector<FlagPage>& flags) {
  std::vector<std::string> words;
  for (const FlagPage& flag : flags) {
    words.push_back(
        absl::StrCat("--", flag.name, flag.value.empty() ? "" : "="));
  }
  return absl::StrJoin(words, " ");
}

std::string BashCompletion(const ProgramPage& program) {
  std::string values;
  for (const FlagPage& flag : AllFlags(program)) {
    const std::vector<std::string> choices = Choices(flag);
    const std::string reply =
        !choices.empty()
            ? absl::StrCat("-W '", absl::StrJoin(choices, " "), "'")
        : TakesFile(flag)        ? "-f"
        : flag.value == "FOLDER" ? "-d"
                                 : "";
    if (reply.empty()) continue;
    const std::string line =
        absl::StrCat("    --", flag.name, ") COMPREPLY=($(compgen ", reply,
                     " -- \"$word\")); return ;;\n");
    if (!absl::StrContains(values, line)) absl::StrAppend(&values, line);
  }
  std::string commands;
  for (const CommandPage& command : program.commands) {
    absl::StrAppend(&commands, "      ", command.name, ") flags='",
                    BashWords(FlagsOf(program, command)), "' ;;\n");
  }
  const std::string find_command =
      program.commands.empty()
          ? ""
          : absl::StrCat(
                "  for candidate in \"${COMP_WORDS[@]:1}\"; do\n"
                "    case $candidate in\n",
                commands,
                "      *) continue ;;\n    esac\n"
                "    command=$candidate; break\n  done\n");
  std::vector<std::string> names;
  for (const CommandPage& command : program.commands) {
    names.push_back(command.name);
  }
  const std::string other_words =
      program.commands.empty()
          ? ""
          : absl::StrCat(
                "  [[ $command && $command != \"$word\" ]] || "
                "COMPREPLY=($(compgen -W '",
                absl::StrJoin(names, " "), "' -- \"$word\"))\n");
  // `=` ends a word for bash: --flag=va is three of them.
  return absl::StrCat(
      "# bash completion for ", program.name, ", made by ", program.name,
      " --generate=bash.\n_", program.name,
      "() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} flag= command= candidate\n"
      "  local flags='",
      BashWords(FlagsOfTopics(program)),
      "'\n"
      "  if [[ $word == '=' ]]; then\n"
      "    word=; flag=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  elif ((COMP_CWORD > 1)) && "
      "[[ ${COMP_WORDS[COMP_CWORD-1]} == '=' ]]; then\n"
      "    flag=${COMP_WORDS[COMP_CWORD-2]}\n"
      "  elif [[ $word == --*=* ]]; then\n"
      "    flag=${word%%=*}; word=${word#*=}\n"
      "  fi\n"
      "  COMPREPLY=()\n"
      "  case $flag in\n",
      values, "    -*) return ;;\n  esac\n", find_command,
      "  if [[ $word == -* ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$flags\" -- \"$word\"))\n"
      "    [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace 2>/dev/null\n"
      "    return\n"
      "  fi\n",
      other_words, "}\ncomplete -o default -F _", program.name, " ",
      program.name, "\n");
}

// A specification of zsh's _arguments, "--flag=[help]:value:action".
std::string ZshFlag(const FlagPage& flag) {
  const std::string help = absl::StrReplaceAll(
      FirstSentence(flag), {{"\\", "\\\\"}, {"[", "\\["}, {"]", "\\]"}});
  if (flag.value.empty())
    return Quoted(absl::StrCat("--", flag.name, "[", help, "]"));
  const std::vector<std::string> choices = Choices(flag);
  const std::string action =
      !choices.empty()  ? absl::StrCat("(", absl::StrJoin(choices, " "), ")")
      : TakesFile(flag) ? "_files"
      : flag.value == "FOLDER" ? "_files -/"
                               : " ";
  return Quoted(absl::StrCat(
      "*--", flag.name, "=[", help,
      "]:", absl::StrReplaceAll(flag.value, {{":", "\\:"}}), ":", action));
}

std::string ZshCompletion(const ProgramPage& program) {
  std::string out = absl::StrCat("#compdef ", program.name, "\n# Made by ",
                                 program.name, " --generate=zsh.\n");
  const auto arguments = [](const std::vector<FlagPage>& flags) {
    std::string lines = "_arguments";
    for (const FlagPage& flag : flags) {
      absl::StrAppend(&lines, " \\\n    ", ZshFlag(flag));
    }
    return lines;
  };
  if (program.commands.empty()) {
    return absl::StrCat(out, arguments(FlagsOfTopics(program)), "\n");
  }
  absl::StrAppend(&out, "local command=\nlocal -a commands=(\n");
  std::vector<std::string> names;
  for (const CommandPage& command : program.commands) {
    names.push_back(command.name);
    absl::StrAppend(&out, "  ",
                    Quoted(absl::StrCat(command.name, ":", command.summary)),
                    "\n");
  }
  absl::StrAppend(&out,
                  ")\nlocal word\nfor word in ${words[2,CURRENT-1]}; do\n"
                  "  case $word in\n    ",
                  absl::StrJoin(names, "|"),
                  ") command=$word; break ;;\n  esac\ndone\n"
                  "case $command in\n");
  for (const CommandPage& command : program.commands) {
    absl::StrAppend(&out, "  ", command.name, ")\n  ",
                    arguments(FlagsOf(program, command)),
                    " \\\n    '*: :_files' ;;\n");
  }
  absl::StrAppend(&out, "  *)\n  ", arguments(FlagsOfTopics(program)),
                  " \\\n    '*: :{_describe command commands}' ;;\nesac\n");
  return out;
}

std::string FishFlag(absl::string_view program, absl::string_view command,
                     const FlagPage& flag) {
  std::string line = absl::StrCat("complete -c ", program, " -l ", flag.name);
  if (!command.empty()) {
    absl::StrAppend(&line, " -n '__fish_seen_subcommand_from ", command, "'");
  }
  const std::vector<std::string> choices = Choices(flag);
  if (!choices.empty()) {
    absl::StrAppend(&line, " -x -a '", absl::StrJoin(choices, " "), "'");
  } else if (TakesFile(flag) || flag.value == "FOLDER") {
    absl::StrAppend(&line, " -r -F");
  } else if (!flag.value.empty()) {
    absl::StrAppend(&line, " -x");
  }
  // In single quotes fish has two escapes: \\ and \'.
  return absl::StrCat(
      line, " -d '",
      absl::StrReplaceAll(FirstSentence(flag), {{"\\", "\\\\"}, {"'", "\\'"}}),
      "'\n");
}

std::string FishCompletion(const ProgramPage& program) {
  std::string out =
      absl::StrCat("# fish completion for ", program.name, ", made by ",
                   program.name, " --generate=fish.\n");
  for (const FlagPage& flag : FlagsOfTopics(program)) {
    absl::StrAppend(&out, FishFlag(program.name, "", flag));
  }
  for (const CommandPage& command : program.commands) {
    absl::StrAppend(
        &out, "complete -c ", program.name, " -n __fish_use_subcommand -a ",
        command.name, " -d '",
        absl::StrReplaceAll(command.summary, {{"\\", "\\\\"}, {"'", "\\'"}}),
        "'\n");
    for (const FlagPage& flag : command.flags) {
      absl::StrAppend(&out, FishFlag(program.name, command.name, flag));
    }
  }
  return out;
}

}  // namespace

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
