// Images in archives: tar (also compressed) and zip, as WebDataset's shards
// are. Read by libarchive, from the beginning to the end, one member at a time.
//
// Thread rule: use from one thread.
#ifndef ZEROSHOT_CLIENT_CLI_IMAGE_ARCHIVE_H_
#define ZEROSHOT_CLIENT_CLI_IMAGE_ARCHIVE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace zeroshot::client {

// Whether a file's name says that it is an archive: .tar, .tar.gz, .tgz,
// .tar.zst, .tar.xz, .tar.bz2, .zip.
bool IsArchiveName(absl::string_view name);

// Whether a file's name says that it is an image.
bool IsImageName(absl::string_view name);

class ImageArchive {
 public:
  struct Member {
    std::string name;  // inside the archive
    absl::StatusOr<std::string> bytes;
  };

  // Errors name no path. NotFound, PermissionDenied. InvalidArgument: no
  // archive. Unimplemented: this program was built without libarchive.
  static absl::StatusOr<std::unique_ptr<ImageArchive>> Open(
      const std::string& path);
  ~ImageArchive();

  // The next member that is an image by its name; none at the end. A member
  // over `max_bytes` has an error in place of its bytes. InvalidArgument: the
  // archive is damaged from here on.
  absl::StatusOr<std::optional<Member>> Next(int64_t max_bytes);

 private:
  struct Reader;
  explicit ImageArchive(std::unique_ptr<Reader> reader);

  const std::unique_ptr<Reader> reader_;
};

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_IMAGE_ARCHIVE_H_
