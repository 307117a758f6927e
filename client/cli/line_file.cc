#include "client/cli/line_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace zeroshot::client {

absl::Status FileOutputError(absl::string_view flag, absl::string_view what,
                             int error) {
  const std::string message = absl::StrCat(
      flag, ": ", what, ": ", std::generic_category().message(error));
  return error == ENOENT || error == EACCES || error == EISDIR
             ? absl::InvalidArgumentError(message)
             : absl::UnknownError(message);
}

std::string CsvField(absl::string_view text) {
  if (text.find_first_of(",\"\r\n") == absl::string_view::npos) {
    return std::string(text);
  }
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

std::vector<std::string> CsvFields(absl::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += line[++i];
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return fields;
}

size_t EndOfLine(absl::string_view text, bool csv) {
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (csv && text[i] == '"') quoted = !quoted;
    if (text[i] == '\n' && !quoted) return i + 1;
  }
  return absl::string_view::npos;
}

absl::StatusOr<std::unique_ptr<LineFile>> LineFile::Open(
    const std::string& flag, const std::string& path, bool overwrite) {
  const int file =
      open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC,
           S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH);
  if (file < 0) return FileOutputError(flag, "cannot be written", errno);
  std::unique_ptr<LineFile> result(new LineFile(flag, file));
  struct stat info {};
  if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, ": not a regular file"));
  }
  if (flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return absl::FailedPreconditionError(
        absl::StrCat(flag, ": another run writes to it"));
  }
  if (overwrite && ftruncate(file, 0) != 0) {
    return FileOutputError(flag, "cannot be emptied", errno);
  }
  return result;
}

LineFile::~LineFile() { close(file_); }

absl::Status LineFile::OfAnother(absl::string_view why) const {
  return absl::InvalidArgumentError(
      absl::StrCat(flag_, " cannot be gone on with: ", why,
                   "; name another file, or replace it by --overwrite"));
}

absl::Status LineFile::Resume(
    bool csv, absl::string_view what,
    absl::FunctionRef<absl::Status(absl::string_view line)> take,
    absl::FunctionRef<std::string()> begin) {
  std::string text;
  std::vector<char> block(1 << 20);
  int64_t whole = 0;  // bytes of whole lines
  while (true) {
    const ssize_t bytes = read(file_, block.data(), block.size());
    if (bytes < 0) return FileOutputError(flag_, "cannot be read", errno);
    if (bytes == 0) break;
    text.append(block.data(), bytes);
    absl::string_view rest = text;
    for (size_t end; (end = EndOfLine(rest, csv)) != absl::string_view::npos;
         rest.remove_prefix(end)) {
      absl::Status taken = take(rest.substr(0, end - 1));
      if (!taken.ok()) return taken;
      whole += static_cast<int64_t>(end);
    }
    text.erase(0, text.size() - rest.size());
  }
  const std::string expected = begin();
  const size_t common = std::min(expected.size(), text.size());
  if (text.substr(0, common) != expected.substr(0, common)) {
    return OfAnother(absl::StrCat("it is no ", what));
  }
  if (!text.empty() && ftruncate(file_, whole) != 0) {
    return FileOutputError(flag_, "its last line cannot be cut off", errno);
  }
  return absl::OkStatus();
}

absl::Status LineFile::Append(absl::string_view lines) {
  while (written_.ok() && !lines.empty()) {
    const ssize_t written = write(file_, lines.data(), lines.size());
    if (written >= 0) {
      lines.remove_prefix(written);
    } else if (errno != EINTR) {
      written_ = FileOutputError(flag_, "cannot be written", errno);
    }
  }
  return written_;
}

}  // namespace zeroshot::client
