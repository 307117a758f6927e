// Completions for bash, zsh and fish.
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/page_writers.h"

namespace base {
namespace {

// The values that a flag may have, if they are named.
std::vector<std::string> Choices(const FlagPage& flag) {
  if (!absl::StrContains(flag.value, '|')) return {};
  return absl::StrSplit(flag.value, '|');
}

bool TakesFile(const FlagPage& flag) {
  return flag.value == "FILE" || flag.value == "PATH";
}

bool TakesFiles(const CommandPage& command) {
  return absl::StrContains(command.arguments, "FILE");
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

std::string Names(const ProgramPage& program, absl::string_view between) {
  return absl::StrJoin(program.commands, between,
                       [](std::string* out, const CommandPage& command) {
                         out->append(command.name);
                       });
}

// ---- bash.

// The words to offer after --: "--json --target=".
std::string BashWords(const std::vector<FlagPage>& flags) {
  std::vector<std::string> words;
  for (const FlagPage& flag : flags) {
    words.push_back(
        absl::StrCat("--", flag.name, flag.value.empty() ? "" : "="));
  }
  return absl::StrJoin(words, " ");
}

// What is offered for flags' values, as the arms of a case.
std::string BashValues(const ProgramPage& program) {
  std::string arms;
  for (const FlagPage& flag : AllFlags(program)) {
    const std::vector<std::string> choices = Choices(flag);
    std::string offer;
    if (!choices.empty()) {
      offer = absl::StrCat("COMPREPLY=($(compgen -W '",
                           absl::StrJoin(choices, " "), "' -- \"$word\"))");
    } else if (TakesFile(flag)) {
      offer = "compopt -o default";
    } else if (flag.value == "FOLDER") {
      offer = "compopt -o dirnames";
    } else {
      continue;
    }
    const std::string arm =
        absl::StrCat("    --", flag.name, ") ", offer, "; return ;;\n");
    if (!absl::StrContains(arms, arm)) absl::StrAppend(&arms, arm);
  }
  return arms;
}

// Sets `command` to the one that was typed, `flags` to its flags and `files` to
// yes if it takes files.
std::string BashCommands(const ProgramPage& program) {
  if (program.commands.empty()) return "";
  std::string arms;
  for (const CommandPage& command : program.commands) {
    absl::StrAppend(&arms, "      ", command.name, ") ",
                    TakesFiles(command) ? "files=yes " : "", "flags='",
                    BashWords(FlagsOf(program, command)), "' ;;\n");
  }
  return absl::StrCat(
      "  for candidate in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
      "    case $candidate in\n",
      arms,
      "      *) continue ;;\n    esac\n"
      "    command=$candidate; break\n  done\n");
}

// ---- zsh.

// A specification of its _arguments, "--flag=[help]:value:action".
std::string ZshFlag(const FlagPage& flag) {
  const std::string help = absl::StrReplaceAll(
      FirstSentence(flag), {{"\\", "\\\\"}, {"[", "\\["}, {"]", "\\]"}});
  std::string text;
  if (flag.value.empty()) {
    text = absl::StrCat("--", flag.name, "[", help, "]");
  } else {
    const std::vector<std::string> choices = Choices(flag);
    const std::string action =
        !choices.empty()  ? absl::StrCat("(", absl::StrJoin(choices, " "), ")")
        : TakesFile(flag) ? "_files"
        : flag.value == "FOLDER" ? "_files -/"
                                 : " ";
    text = absl::StrCat("*--", flag.name, "=[", help,
                        "]:", absl::StrReplaceAll(flag.value, {{":", "\\:"}}),
                        ":", action);
  }
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::string ZshArguments(const std::vector<FlagPage>& flags) {
  std::string lines = "_arguments";
  for (const FlagPage& flag : flags) {
    absl::StrAppend(&lines, " \\\n    ", ZshFlag(flag));
  }
  return lines;
}

// ---- fish.

// In single quotes it has two escapes: \\ and \'.
std::string FishQuoted(absl::string_view text) {
  return absl::StrCat(
      "'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

// `condition` is empty or " -n CONDITION".
std::string FishFlag(const ProgramPage& program, absl::string_view condition,
                     const FlagPage& flag) {
  const std::vector<std::string> choices = Choices(flag);
  const std::string values =
      !choices.empty()
          ? absl::StrCat(" -x -a '", absl::StrJoin(choices, " "), "'")
      : TakesFile(flag)        ? " -r -F"
      : flag.value == "FOLDER" ? " -x -a '(__fish_complete_directories)'"
      : !flag.value.empty()    ? " -x"
                               : "";
  return absl::StrCat("complete -c ", program.name, condition, " -l ",
                      flag.name, values, " -d ",
                      FishQuoted(FirstSentence(flag)), "\n");
}

}  // namespace

std::string BashCompletion(const ProgramPage& program) {
  const std::string commands =
      program.commands.empty()
          ? ""
          : absl::StrCat("  [[ $command ]] || COMPREPLY=($(compgen -W '",
                         Names(program, " "), "' -- \"$word\"))\n");
  // `=` ends a word for bash: --flag=va is three of them. Files are left to
  // bash itself, which knows how to quote them.
  return absl::StrCat(
      "# bash completion for ", program.name, ", made by ", program.name,
      " --generate=bash.\n_", program.name,
      "() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} flag= command= files= candidate\n"
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
      BashValues(program), "    -*) return ;;\n  esac\n", BashCommands(program),
      "  if [[ $word == -* ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$flags\" -- \"$word\"))\n"
      "    [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace\n"
      "    return\n"
      "  fi\n",
      commands, "  [[ ! $files ]] || compopt -o default\n}\ncomplete -F _",
      program.name, " ", program.name, "\n");
}

std::string ZshCompletion(const ProgramPage& program) {
  std::string out = absl::StrCat("#compdef ", program.name, "\n# Made by ",
                                 program.name, " --generate=zsh.\n");
  if (program.commands.empty()) {
    return absl::StrCat(out, ZshArguments(FlagsOfTopics(program)), "\n");
  }
  absl::StrAppend(&out, "local command=\nlocal -a commands=(\n");
  for (const CommandPage& command : program.commands) {
    absl::StrAppend(&out, "  '", command.name, ":",
                    absl::StrReplaceAll(command.summary, {{"'", "'\\''"}}),
                    "'\n");
  }
  absl::StrAppend(&out,
                  ")\nlocal word\nfor word in ${words[2,CURRENT-1]}; do\n"
                  "  case $word in\n    ",
                  Names(program, "|"),
                  ") command=$word; break ;;\n  esac\ndone\n"
                  "case $command in\n");
  for (const CommandPage& command : program.commands) {
    absl::StrAppend(&out, "  ", command.name, ")\n  ",
                    ZshArguments(FlagsOf(program, command)),
                    TakesFiles(command) ? " \\\n    '*: :_files'" : "",
                    " ;;\n");
  }
  absl::StrAppend(&out, "  *)\n  ", ZshArguments(FlagsOfTopics(program)),
                  " \\\n    '*: :{_describe command commands}' ;;\nesac\n");
  return out;
}

std::string FishCompletion(const ProgramPage& program) {
  std::string out = absl::StrCat(
      "# fish completion for ", program.name, ", made by ", program.name,
      " --generate=fish.\ncomplete -c ", program.name, " -f\n");
  for (const FlagPage& flag : FlagsOfTopics(program)) {
    absl::StrAppend(&out, FishFlag(program, "", flag));
  }
  if (program.commands.empty()) return out;
  // Fish's own functions take the value of `--flag value` for a command.
  const std::string in = absl::StrCat("__", program.name, "_in");
  absl::StrAppend(&out, "function ", in,
                  " --description 'Whether this command was typed; none: none "
                  "was'\n  set -l typed\n"
                  "  for word in (commandline -opc)\n"
                  "    if contains -- $word ",
                  Names(program, " "),
                  "\n      set typed $word\n      break\n    end\n  end\n"
                  "  test \"$typed\" = \"$argv\"\nend\n");
  for (const CommandPage& command : program.commands) {
    absl::StrAppend(&out, "complete -c ", program.name, " -n ", in, " -a ",
                    command.name, " -d ", FishQuoted(command.summary), "\n");
    const std::string condition =
        absl::StrCat(" -n '", in, " ", command.name, "'");
    if (TakesFiles(command)) {
      absl::StrAppend(&out, "complete -c ", program.name, condition, " -F\n");
    }
    for (const FlagPage& flag : command.flags) {
      absl::StrAppend(&out, FishFlag(program, condition, flag));
    }
  }
  return out;
}

}  // namespace base
