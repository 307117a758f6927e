// What commands read: specifications of classifiers, and pictures.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/cli/command.h"
#include "client/cli/prompts_file.h"
#include "client/utf8.h"

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

// InvalidArgument if the bytes are no UTF-8, with the line: spreadsheets and
// editors on Windows save Latin-1 and UTF-16.
absl::Status CheckUtf8(absl::string_view text) {
  const bool utf16 = absl::StartsWith(text, "\xff\xfe") ||
                     absl::StartsWith(text, "\xfe\xff") ||
                     absl::StrContains(text, absl::string_view("\0", 1));
  if (utf16) {
    return absl::InvalidArgumentError(
        "looks like UTF-16, and UTF-8 is needed; save it as UTF-8, or: iconv "
        "-f "
        "UTF-16 -t UTF-8");
  }
  const int64_t at = FirstInvalidByte(text);
  if (at < 0) return absl::OkStatus();
  const absl::string_view before = text.substr(0, at);
  const size_t begin = before.rfind('\n') + 1;
  const absl::string_view line =
      text.substr(begin, text.find('\n', begin) - begin);
  return absl::InvalidArgumentError(
      absl::StrCat("line ", std::count(before.begin(), before.end(), '\n') + 1,
                   ", '", line.substr(0, 40), "', is not UTF-8: byte ",
                   at - begin + 1, " of it is 0x",
                   absl::Hex(static_cast<uint8_t>(text[at]), absl::kZeroPad2),
                   "; save the file as UTF-8, or, if it is Latin-1: iconv -f "
                   "LATIN1 -t UTF-8"));
}

// InvalidArgument that names flag and file.
absl::Status WrongFile(const Arguments& arguments, const char* flag,
                       absl::string_view message) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", arguments.Text(flag), ": ", message));
}

// A file of UTF-8 without its byte order mark.
absl::StatusOr<std::string> ReadText(const Arguments& arguments,
                                     const char* flag) {
  const std::string path = arguments.Text(flag);
  std::ifstream no_stdin;
  absl::StatusOr<std::string> text =
      path == "-" ? absl::InvalidArgumentError("a file is needed, not stdin")
                  : ReadInput(path, no_stdin);
  const absl::Status status = text.ok() ? CheckUtf8(*text) : text.status();
  if (!status.ok()) return WrongFile(arguments, flag, status.message());
  return std::string(absl::StripPrefix(*text, "\xef\xbb\xbf"));
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

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ReadClassNames(
    const Arguments& arguments) {
  absl::Status exclusive = AtMostOne(arguments, {"classes", "classes_file"});
  if (!exclusive.ok()) return exclusive;
  if (arguments.Has("classes_file")) {
    return ReadLines(arguments, "classes_file");
  }
  std::vector<std::string> names;
  if (!arguments.Has("classes")) return names;
  for (absl::string_view name :
       absl::StrSplit(arguments.Text("classes"), ',')) {
    name = absl::StripAsciiWhitespace(name);
    if (name.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--classes=", arguments.Text("classes"),
                       " holds an empty name; it should be name,name,..."));
    }
    names.emplace_back(name);
  }
  return names;
}

std::vector<FlagDefinition> SpecFlags() {
  return {
      {"classes", "NAME,NAME,...", "class names"},
      {"classes_file", "FILE", "class names, one a line"},
      {"class_set", "NAME", "a class list that the server knows"},
      {"prompts_file", "FILE",
       "classes with prompts of their own, in JSON: {\"class\": [\"prompt\", "
       "...], ...}"},
      {"templates", "TEXT", "a template with {} for the name; repeat for more",
       /*repeated=*/true},
      {"templates_file", "FILE", "templates, one a line"},
      {"template_set", "NAME",
       "a template list that the server knows (default: simple)"},
  };
}

bool HasSpec(const Arguments& arguments) {
  for (const FlagDefinition& flag : SpecFlags()) {
    if (arguments.Has(flag.name)) return true;
  }
  return false;
}

absl::StatusOr<ClassifierSpec> ReadSpec(const Arguments& arguments) {
  absl::Status exclusive = AtMostOne(
      arguments, {"classes", "classes_file", "class_set", "prompts_file"});
  // Prompts of their own need no templates.
  exclusive.Update(AtMostOne(arguments, {"templates", "templates_file",
                                         "template_set", "prompts_file"}));
  if (!exclusive.ok()) return exclusive;
  if (arguments.Has("prompts_file")) {
    const absl::StatusOr<std::string> text =
        ReadText(arguments, "prompts_file");
    if (!text.ok()) return text.status();
    auto classes = ParsePrompts(*text);
    if (!classes.ok()) {
      return WrongFile(arguments, "prompts_file", classes.status().message());
    }
    ClassifierSpec spec;
    spec.classes = *std::move(classes);
    return spec;
  }

  absl::StatusOr<std::vector<std::string>> names = ReadClassNames(arguments);
  if (!names.ok()) return names.status();
  ClassifierSpec spec;
  for (std::string& name : *names) {
    spec.classes.push_back({.name = std::move(name)});
  }
  spec.class_set = arguments.Text("class_set");
  if (spec.classes.empty() && spec.class_set.empty()) {
    return absl::InvalidArgumentError(
        "no classes; say --classes=NAME,NAME,..., --classes_file=FILE, "
        "--class_set=NAME or --prompts_file=FILE");
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
