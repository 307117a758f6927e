// A whole file in memory, read-only, paged in by the kernel as it is touched.
#ifndef ZEROSHOT_CLIP_CHECKPOINT_MAPPED_FILE_H_
#define ZEROSHOT_CLIP_CHECKPOINT_MAPPED_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace clip {

// Thread rule: immutable. The file must not shrink while it is mapped (that is
// SIGBUS): replace checkpoints by renaming, not by writing into them.
class MappedFile {
 public:
  // NotFound or PermissionDenied; the message has the file's name without its
  // folder.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(
      const std::string& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  absl::Span<const uint8_t> bytes() const { return bytes_; }

 private:
  explicit MappedFile(absl::Span<const uint8_t> bytes) : bytes_(bytes) {}
  const absl::Span<const uint8_t> bytes_;
};

// The last component of a path, trailing slashes aside. Error messages name
// files by it, because a service does not tell its clients the machine's paths.
std::string BaseName(const std::string& path);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CHECKPOINT_MAPPED_FILE_H_
