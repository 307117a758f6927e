// Ends calls whose client takes no answer, or sends no more of its request.
//
// gRPC's sync API waits for the client on the request's thread: while an answer
// leaves (the client's flow control decides when), while a stream is read. Who
// stops reading, or asks for no byte at all, would hold that thread for as long
// as the connection lives, and there are only so many.
#ifndef ZEROSHOT_SERVER_STALLED_CALLS_H_
#define ZEROSHOT_SERVER_STALLED_CALLS_H_

#include <grpcpp/server_context.h>

#include <functional>
#include <list>
#include <thread>

#include "absl/time/time.h"
#include "clip/mutex.h"

namespace zeroshot::server {

// Thread rule: every method may be called from many threads at once.
class StalledCalls {
 public:
  struct Options {
    absl::Duration patience = absl::Seconds(30);  // with one call
    // More calls than this that wait for their clients are a crowd, which is
    // given less time.
    int crowd = 32;
    absl::Duration patience_with_crowd = absl::Seconds(1);
  };

 private:
  struct Waiting {
    grpc::ServerContext* context;
    absl::Time since;
    bool ended = false;
  };
  using Place = std::list<Waiting>::iterator;

 public:
  // `on_ended` is told of each call that was ended, on a thread of this class.
  StalledCalls(const Options& options, std::function<void()> on_ended);
  // REQUIRES: no call waits any more.
  ~StalledCalls();

  // A scope in which a call waits for its client; past the patience the call
  // is cancelled, which ends the wait.
  class Wait {
   public:
    // Borrows both. REQUIRES: the context lives longer.
    Wait(StalledCalls* calls, grpc::ServerContext* context);
    ~Wait();
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;

   private:
    StalledCalls* const calls_;
    Place place_;
  };

  // From now until gRPC is done with the call that this thread runs, it waits
  // for its client. REQUIRES: called by the call's own handler, at its end.
  void WaitUntilSent(grpc::ServerContext* context);

 private:
  void Loop();
  void EndStalled() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  const std::function<void()> on_ended_;
  clip::Mutex mu_;
  clip::CondVar stopping_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::list<Waiting> waiting_ ABSL_GUARDED_BY(mu_);  // the longest first
  std::thread thread_;  // last: starts when all else stands
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_STALLED_CALLS_H_
