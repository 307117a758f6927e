// What many calls do about a server that goes away in their middle: one waits
// for it, once for all, the others wait with it; if it does not come back,
// those not begun are not tried.
#ifndef ZEROSHOT_CLIENT_CLI_SERVER_WAIT_H_
#define ZEROSHOT_CLIENT_CLI_SERVER_WAIT_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/cli/command.h"

namespace zeroshot::client {

FlagDefinition WaitForServerFlag();  // --wait_for_server

// Thread rule: every method may be called from many threads at once.
class ServerWait {
 public:
  // Borrows the invocation.
  explicit ServerWait(const Invocation& run) : run_(run) {}

  // Reads the flag. Where it is given, also waits for a server that is not
  // there yet. InvalidArgument: not a time. Unavailable: no server.
  absl::Status Begin();

  // Called when the server answers again: brings back what the calls need of
  // one that was restarted. Set it before the first Call.
  void OnReturn(std::function<absl::Status()> on_return) {
    on_return_ = std::move(on_return);
  }

  // Makes a call until it has an answer or an error of its own. Where the
  // server was away the call is made again, kTries times in all, so that an
  // input that ends the server does not end it for ever. An error that every
  // other call would get too (a weight set that is gone, a token that is
  // refused) stops them. Errors: the call's; one that WasNotTried, if there was
  // none any more.
  template <typename Result>
  absl::StatusOr<Result> Call(
      const std::function<absl::StatusOr<Result>()>& call) {
    absl::StatusOr<Result> result = NotTried();
    for (int tries = 1; MayBegin(); ++tries) {
      result = call();
      if (!ShouldRepeat(result.status(), tries)) break;
    }
    return result;
  }

  static bool WasNotTried(const absl::Status& status);

  // Writes to stderr, a line at a time.
  void Say(const std::string& line);

  // From now on Count shows how far the calls are: on a terminal in one line,
  // else in a line now and then. Use from one thread, before the first call.
  void ShowProgress() { shows_progress_ = true; }

  // How many items there will be, once that is known.
  void SetTotal(int64_t total) { total_ = total; }

  // Counts the outcome of one item. Use from one thread.
  void Count(const absl::Status& status);

  // Says how many of `total` items were answered if people want to know or not
  // all were; the program's exit code. Use from one thread.
  int Finish(int64_t total);

  // Nothing more is tried, for that reason.
  void Stop(const absl::Status& why);
  bool stopped();

 private:
  static constexpr int kTries = 3;
  static absl::Status NotTried();

  // Waits while another call waits for the server.
  bool MayBegin();
  bool ShouldRepeat(const absl::Status& status, int tries);

  // Whether the server answers, now or after waiting for it.
  bool Returned(const absl::Status& lost);
  absl::Status WaitForIt(const absl::Status& lost);

  std::string Progress() const;
  void DrawProgress();

  const Invocation& run_;
  const absl::Time begun_ = absl::Now();
  absl::Duration wait_;
  std::function<absl::Status()> on_return_;
  bool shows_progress_ = false;
  std::atomic<int64_t> total_{0};  // 0: not known
  int64_t answered_ = 0, failed_ = 0;
  std::map<std::string, int64_t> failed_by_reason_;
  absl::Time drawn_ = absl::Now();
  std::mutex console_;      // one writer on stderr; guards the next one
  bool line_open_ = false;  // the cursor stands behind the progress
  std::mutex mu_;           // guards all below
  std::condition_variable changed_;
  bool waiting_ = false;   // one call waits for the server
  int lost_in_a_row_ = 0;  // calls that failed though it answers
  absl::Status stopped_;   // why nothing more is tried
};

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_SERVER_WAIT_H_
