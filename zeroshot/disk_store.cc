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
constexpr absl::string_view kUnfinished = ".unfinished";

// A file that is closed when this goes.
class File {
 public:
  File(const std::string& path, int flags)
      : fd_(open(path.c_str(), flags | O_CLOEXEC, 0644)) {}
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

absl::StatusOr<StoredHeader> ReadHeader(File* file, absl::string_view id) {
  const auto failed = [] {
    return errno != 0 ? DiskError("cannot read", errno)
                      : absl::DataLossError("a stored weight set is truncated");
  };
  std::string header(kHeaderPrefixBytes, '\0');
  if (!file->Read(header.data(), kHeaderPrefixBytes)) return failed();
  const absl::StatusOr<int64_t> size = HeaderBytes(header);
  if (!size.ok()) return size.status();
  if (*size > file->Size()) {
    errno = 0;
    return failed();
  }
  header.resize(*size);
  if (!file->Read(&header[kHeaderPrefixBytes], *size - kHeaderPrefixBytes)) {
    return failed();
  }
  absl::StatusOr<StoredHeader> parsed = ParseHeader(header, id);
  if (!parsed.ok()) return parsed.status();
  if (*size + parsed->num_weights * int64_t{sizeof(float)} != file->Size()) {
    return absl::DataLossError("a stored weight set is truncated");
  }
  return parsed;
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
    if (!absl::ConsumeSuffix(&id, kSuffix) || !IsPlainId(id)) continue;
    const int64_t bytes = static_cast<int64_t>(it->file_size(gone));
    if (!gone) found.push_back({time, std::string(id), bytes});
  }
  if (error) return DiskError("cannot list the folder", error.value());
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) {
    return std::tie(a.time, a.id) < std::tie(b.time, b.id);
  });
  for (const Found& file : found) Note(file.id, file.bytes);
  return absl::OkStatus();
}

std::string DiskStore::PathOf(absl::string_view id) const {
  return absl::StrCat(folder_, "/", id, kSuffix);
}

void DiskStore::Note(const std::string& id, int64_t bytes) {
  clip::MutexLock lock(&mu_);
  ForgetLocked(id);
  uses_.push_front(id);
  entries_[id] = {bytes, uses_.begin()};
  bytes_ += bytes;
  while (bytes_ > max_bytes_) {
    const std::string victim = uses_.back();
    unlink(PathOf(victim).c_str());
    ForgetLocked(victim);
  }
}

void DiskStore::Forget(absl::string_view id) {
  clip::MutexLock lock(&mu_);
  ForgetLocked(std::string(id));
}

void DiskStore::ForgetLocked(const std::string& id) {
  const auto it = entries_.find(id);
  if (it == entries_.end()) return;
  bytes_ -= it->second.bytes;
  uses_.erase(it->second.use);
  entries_.erase(it);
}

absl::Status DiskStore::Drop(absl::string_view id, absl::Status why) {
  if (absl::IsDataLoss(why)) {
    unlink(PathOf(id).c_str());
    Forget(id);
  }
  return why;
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
  absl::StatusOr<StoredHeader> header = ReadHeader(&file, id);
  if (!header.ok()) return Drop(id, header.status());
  header->set->weights = MakeWeights(header->num_weights);
  if (!file.Read(reinterpret_cast<char*>(header->set->weights.data()),
                 header->num_weights * sizeof(float))) {
    return DiskError("cannot read", errno);
  }
  absl::Status intact = CheckWeights(*header);
  if (!intact.ok()) return Drop(id, std::move(intact));
  futimens(file.fd(), nullptr);  // used now
  Note(std::string(id), file.Size());
  return std::shared_ptr<const WeightSet>(std::move(header->set));
}

absl::Status DiskStore::Put(std::shared_ptr<const WeightSet> set) {
  if (!IsPlainId(set->id)) {
    return absl::InvalidArgumentError("disk store: not an id for a file name");
  }
  const std::string header = SerializeHeader(*set);
  const absl::string_view weights = WeightBytes(*set);
  const int64_t bytes = header.size() + weights.size();
  if (bytes > max_bytes_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the weight set takes ", bytes,
                     " bytes and all weight sets on disk may take ", max_bytes_,
                     " (--disk_store_bytes)"));
  }
  const std::string path = PathOf(set->id);
  struct stat info {};
  if (stat(path.c_str(), &info) == 0 && info.st_size == bytes) {
    Note(set->id, bytes);
    return absl::OkStatus();
  }
  const std::string unfinished =
      absl::StrCat(path, ".", getpid(), ".", files_written_++, kUnfinished);
  {
    File file(unfinished, O_WRONLY | O_CREAT | O_EXCL);
    if (file.fd() < 0) return DiskError("cannot write", errno);
    if (!file.Write(header) || !file.Write(weights) || fsync(file.fd()) != 0) {
      const int error = errno;
      unlink(unfinished.c_str());
      return DiskError("cannot write", error);
    }
  }
  if (rename(unfinished.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(unfinished.c_str());
    return DiskError("cannot write", error);
  }
  Note(set->id, bytes);
  return absl::OkStatus();
}

absl::Status DiskStore::Delete(absl::string_view id) {
  if (!IsPlainId(id)) return WeightSetNotFound(id);
  const bool removed = unlink(PathOf(id).c_str()) == 0;
  const int error = errno;
  if (removed || error == ENOENT) Forget(id);
  if (removed) return absl::OkStatus();
  return error == ENOENT ? WeightSetNotFound(id)
                         : DiskError("cannot remove", error);
}

absl::StatusOr<std::vector<std::shared_ptr<const WeightSet>>> DiskStore::List(
    absl::string_view after, int limit) {
  std::vector<std::shared_ptr<const WeightSet>> sets;
  std::string last(after);
  while (sets.size() < limit) {
    {
      clip::MutexLock lock(&mu_);
      const auto it = entries_.upper_bound(last);
      if (it == entries_.end()) break;
      last = it->first;
    }
    File file(PathOf(last), O_RDONLY);
    if (file.fd() < 0) continue;
    absl::StatusOr<StoredHeader> header = ReadHeader(&file, last);
    if (header.ok()) sets.push_back(std::move(header->set));
    if (!header.ok()) (void)Drop(last, header.status());
  }
  return sets;
}

StoreSize DiskStore::size() {
  clip::MutexLock lock(&mu_);
  return {static_cast<int64_t>(entries_.size()), bytes_, max_bytes_};
}

}  // namespace zeroshot
