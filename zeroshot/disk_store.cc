#include "zeroshot/disk_store.h"

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
#include "zeroshot/stored_set.h"

namespace zeroshot {
namespace {

constexpr absl::string_view kSuffix = ".safetensors";
constexpr absl::string_view kHeaderSuffix = ".header";
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

  // False: the file ends before, or errno says what is wrong.
  bool Read(char* out, int64_t count) {
    errno = 0;
    while (count > 0) {
      const ssize_t got = read(fd_, out, count);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      out += got;
      count -= got;
    }
    return true;
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

absl::Status Truncated() {
  return absl::DataLossError("a stored weight set is truncated");
}

// The bytes of the header that a file begins with, unchecked.
absl::StatusOr<std::string> ReadHeaderBytes(File* file) {
  const auto failed = [] {
    return errno != 0 ? DiskError("cannot read", errno) : Truncated();
  };
  std::string header(kHeaderPrefixBytes, '\0');
  if (!file->Read(header.data(), kHeaderPrefixBytes)) return failed();
  const absl::StatusOr<int64_t> size = HeaderBytes(header);
  if (!size.ok()) return size.status();
  if (*size > file->Size()) return Truncated();
  header.resize(*size);
  if (!file->Read(&header[kHeaderPrefixBytes], *size - kHeaderPrefixBytes)) {
    return failed();
  }
  return header;
}

// The header of the file, and whether the file is as long as it says.
struct ReadHeader {
  StoredHeader header;
  absl::Status whole;
};

absl::StatusOr<ReadHeader> ReadHeaderOf(File* file, absl::string_view id) {
  const absl::StatusOr<std::string> bytes = ReadHeaderBytes(file);
  if (!bytes.ok()) return bytes.status();
  absl::StatusOr<StoredHeader> parsed = ParseHeader(*bytes, id);
  if (!parsed.ok()) return parsed.status();
  const int64_t weights = parsed->num_weights * int64_t{sizeof(float)};
  const bool whole = bytes->size() + weights == file->Size();
  return ReadHeader{*std::move(parsed), whole ? absl::OkStatus() : Truncated()};
}

}  // namespace

absl::StatusOr<std::unique_ptr<DiskStore>> DiskStore::Open(
    const std::string& folder, int64_t max_bytes) {
  std::error_code error;
  std::filesystem::create_directory(folder, error);
  if (!std::filesystem::is_directory(folder) ||
      access(folder.c_str(), R_OK | W_OK | X_OK) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--disk_store=", folder,
        ": not a folder that can be written to, and none can be made there"));
  }
  std::unique_ptr<DiskStore> store(new DiskStore(folder, max_bytes));
  absl::Status status = store->Scan();
  if (!status.ok()) return status;
  return store;
}

absl::Status DiskStore::Scan() {
  struct Found {
    std::filesystem::file_time_type time;
    std::string id;
    bool is_set;
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
    const bool is_set = absl::ConsumeSuffix(&id, kSuffix);
    if (!is_set && !absl::ConsumeSuffix(&id, kHeaderSuffix)) continue;
    if (!IsPlainId(id)) continue;
    const int64_t bytes = static_cast<int64_t>(it->file_size(gone));
    // Prompts are for builders alone; older versions let all users read them.
    chmod(it->path().c_str(), kFileMode);
    if (!gone) found.push_back({time, std::string(id), is_set, bytes});
  }
  if (error) return DiskError("cannot list the folder", error.value());
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) {
    return std::tie(a.time, a.id) < std::tie(b.time, b.id);
  });
  // Sets last: the headers of those that must go now are the latest.
  for (const Found& file : found) {
    clip::MutexLock lock(&mu_);
    if (!file.is_set) NoteHeader(file.id, file.bytes);
  }
  for (const Found& file : found) {
    if (file.is_set) NoteSet(file.id, file.bytes);
  }
  return absl::OkStatus();
}

std::string DiskStore::PathOf(absl::string_view id) const {
  return absl::StrCat(folder_, "/", id, kSuffix);
}

std::string DiskStore::HeaderPathOf(absl::string_view id) const {
  return absl::StrCat(folder_, "/", id, kHeaderSuffix);
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
  // A header that a crash takes is no loss worth the wait.
  if (file.Write(header) && file.Write(weights) &&
      (weights.empty() || fsync(file.fd()) == 0) &&
      rename(unfinished.c_str(), path.c_str()) == 0) {
    return weights.empty() ? absl::OkStatus() : SyncFolder();
  }
  const int error = errno;
  unlink(unfinished.c_str());
  return DiskError("cannot write", error);
}

void DiskStore::NoteSet(const std::string& id, int64_t bytes) {
  clip::MutexLock lock(&mu_);
  for (const auto& [victim, nothing] : sets_.Put(id, {}, bytes)) Evict(victim);
}

void DiskStore::NoteHeader(const std::string& id, int64_t bytes) {
  for (const auto& [victim, nothing] : headers_.Put(id, {}, bytes)) {
    unlink(HeaderPathOf(victim).c_str());
  }
}

void DiskStore::Forget(absl::string_view id) {
  clip::MutexLock lock(&mu_);
  sets_.Erase(id);
}

