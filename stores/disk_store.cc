#include "stores/disk_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"

namespace stores {
namespace {

constexpr absl::string_view kSuffix = ".safetensors";
constexpr absl::string_view kNameSuffix = ".name";
constexpr absl::string_view kUnfinished = ".unfinished";
constexpr mode_t kFileMode = 0600;

// A file that is closed when this goes.
class File {
 public:
  File(const std::string& path, int flags)
      : fd_(open(path.c_str(), flags | O_CLOEXEC, kFileMode)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int fd() const { return fd_; }

  int64_t Size() const {
    struct stat info {};
    return fstat(fd_, &info) == 0 ? info.st_size : -1;
  }

  // DataLoss: the file ends before. Unavailable: it cannot be read.
  absl::Status Read(int64_t offset, absl::Span<char> out) const;

  auto reader() const {
    return [this](int64_t offset, absl::Span<char> out) {
      return Read(offset, out);
    };
  }

  bool Write(absl::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t wrote = write(fd_, bytes.data(), bytes.size());
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) return false;
      bytes.remove_prefix(wrote);
    }
    return true;
  }

 private:
  const int fd_;
};

absl::Status DiskError(absl::string_view what, int error) {
  return absl::UnavailableError(absl::StrCat(
      "disk store: ", what, ": ", std::generic_category().message(error)));
}

absl::Status File::Read(int64_t offset, absl::Span<char> out) const {
  while (!out.empty()) {
    const ssize_t got = pread(fd_, out.data(), out.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return DiskError("cannot read", errno);
    if (got == 0)
      return absl::DataLossError("a stored weight set is truncated");
    out.remove_prefix(got);
    offset += got;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<DiskStore>> DiskStore::Open(
    const std::string& folder, int64_t max_bytes, StoreKeys keys) {
  std::error_code error;
  std::filesystem::create_directory(folder, error);
  if (!std::filesystem::is_directory(folder) ||
      access(folder.c_str(), R_OK | W_OK | X_OK) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--disk_store=", folder,
        ": not a folder that can be written to, and none can be made there"));
  }
  std::unique_ptr<DiskStore> store(
      new DiskStore(folder, max_bytes, std::move(keys)));
  absl::Status status = store->Scan();
  if (!status.ok()) return status;
  return store;
}

absl::Status DiskStore::Scan() {
  struct Found {
    std::filesystem::file_time_type time;
    std::string id;
    int64_t bytes;
  };
  std::vector<Found> found;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder_, error), end;
       !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code gone;
    // Of another server that still writes it, perhaps: only old ones go.
    const auto time = it->last_write_time(gone);
    if (absl::EndsWith(name, kUnfinished) && !gone &&
        time + std::chrono::hours(1) <
            std::filesystem::file_time_type::clock::now()) {
      std::filesystem::remove(it->path(), gone);
    }
    absl::string_view id = name;
    if (absl::ConsumeSuffix(&id, kNameSuffix) && IsPlainId(id) &&
        access(PathOf(id).c_str(), F_OK) != 0) {
      unlink(it->path().c_str());  // a crash came before the second unlink
      continue;
    }
    if (!absl::ConsumeSuffix(&id, kSuffix) || !IsPlainId(id)) continue;
    const int64_t bytes = static_cast<int64_t>(it->file_size(gone));
    // Prompts are for builders alone; older versions let all users read them.
    chmod(it->path().c_str(), kFileMode);
    if (!gone) found.push_back({time, std::string(id), bytes});
  }
  if (error) return DiskError("cannot list the folder", error.value());
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) {
    return std::tie(a.time, a.id) < std::tie(b.time, b.id);
  });
  for (const Found& file : found) NoteSet(file.id, file.bytes);
  return absl::OkStatus();
}

std::string DiskStore::PathOf(absl::string_view id) const {
  return absl::StrCat(folder_, "/", id, kSuffix);
}

std::string DiskStore::NamePathOf(absl::string_view id) const {
  return absl::StrCat(folder_, "/", id, kNameSuffix);
}

