#include "client/cli/image_archive.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#if ZEROSHOT_HAS_ARCHIVES
#include <archive.h>
#include <archive_entry.h>

#include <cerrno>
#endif

namespace zeroshot::client {
namespace {

template <size_t kCount>
bool EndsWithOneOf(absl::string_view name, const char* const (&ends)[kCount]) {
  for (const char* end : ends) {
    if (absl::EndsWithIgnoreCase(name, end)) return true;
  }
  return false;
}

}  // namespace

bool IsArchiveName(absl::string_view name) {
  return EndsWithOneOf(name, {".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz",
                              ".tar.bz2", ".zip"});
}

bool IsImageName(absl::string_view name) {
  return EndsWithOneOf(name, {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp",
                              ".gif", ".bmp", ".pnm", ".pbm", ".pgm", ".ppm",
                              ".tif", ".tiff", ".avif", ".heic", ".heif"});
}

#if ZEROSHOT_HAS_ARCHIVES

struct ImageArchive::Reader {
  Reader() : archive(archive_read_new()) {}
  ~Reader() { archive_read_free(archive); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  absl::Status Error() const {
    const int error = archive_errno(archive);
    const char* const text = archive_error_string(archive);
    const std::string message =
        absl::StrCat("no archive that can be read: ",
                     text == nullptr ? "unknown fault" : text);
    if (error == ENOENT) return absl::NotFoundError("no such file");
    if (error == EACCES) return absl::PermissionDeniedError(message);
    return absl::InvalidArgumentError(message);
  }

  struct archive* const archive;
};

absl::StatusOr<std::unique_ptr<ImageArchive>> ImageArchive::Open(
    const std::string& path) {
  constexpr size_t kBlockBytes = 1 << 16;
  auto reader = std::make_unique<Reader>();
  archive_read_support_filter_all(reader->archive);
  archive_read_support_format_tar(reader->archive);
  archive_read_support_format_zip(reader->archive);
  if (archive_read_open_filename(reader->archive, path.c_str(), kBlockBytes) !=
      ARCHIVE_OK) {
    return reader->Error();
  }
  return std::unique_ptr<ImageArchive>(new ImageArchive(std::move(reader)));
}

absl::StatusOr<std::optional<ImageArchive::Member>> ImageArchive::Next(
    int64_t max_bytes) {
  struct archive* const from = reader_->archive;
  while (true) {
    struct archive_entry* entry = nullptr;
    const int found = archive_read_next_header(from, &entry);
    if (found == ARCHIVE_EOF) return std::nullopt;
    if (found < ARCHIVE_WARN) return reader_->Error();
    const char* const name = archive_entry_pathname(entry);
    if (name == nullptr || archive_entry_filetype(entry) != AE_IFREG ||
        !IsImageName(name)) {
      continue;
    }
    Member member{name, std::string()};
    char block[1 << 16];
    while (true) {
      const la_ssize_t bytes = archive_read_data(from, block, sizeof(block));
      if (bytes < 0) return reader_->Error();
      if (bytes == 0) return member;
      member.bytes->append(block, bytes);
      if (static_cast<int64_t>(member.bytes->size()) <= max_bytes) continue;
      member.bytes = absl::InvalidArgumentError(absl::StrCat(
          "larger than the ", max_bytes, " bytes that a call holds"));
      return member;
    }
  }
}

#else

struct ImageArchive::Reader {};

absl::StatusOr<std::unique_ptr<ImageArchive>> ImageArchive::Open(
    const std::string&) {
  return absl::UnimplementedError(
      "this zeroshot_client was built without libarchive, which reads "
      "archives; unpack it");
}

absl::StatusOr<std::optional<ImageArchive::Member>> ImageArchive::Next(
    int64_t) {
  return std::nullopt;
}

#endif

ImageArchive::ImageArchive(std::unique_ptr<Reader> reader)
    : reader_(std::move(reader)) {}

ImageArchive::~ImageArchive() = default;

}  // namespace zeroshot::client
