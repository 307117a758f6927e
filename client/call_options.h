// Options of a single call: the last argument of every call.
//
//   client->Classify(image, id, {}, {.deadline = absl::Now() + budget,
//                                    .metadata = {{"traceparent", trace}}});
#ifndef ZEROSHOT_CLIENT_CALL_OPTIONS_H_
#define ZEROSHOT_CLIENT_CALL_OPTIONS_H_

#include <atomic>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace zeroshot::client {

// Ends calls from another thread. Any number of calls may share one.
//
// Thread rule: every method may be called from many threads at once.
class Cancellation {
 public:
  Cancellation() = default;
  Cancellation(const Cancellation&) = delete;
  Cancellation& operator=(const Cancellation&) = delete;

  // Calls that have it, and those that begin with it later, end as Cancelled.
  // The server stops working for them.
  void Cancel();
  bool cancelled() const { return cancelled_; }

  // False, at once, if it is cancelled before `duration` is over.
  bool SleepFor(absl::Duration duration);

  // While this object lives, Cancel calls `on_cancel` once, on Cancel's thread.
  // If Cancel was called before, the constructor calls it. Null `cancellation`:
  // never. `on_cancel` may only call cancelled().
  class Watch {
   public:
    Watch(Cancellation* cancellation, std::function<void()> on_cancel);
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    Cancellation* const cancellation_;
    std::list<std::function<void()>>::iterator place_;
  };

 private:
  std::atomic<bool> cancelled_{false};
  std::mutex mu_;  // guards watches_; held while cancelled_ changes
  std::condition_variable changed_;
  std::list<std::function<void()>> watches_;
};

struct CallOptions {
  // When the call must be over, retries included; after that it is
  // DeadlineExceeded. None: ClientOptions::timeout from now (for a build, an
  // export or an import ClientOptions::build_timeout).
  std::optional<absl::Time> deadline = {};

  // Sent with the call, such as {"traceparent", "00-..."} or {"x-request-id",
  // "42"}: names in lower case; values of printable ASCII, or of any bytes
  // where the name ends in "-bin". InvalidArgument: others, and names that gRPC
  // or `token` has ("authorization", "grpc-...").
  std::vector<std::pair<std::string, std::string>> metadata = {};

  // Ends the call when it is cancelled. Borrowed as long as the call takes.
  // Null: the call cannot be cancelled.
  Cancellation* cancellation = nullptr;

  // Sent instead of ClientOptions::token, by the same rule: InvalidArgument if
  // it would cross the network in plain text.
  std::string token = {};
};

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CALL_OPTIONS_H_