bool DiskStore::Unlink(absl::string_view id) const {
  const bool removed = unlink(PathOf(id).c_str()) == 0;
  const int error = errno;
  unlink(NamePathOf(id).c_str());
  errno = error;
  return removed;
}

// Until then a crash may undo what was renamed or removed in it.
absl::Status DiskStore::SyncFolder() {
  const File folder(folder_, O_RDONLY | O_DIRECTORY);
  if (folder.fd() >= 0 && fsync(folder.fd()) == 0) return absl::OkStatus();
  return DiskError("cannot sync the folder", errno);
}

absl::Status DiskStore::WriteFile(const std::string& path,
                                  absl::string_view header,
                                  absl::string_view weights) {
  const std::string unfinished =
      absl::StrCat(path, ".", getpid(), ".", files_written_++, kUnfinished);
  File file(unfinished, O_WRONLY | O_CREAT | O_EXCL);
  if (file.fd() < 0) return DiskError("cannot write", errno);
  if (file.Write(header) && file.Write(weights) && fsync(file.fd()) == 0 &&
      rename(unfinished.c_str(), path.c_str()) == 0) {
    return SyncFolder();
  }
  const int error = errno;
  unlink(unfinished.c_str());
  return DiskError("cannot write", error);
}

void DiskStore::NoteSet(const std::string& id, int64_t bytes) {
  base::MutexLock lock(&mu_);
  for (const auto& [victim, nothing] : sets_.Put(id, {}, bytes)) {
    Unlink(victim);
  }
}

void DiskStore::Forget(absl::string_view id) {
  base::MutexLock lock(&mu_);
  sets_.Erase(id);
}

absl::Status DiskStore::Drop(absl::string_view id, absl::Status why) {
  if (absl::IsDataLoss(why)) {
    Unlink(id);
    Forget(id);
  }
  return why;
}

absl::StatusOr<std::shared_ptr<const WeightSet>> DiskStore::Get(
    absl::string_view id) {
  if (!IsPlainId(id)) return WeightSetNotFound(id);
  const File file(PathOf(id), O_RDONLY);
  if (file.fd() < 0) {
    if (errno != ENOENT) return DiskError("cannot open", errno);
    Forget(id);
    return WeightSetNotFound(id);
  }
  auto set = ReadWeightSet(file.Size(), id, keys_, file.reader());
  if (!set.ok()) return Drop(id, set.status());
  futimens(file.fd(), nullptr);  // used now
  NoteSet(std::string(id), file.Size());
  return set;
}

absl::StatusOr<std::shared_ptr<const WeightSet>> DiskStore::GetHeader(
    absl::string_view id) {
  if (!IsPlainId(id)) return WeightSetNotFound(id);
  const File file(PathOf(id), O_RDONLY);
  if (file.fd() < 0) {
    if (errno != ENOENT) return DiskError("cannot open", errno);
    return WeightSetNotFound(id);
  }
  const auto header = ReadHeader(file.Size(), id, keys_, file.reader());
  if (!header.ok()) return Drop(id, header.status());
  return std::shared_ptr<const WeightSet>(header->set);
}

absl::Status DiskStore::Put(std::shared_ptr<const WeightSet> set) {
  if (!IsPlainId(set->id)) {
    return absl::InvalidArgumentError("disk store: not an id for a file name");
  }
  const std::string header = SerializeHeader(*set, keys_);
  absl::Status storable =
      CheckStorable(*set, static_cast<int64_t>(header.size()));
  if (!storable.ok()) return storable;
  const absl::string_view weights = WeightBytes(*set);
  const int64_t bytes = header.size() + weights.size();
  if (const int64_t max_bytes = size().max_bytes; bytes > max_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the weight set takes ", bytes,
                     " bytes and all weight sets on disk may take ", max_bytes,
                     " (--disk_store_bytes)"));
  }
  const std::string path = PathOf(set->id);
  struct stat info {};
  if (stat(path.c_str(), &info) != 0 || info.st_size != bytes) {
    absl::Status written = WriteFile(path, header, weights);
    if (!written.ok()) return written;
  }
  NoteSet(set->id, bytes);
  return absl::OkStatus();
}

