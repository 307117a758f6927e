// What commands read: specifications of classifiers, and images.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/cli/command.h"
#include "client/cli/spec_file.h"
#include "client/cli/text_file.h"

namespace zeroshot::client {
namespace {

// InvalidArgument if more than one of `flags` is given.
absl::Status AtMostOne(const Arguments& arguments,
                       std::initializer_list<const char*> flags) {
  std::vector<std::string> given;
  for (const char* flag : flags) {
    if (arguments.Has(flag)) given.push_back(absl::StrCat("--", flag));
  }
  if (given.size() <= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      absl::StrJoin(given, " and "), " are given; only one is allowed"));
}

// InvalidArgument that names flag and file.
absl::Status WrongFile(const Arguments& arguments, const char* flag,
                       absl::string_view message) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", arguments.Text(flag), ": ", message));
}

// A text file as UTF-8.
absl::StatusOr<std::string> ReadText(const Arguments& arguments,
                                     const char* flag) {
  const std::string path = arguments.Text(flag);
  std::ifstream no_stdin;
  absl::StatusOr<std::string> text =
      path == "-" ? absl::InvalidArgumentError("a file is needed, not stdin")
                  : ReadInput(path, no_stdin);
  if (text.ok()) text = TextOfFile(*text);
  if (!text.ok()) return WrongFile(arguments, flag, text.status().message());
  return text;
}

// The lines of a text file without surrounding blanks; empty ones are left
// out. Lines end with LF, CR LF or CR.
absl::StatusOr<std::vector<std::string>> ReadLines(const Arguments& arguments,
                                                   const char* flag) {
  const absl::StatusOr<std::string> text = ReadText(arguments, flag);
  if (!text.ok()) return text.status();
  std::vector<std::string> lines;
  for (absl::string_view line :
       absl::StrSplit(*text, absl::ByAnyChar("\r\n"))) {
    line = absl::StripAsciiWhitespace(line);
    if (!line.empty()) lines.emplace_back(line);
  }
  if (lines.empty()) {
    return WrongFile(arguments, flag, "it holds nothing");
  }
  return lines;
}

// The names of --FLAG=NAME,NAME,...; none if it is not given.
absl::StatusOr<std::vector<std::string>> SplitNames(const Arguments& arguments,
                                                    const char* flag) {
  std::vector<std::string> names;
  if (!arguments.Has(flag)) return names;
  for (absl::string_view name : absl::StrSplit(arguments.Text(flag), ',')) {
    name = absl::StripAsciiWhitespace(name);
    if (name.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", flag, "=", arguments.Text(flag),
                       " holds an empty name; it should be name,name,..."));
    }
    names.emplace_back(name);
  }
  return names;
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

// The file of --prompts_file or --spec.
absl::StatusOr<ClassifierSpec> ReadSpecFile(const Arguments& arguments,
                                            const char* flag) {
  const absl::StatusOr<std::string> text = ReadText(arguments, flag);
  if (!text.ok()) return text.status();
  absl::StatusOr<ClassifierSpec> spec =
      absl::string_view(flag) == "spec"
          ? ParseSpec(*text, FolderOf(arguments.Text(flag)))
          : ParsePrompts(*text);
  if (!spec.ok()) return WrongFile(arguments, flag, spec.status().message());
  return spec;
}

// --temperature and --background, in place of what the spec has.
absl::Status ReadDecisions(const Arguments& arguments, ClassifierSpec* spec) {
  const auto temperature =
      arguments.Number("temperature", 0, std::numeric_limits<float>::max());
  if (!temperature.ok()) return temperature.status();
  if (temperature->has_value()) {
    if (**temperature == 0) {
      return absl::InvalidArgumentError(
          "--temperature=0; it should be a number over 0");
    }
    spec->temperature = *temperature;
  }
  absl::StatusOr<std::vector<std::string>> background =
      SplitNames(arguments, "background");
  if (!background.ok()) return background.status();
  if (!background->empty()) spec->background = *std::move(background);
  return absl::OkStatus();
}

absl::Status SystemError(int error) {
  const std::string message = std::generic_category().message(error);
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(message);
    case ELOOP:
    case ENAMETOOLONG:
    case EISDIR:
      return absl::InvalidArgumentError(message);
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::UnknownError(message);
  }
}

// At most so many, so that a wrong file does not fill memory.
absl::StatusOr<std::string> ReadAll(std::istream& in, int64_t max_bytes) {
  std::string bytes;
  std::vector<char> block(1 << 16);
  while (in) {
    in.read(block.data(), block.size());
    bytes.append(block.data(), in.gcount());
    if (static_cast<int64_t>(bytes.size()) > max_bytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          "larger than the ", max_bytes, " bytes that a call holds"));
    }
  }
  if (in.bad()) return absl::UnknownError("reading failed");
  return bytes;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ReadClassNames(
    const Arguments& arguments) {
  absl::Status exclusive = AtMostOne(arguments, {"classes", "classes_file"});
  if (!exclusive.ok()) return exclusive;
  if (arguments.Has("classes_file")) {
    return ReadLines(arguments, "classes_file");
  }
  return SplitNames(arguments, "classes");
}

