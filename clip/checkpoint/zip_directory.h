// The records of a zip archive that lies in memory: enough of the format
// (PKWARE APPNOTE 6.3, with zip64) for what PyTorch writes.
#ifndef ZEROSHOT_CLIP_CHECKPOINT_ZIP_DIRECTORY_H_
#define ZEROSHOT_CLIP_CHECKPOINT_ZIP_DIRECTORY_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace clip {

struct ZipRecord {
  bool stored = true;               // false: compressed, `bytes` as they are
  absl::Span<const uint8_t> bytes;  // borrowed from the archive
  uint32_t crc32 = 0;               // of the bytes before compression, as told

  // Of `bytes`. Reads all of them.
  uint32_t Crc32() const;
};

// Records by name. InvalidArgument: not a zip archive, truncated, or a record
// outside the file.
absl::StatusOr<std::map<std::string, ZipRecord>> ReadZipDirectory(
    absl::Span<const uint8_t> file);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CHECKPOINT_ZIP_DIRECTORY_H_