absl::Status DiskStore::Touch(absl::string_view id) {
  if (!IsPlainId(id)) return WeightSetNotFound(id);
  const std::string path = PathOf(id);
  struct stat info {};
  if (utimensat(AT_FDCWD, path.c_str(), nullptr, 0) != 0 ||
      stat(path.c_str(), &info) != 0) {
    if (errno != ENOENT) return DiskError("cannot touch", errno);
    Forget(id);
    return WeightSetNotFound(id);
  }
  NoteSet(std::string(id), info.st_size);
  return absl::OkStatus();
}

void DiskStore::NoteUse(absl::string_view id) {
  base::MutexLock lock(&mu_);
  (void)sets_.Find(id);
}

absl::Status DiskStore::Delete(absl::string_view id) {
  if (!IsPlainId(id)) return WeightSetNotFound(id);
  bool removed = false;
  {
    base::MutexLock lock(&mu_);
    removed = Unlink(id);
    if (!removed && errno != ENOENT) return DiskError("cannot remove", errno);
    // Only now: what could not be removed still takes its bytes.
    sets_.Erase(id);
  }
  return removed ? SyncFolder() : WeightSetNotFound(id);
}

absl::StatusOr<DisplayName> DiskStore::GetDisplayName(absl::string_view id) {
  if (!IsPlainId(id)) return DisplayName();
  const File file(NamePathOf(id), O_RDONLY);
  if (file.fd() < 0) {
    if (errno != ENOENT) return DiskError("cannot open a name", errno);
    return DisplayName();
  }
  constexpr int64_t kMaxBytes = 1024;  // more than any name takes
  const int64_t size = file.Size();
  if (size < 0 || size > kMaxBytes) return DisplayName();
  std::string bytes(size, '\0');
  const absl::Status status = file.Read(0, absl::MakeSpan(bytes));
  if (absl::IsDataLoss(status)) return DisplayName();  // it has just changed
  if (!status.ok()) return status;
  return ParseDisplayName(bytes, id, keys_);
}

absl::Status DiskStore::PutDisplayName(absl::string_view id,
                                       const DisplayName& name) {
  if (!IsPlainId(id)) return WeightSetNotFound(id);
  const std::string path = PathOf(id), name_path = NamePathOf(id);
  if (access(path.c_str(), F_OK) != 0) return WeightSetNotFound(id);
  base::MutexLock lock(&names_mu_);
  const absl::StatusOr<DisplayName> before = GetDisplayName(id);
  if (!before.ok()) return before.status();
  if (!CountsRatherThan(name, *before)) return absl::OkStatus();
  absl::Status written =
      WriteFile(name_path, SerializeDisplayName(name, id, keys_), "");
  if (!written.ok()) return written;
  // Gone meanwhile, with the name that it had.
  if (access(path.c_str(), F_OK) == 0) return absl::OkStatus();
  unlink(name_path.c_str());
  return WeightSetNotFound(id);
}

absl::StatusOr<std::vector<WeightSetSummary>> DiskStore::List(
    absl::string_view after, int limit) {
  std::vector<WeightSetSummary> sets;
  std::string last(after);
  while (sets.size() < limit) {
    {
      base::MutexLock lock(&mu_);
      const auto it = sets_.entries().upper_bound(last);
      if (it == sets_.entries().end()) break;
      last = it->first;
    }
    const auto header = GetHeader(last);
    if (header.ok()) sets.push_back(SummaryOf(**header));
  }
  return sets;
}

StoreSize DiskStore::size() {
  base::MutexLock lock(&mu_);
  return {static_cast<int64_t>(sets_.entries().size()), sets_.bytes(),
          sets_.max_bytes()};
}

}  // namespace stores
