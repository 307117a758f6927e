// Admission by bytes: what the requests inside may hold together. What is on
// its way in is up to gRPC, which lets go of a request when we take it.
#ifndef ZEROSHOT_SERVER_REQUEST_MEMORY_H_
#define ZEROSHOT_SERVER_REQUEST_MEMORY_H_

#include <atomic>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/error_info.h"
#include "server/options.h"
#include "zeroshot/admission.h"

namespace zeroshot::server {

// Thread rule: every method may be called from many threads at once.
class RequestMemory {
 public:
  // Smaller requests are always taken: as many as there are threads are little.
  static constexpr int64_t kSmall = 64 << 10;

  // What one request holds, given back when destroyed. Must not outlive the
  // memory.
  class Share {
   public:
    Share(RequestMemory* memory, int64_t bytes)
        : memory_(memory), bytes_(bytes) {}
    Share(Share&& other) noexcept
        : memory_(other.memory_), bytes_(std::exchange(other.bytes_, 0)) {}
    Share& operator=(Share&&) = delete;
    ~Share() { memory_->held_.fetch_sub(bytes_); }

   private:
    RequestMemory* memory_;
    int64_t bytes_;
  };

  // Of --receive_memory_bytes one half is for requests on their way in, the
  // other for those inside.
  static int64_t HalfOf(const ServerOptions& options) {
    return options.receive_memory_bytes / 2;
  }

  explicit RequestMemory(int64_t capacity) : capacity_(capacity) {}

  // ResourceExhausted, with a retry delay: those inside hold too much.
  absl::StatusOr<Share> Take(int64_t bytes) {
    if (bytes <= kSmall) return Share(this, 0);
    const int64_t before = held_.fetch_add(bytes);
    if (before + bytes <= capacity_) return Share(this, bytes);
    held_.fetch_sub(bytes);
    absl::Status full = absl::ResourceExhaustedError(absl::StrCat(
        "the request has ", bytes, " bytes and those inside have ", before,
        "; at most ", capacity_, " are allowed together; try again later"));
    SetRetryDelay(full, absl::Seconds(1));
    return base::WithReason(full, base::kOverloaded,
                            {{"cause", "request_memory"}});
  }

 private:
  const int64_t capacity_;
  std::atomic<int64_t> held_{0};
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_REQUEST_MEMORY_H_