absl::Status DiskStore::Drop(absl::string_view id, absl::Status why) {
  if (absl::IsDataLoss(why)) {
    unlink(PathOf(id).c_str());
    Forget(id);
  }
  return why;
}

void DiskStore::Evict(const std::string& id) {
  const std::string path = PathOf(id);
  if (File file(path, O_RDONLY); file.fd() >= 0) {
    const absl::StatusOr<std::string> header = ReadHeaderBytes(&file);
    if (header.ok() && header->size() <= headers_.max_bytes() &&
        WriteFile(HeaderPathOf(id), *header, "").ok()) {
      NoteHeader(id, header->size());
    }
  }
  unlink(path.c_str());
  sets_.Erase(id);
}

absl::StatusOr<std::shared_ptr<const WeightSet>> DiskStore::Get(
    absl::string_view id) {
  if (!IsPlainId(id)) return WeightSetNotFound(id);
  File file(PathOf(id), O_RDONLY);
  if (file.fd() < 0) {
    if (errno != ENOENT) return DiskError("cannot open", errno);
    Forget(id);
    return WeightSetNotFound(id);
  }
  absl::StatusOr<ReadHeader> read = ReadHeaderOf(&file, id);
  if (!read.ok()) return Drop(id, read.status());
  const StoredHeader& header = read->header;
  absl::Status intact = read->whole;
  if (intact.ok()) {
    header.set->weights = MakeWeights(header.num_weights);
    if (!file.Read(reinterpret_cast<char*>(header.set->weights.data()),
                   header.num_weights * sizeof(float))) {
      return DiskError("cannot read", errno);
    }
    intact = CheckWeights(header, WeightBytes(*header.set));
  }
  if (!intact.ok()) {
    clip::MutexLock lock(&mu_);
    Evict(std::string(id));
    return intact;
  }
  futimens(file.fd(), nullptr);  // used now
  NoteSet(std::string(id), file.Size());
  return std::shared_ptr<const WeightSet>(header.set);
}

absl::StatusOr<std::shared_ptr<const WeightSet>> DiskStore::GetHeader(
    absl::string_view id) {
  if (!IsPlainId(id)) return WeightSetNotFound(id);
  absl::Status failure = WeightSetNotFound(id);
  for (const std::string& path : {HeaderPathOf(id), PathOf(id)}) {
    File file(path, O_RDONLY);
    if (file.fd() < 0) {
      if (errno != ENOENT) failure = DiskError("cannot open", errno);
      continue;
    }
    absl::StatusOr<ReadHeader> read = ReadHeaderOf(&file, id);
    clip::MutexLock lock(&mu_);
    if (read.ok()) {
      return std::shared_ptr<const WeightSet>(std::move(read->header.set));
    }
    failure = read.status();
    // A set's own damage is for Get to find.
    if (absl::IsDataLoss(failure) && path == HeaderPathOf(id)) {
      unlink(path.c_str());
      headers_.Erase(id);
    }
  }
  return failure;
}

absl::Status DiskStore::Put(std::shared_ptr<const WeightSet> set) {
  if (!IsPlainId(set->id)) {
    return absl::InvalidArgumentError("disk store: not an id for a file name");
  }
  const std::string header = SerializeHeader(*set);
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
  clip::MutexLock lock(&mu_);
  if (headers_.Erase(set->id)) unlink(HeaderPathOf(set->id).c_str());
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
  clip::MutexLock lock(&mu_);
  (void)sets_.Find(id);
}

absl::Status DiskStore::Delete(absl::string_view id) {
  if (!IsPlainId(id)) return WeightSetNotFound(id);
  bool removed = false;
  {
    clip::MutexLock lock(&mu_);
    for (const std::string& path : {HeaderPathOf(id), PathOf(id)}) {
      if (unlink(path.c_str()) == 0) {
        removed = true;
      } else if (errno != ENOENT) {
        return DiskError("cannot remove", errno);
      }
    }
    // Only now: what could not be removed still takes its bytes.
    sets_.Erase(id);
    headers_.Erase(id);
  }
  return removed ? SyncFolder() : WeightSetNotFound(id);
}

absl::StatusOr<std::vector<WeightSetSummary>> DiskStore::List(
    absl::string_view after, int limit) {
  std::vector<WeightSetSummary> sets;
  std::string last(after);
  while (sets.size() < limit) {
    {
      clip::MutexLock lock(&mu_);
      const auto it = sets_.entries().upper_bound(last);
      if (it == sets_.entries().end()) break;
      last = it->first;
    }
    File file(PathOf(last), O_RDONLY);
    if (file.fd() < 0) continue;
    absl::StatusOr<ReadHeader> read = ReadHeaderOf(&file, last);
    if (!read.ok()) (void)Drop(last, read.status());
    if (read.ok() && read->whole.ok()) {
      sets.push_back(SummaryOf(*read->header.set));
    }
  }
  return sets;
}

StoreSize DiskStore::size() {
  clip::MutexLock lock(&mu_);
  return {static_cast<int64_t>(sets_.entries().size()), sets_.bytes(),
          sets_.max_bytes()};
}

}  // namespace zeroshot