std::vector<FlagDefinition> SpecFlags() {
  return {
      {"classes", "NAME,NAME,...", "class names"},
      {"classes_file", "FILE", "class names, one per line"},
      {"class_set", "NAME", "a class list that the server knows"},
      {"prompts_file", "FILE",
       "classes with prompts of their own, in JSON: {\"class\": [\"prompt\", "
       "...], ...}"},
      {"templates", "TEXT", "a template with {} for the name; repeat for more",
       /*repeated=*/true},
      {"templates_file", "FILE", "templates, one per line"},
      {"template_set", "NAME",
       "a template list that the server knows (default: simple)"},
      {"spec", "FILE",
       "all of it in JSON: {\"classes\": [{\"name\": ...}, ...], ...}, or "
       "{\"class\": [\"prompt\", ...], ...}"},
      {"background", "NAME,NAME,...",
       "names of what is none of the classes; answers say how likely that is"},
      {"temperature", "T",
       "divides logits: over 1 spreads probabilities (default: 1)"},
  };
}

bool HasSpec(const Arguments& arguments) {
  for (const FlagDefinition& flag : SpecFlags()) {
    if (arguments.Has(flag.name)) return true;
  }
  return false;
}

namespace {

// What the flags say, but for --temperature and --background.
absl::StatusOr<ClassifierSpec> ReadClasses(const Arguments& arguments,
                                           const std::string& folder) {
  absl::Status exclusive = AtMostOne(
      arguments,
      {"classes", "classes_file", "class_set", "prompts_file", "spec"});
  for (const char* flag :
       {"classes", "classes_file", "class_set", "prompts_file", "spec"}) {
    if (folder.empty() || !arguments.Has(flag)) continue;
    exclusive.Update(absl::InvalidArgumentError(
        absl::StrCat("--", flag, " and the folder ", Printable(folder),
                     " are given; only one names the classes")));
  }
  // Neither takes templates: it has them, or complete prompts.
  exclusive.Update(AtMostOne(
      arguments,
      {"templates", "templates_file", "template_set", "prompts_file", "spec"}));
  if (!exclusive.ok()) return exclusive;
  for (const char* flag : {"prompts_file", "spec"}) {
    if (arguments.Has(flag)) return ReadSpecFile(arguments, flag);
  }

  absl::StatusOr<std::vector<std::string>> names = ReadClassNames(arguments);
  if (!names.ok()) return names.status();
  ClassifierSpec spec;
  if (!folder.empty()) {
    absl::StatusOr<std::vector<ClassDefinition>> classes =
        ReadClassFolders(folder);
    if (!classes.ok()) return classes.status();
    spec.classes = *std::move(classes);
  }
  for (std::string& name : *names) {
    spec.classes.push_back({.name = std::move(name)});
  }
  spec.class_set = arguments.Text("class_set");
  if (spec.classes.empty() && spec.class_set.empty()) {
    return absl::InvalidArgumentError(
        "no classes; say --classes=NAME,NAME,..., --classes_file=FILE, "
        "--class_set=NAME, --prompts_file=FILE or --spec=FILE");
  }
  spec.templates = arguments.Texts("templates");
  if (arguments.Has("templates_file")) {
    absl::StatusOr<std::vector<std::string>> templates =
        ReadLines(arguments, "templates_file");
    if (!templates.ok()) return templates.status();
    spec.templates = *std::move(templates);
  }
  spec.template_set = arguments.Text("template_set");
  return spec;
}

}  // namespace

absl::StatusOr<ClassifierSpec> ReadSpec(const Arguments& arguments,
                                        const std::string& folder) {
  absl::StatusOr<ClassifierSpec> spec = ReadClasses(arguments, folder);
  if (!spec.ok()) return spec;
  absl::Status decisions = ReadDecisions(arguments, &*spec);
  if (!decisions.ok()) return decisions;
  return spec;
}

absl::StatusOr<std::string> ReadInput(const std::string& path, std::istream& in,
                                      int64_t max_bytes) {
  if (path == "-") return ReadAll(in, max_bytes);
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return SystemError(errno);
  if (S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError("a folder, not a file");
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return SystemError(errno);
  return ReadAll(file, max_bytes);
}

std::vector<std::string> Labels(const std::vector<std::string>& paths) {
  bool one_folder = true;
  for (const std::string& path : paths) {
    one_folder = one_folder && FolderOf(path) == FolderOf(paths.front());
  }
  std::vector<std::string> labels;
  for (const std::string& path : paths) {
    const size_t skip = one_folder ? FolderOf(path).size() : 0;
    labels.push_back(path == "-" ? "stdin" : Printable(path.substr(skip)));
  }
  return labels;
}

}  // namespace zeroshot::client
