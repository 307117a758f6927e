// Embeddings of a collection's images: FILE.safetensors with one tensor,
// "embeddings" F32 [n, dim], and FILE.names.csv with a line for each row,
// "file" and "error". The row of an image that is none is NaN, and says so
// there.
//
//   safetensors.numpy.load_file("v.safetensors")["embeddings"]
//   pandas.read_csv("v.names.csv")["file"]
//
// The tensor's file says which model made it. While it is written it has a few
// thousand rows more, of zeros, so that it can be read at any time. A run that
// was cut off, however it was, is gone on with: a row counts once its name is
// there, which is written behind it.
#ifndef ZEROSHOT_CLIENT_CLI_VECTOR_FILE_H_
#define ZEROSHOT_CLIENT_CLI_VECTOR_FILE_H_

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "client/cli/line_file.h"
#include "client/types.h"

namespace zeroshot::client {

// Thread rule: Claim from one thread at a time; all else from one thread.
class VectorWriter {
 public:
  // Makes the two files, or goes on with those of an earlier run.
  // InvalidArgument: as CheckPath, files of another model, whose name is told,
  // or of something else. FailedPrecondition: another run writes them now.
  static absl::StatusOr<std::unique_ptr<VectorWriter>> Open(
      const std::string& path, const ModelInfo& model, bool overwrite);
  // InvalidArgument: the name does not end in .safetensors.
  static absl::Status CheckPath(absl::string_view path);
  // Cuts off the rows that are not used.
  ~VectorWriter();
  VectorWriter(const VectorWriter&) = delete;
  VectorWriter& operator=(const VectorWriter&) = delete;

  // Whether the image has no row yet; true once for each name.
  bool Claim(absl::string_view name);

  // Appends an image's row, or why it has none. Unknown: the disk is full or
  // broken, and nothing more is written. Internal: a vector of another length
  // than the model's.
  absl::Status Write(absl::string_view name,
                     const absl::StatusOr<Embedding>& embedding);

  // Rows of earlier runs.
  int64_t num_found() const { return num_found_; }

 private:
  VectorWriter(std::string flag, std::unique_ptr<LineFile> names, int file,
               const ModelInfo& model);

  absl::Status Resume();
  // Makes the file `rows` long, and says so in its header.
  absl::Status Resize(int64_t rows);
  absl::Status WriteAt(int64_t offset, absl::string_view bytes);
  int64_t row_bytes() const { return int64_t{dim_} * int64_t{sizeof(float)}; }

  const std::string flag_;  // for messages
  const std::unique_ptr<LineFile> names_;
  const int file_;
  const std::string model_, fingerprint_;
  const int dim_;
  absl::Status written_;  // the first error: after it nothing is written
  int64_t rows_ = 0, capacity_ = 0, num_found_ = 0;
  absl::flat_hash_set<size_t> claimed_;  // hashes of names
};

// The rows of such files, one after the other, without reading them into
// memory.
// Thread rule: Next from one thread at a time.
class VectorReader {
 public:
  // InvalidArgument: they cannot be read, or are none.
  static absl::StatusOr<std::unique_ptr<VectorReader>> Open(
      const std::string& path);
  ~VectorReader();
  VectorReader(const VectorReader&) = delete;
  VectorReader& operator=(const VectorReader&) = delete;

  // InvalidArgument: another model made them, which is named.
  absl::Status CheckModel(const ModelInfo& model) const;

  struct Row {
    std::string name;
    std::string error;               // of an image that has no vector
    absl::Span<const float> vector;  // [dim]
  };
  // Up to `most`; none at the end. DataLoss: fewer rows than names.
  absl::StatusOr<std::vector<Row>> Next(int most);

  // Names, counted by reading them.
  int64_t Count() const;
  int dim() const { return dim_; }

 private:
  VectorReader() = default;

  std::string flag_, names_path_;
  std::ifstream names_;
  std::string read_;  // of the names, from next_ on
  size_t next_ = 0;
  bool header_ = true;  // is the next line
  const char* mapped_ = nullptr;
  size_t mapped_bytes_ = 0;
  const float* rows_ = nullptr;  // [capacity, dim]
  int64_t capacity_ = 0, row_ = 0;
  int dim_ = 0;
  std::string model_, fingerprint_;
};

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_VECTOR_FILE_H_
