// A file of lines that is written as they come and gone on with where a run was
// cut off, however it was: what is not a whole line is cut off.
//
// Thread rule: use from one thread.
#ifndef ZEROSHOT_CLIENT_CLI_LINE_FILE_H_
#define ZEROSHOT_CLIENT_CLI_LINE_FILE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace zeroshot::client {

class LineFile {
 public:
  // Makes the file or opens the one that is there, for this process alone.
  // `flag` is what errors begin with, such as "--output=labels.csv".
  // InvalidArgument: no regular file, or one that cannot be written.
  // FailedPrecondition: another run writes it now.
  static absl::StatusOr<std::unique_ptr<LineFile>> Open(const std::string& flag,
                                                        const std::string& path,
                                                        bool overwrite);
  ~LineFile();
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;

  // Hands over the whole lines that are there, without their ends, and cuts off
  // what follows them. In CSV (`csv`) a quoted line feed ends no line. Errors
  // are those of `take`. InvalidArgument: what follows does not begin as a line
  // of this file does, by `begin`, which is asked when the lines are known, so
  // that it is no `what`, such as "file of answers".
  absl::Status Resume(
      bool csv, absl::string_view what,
      absl::FunctionRef<absl::Status(absl::string_view line)> take,
      absl::FunctionRef<std::string()> begin);

  // REQUIRES: whole lines. Unknown: the disk is full or broken; then nothing
  // more is written.
  absl::Status Append(absl::string_view lines);

  // That the file was not written by a run as this one: why, and what to do.
  absl::Status OfAnother(absl::string_view why) const;

 private:
  LineFile(std::string flag, int file) : flag_(std::move(flag)), file_(file) {}

  const std::string flag_;
  const int file_;
  absl::Status written_;  // the first error
};

// What a system call said of a file that a flag names: InvalidArgument where
// another name may do, else Unknown.
absl::Status FileOutputError(absl::string_view flag, absl::string_view what,
                             int error);

// A field of CSV by RFC 4180, quoted where it must be; the fields of a line.
std::string CsvField(absl::string_view text);
std::vector<std::string> CsvFields(absl::string_view line);

// Where the line at the beginning of `text` ends, its line feed included; npos:
// it is not whole.
size_t EndOfLine(absl::string_view text, bool csv);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_LINE_FILE_H_
