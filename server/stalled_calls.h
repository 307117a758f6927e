// Ends calls whose client takes no answer, or sends no more of its request.
//
// gRPC's sync API waits for the client on the request's thread: while an answer
// leaves (the client's flow control decides when), while a stream is read. A
// client that stops reading, or asks for no byte at all, would hold that thread
// for as long as the connection lives, and there are only so many.
#ifndef ZEROSHOT_SERVER_STALLED_CALLS_H_
#define ZEROSHOT_SERVER_STALLED_CALLS_H_

#include <grpcpp/server_context.h>

#include <functional>
#include <list>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/mutex.h"

namespace zeroshot::server {

// Thread rule: every method may be called from many threads at once.
class StalledCalls {
 public:
  struct Options {
    absl::Duration patience = absl::Seconds(30);  // with one call
    // More calls than this that have waited for longer than `crowd_patience`
    // are a crowd. The longest waits are ended until it is none.
    int crowd = 32;
    absl::Duration crowd_patience = absl::Seconds(1);
  };

  // What a waiting call holds.
  enum class Holds {
    kThread,  // one of the threads that all calls need
    kPlace,   // a place at admission as well, which bounds how many such calls
              // there are: they are never of the crowd
  };

 private:
  struct Waiting {
    grpc::ServerContext* context;
    absl::Time since;
    Holds holds;
    bool ending = false;  // the context is in use: it must live on
    absl::Status ended;   // why
  };
  using Place = std::list<Waiting>::iterator;

 public:
  // `on_ended` is called for each call that was ended, on a thread of this
  // class.
  StalledCalls(const Options& options, std::function<void()> on_ended);
  // REQUIRES: no call waits any more.
  ~StalledCalls();

  // A scope in which a call waits for its client. Past the patience the call is
  // ended, as DeadlineExceeded, or ResourceExhausted if it was of a crowd,
  // which ends the wait.
  class Wait {
   public:
    // Borrows both. REQUIRES: the context lives longer.
    Wait(StalledCalls* calls, grpc::ServerContext* context,
         Holds holds = Holds::kThread);
    ~Wait();
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;

    // What the client was told if the call was ended, else OK.
    absl::Status ended() const;

   private:
    StalledCalls* const calls_;
    Place place_;
  };

  // From now until gRPC is done with the call that this thread runs, it waits
  // for its client. REQUIRES: called by the call's own handler, at its end.
  void WaitUntilSent(grpc::ServerContext* context);

 private:
  void Loop();
  // Marks those whose time is over.
  std::vector<Place> FindStalled() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Ends them. No lock of ours is held while gRPC cancels.
  void End(const std::vector<Place>& stalled);

  const Options options_;
  const std::function<void()> on_ended_;
  base::Mutex mu_;
  base::CondVar stopping_;
  base::CondVar ended_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::list<Waiting> waiting_ ABSL_GUARDED_BY(mu_);  // the longest first
  std::thread thread_;  // last: starts when all else stands
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_STALLED_CALLS_H_
