// A file of answers that is written as they come, .csv or .jsonl, and gone on
// with where a run was cut off, however it was: every image has one line.
//
// Thread rule: Claim from one thread at a time; all else from one thread.
#ifndef ZEROSHOT_CLIENT_CLI_ANSWER_FILE_H_
#define ZEROSHOT_CLIENT_CLI_ANSWER_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cli/answers.h"
#include "client/cli/line_file.h"

namespace zeroshot::client {

class AnswerFile {
 public:
  // Makes the file, or reads what an earlier run with the same options wrote
  // and cuts off its last line if that is not whole. A .csv has `top_k` guesses
  // a line. InvalidArgument: as CheckPath, several weight sets for a .csv, a
  // file that is of other options or of something else.
  // FailedPrecondition: another run writes it now.
  static absl::StatusOr<std::unique_ptr<AnswerFile>> Open(
      const std::string& path, int top_k,
      const std::vector<std::string>& weight_set_ids, bool overwrite);
  // InvalidArgument: the name has another end than .csv and .jsonl.
  static absl::Status CheckPath(absl::string_view path);

  // Whether the image has no line yet; true once for each name.
  bool Claim(absl::string_view name);

  // InvalidArgument: the file cannot hold that name, as JSON has no bytes that
  // are not UTF-8.
  absl::Status CheckName(absl::string_view name) const;

  // An image's line, its end included.
  std::string Line(const std::string& name,
                   const absl::StatusOr<Answers>& answers) const;
  // Appends such lines. Unknown: the disk is full or broken.
  absl::Status Append(absl::string_view lines) { return file_->Append(lines); }

  // Lines of earlier runs.
  int64_t num_found() const { return num_found_; }

 private:
  AnswerFile(std::unique_ptr<LineFile> file, bool csv, int top_k)
      : file_(std::move(file)), csv_(csv), top_k_(top_k) {}

  absl::Status Resume(const std::vector<std::string>& weight_set_ids);
  // Of a whole line of the file, without its end.
  absl::Status TakeLine(absl::string_view line,
                        const std::vector<std::string>& weight_set_ids);
  std::string Header() const;

  const std::unique_ptr<LineFile> file_;
  const bool csv_;
  const int top_k_;
  int64_t num_found_ = 0;
  absl::flat_hash_set<size_t> claimed_;  // hashes of names
};

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_ANSWER_FILE_H_
