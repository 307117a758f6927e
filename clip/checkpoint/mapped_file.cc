#include "clip/checkpoint/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/quoted.h"

namespace clip {
namespace {

absl::Status OpenError(const std::string& path, int error) {
  return absl::ErrnoToStatus(
      error, absl::StrCat("cannot read ", base::Quoted(BaseName(path))));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Open(
    const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return OpenError(path, errno);
  struct stat info = {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    return absl::InvalidArgumentError(
        absl::StrCat("'", BaseName(path), "' is not a regular file"));
  }
  const size_t size = static_cast<size_t>(info.st_size);
  void* data = nullptr;  // mmap refuses length 0
  if (size > 0) data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  const int error = errno;
  close(fd);
  if (data == MAP_FAILED) return OpenError(path, error);
  return std::shared_ptr<const MappedFile>(new MappedFile(
      absl::MakeConstSpan(static_cast<const uint8_t*>(data), size)));
}

MappedFile::~MappedFile() {
  if (!bytes_.empty())
    munmap(const_cast<uint8_t*>(bytes_.data()), bytes_.size());
}

std::string BaseName(const std::string& path) {
  std::filesystem::path p = std::filesystem::path(path).lexically_normal();
  if (p.filename().empty()) p = p.parent_path();
  return p.filename().string();
}

}  // namespace clip
