// What every RPC has in common: whether calls are taken at all, whether this
// caller may make this one, one log line and one count for it at the end.
#ifndef ZEROSHOT_SERVER_CALLS_H_
#define ZEROSHOT_SERVER_CALLS_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <atomic>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/caller.h"
#include "base/monotonic.h"
#include "base/mutex.h"
#include "server/engine.h"
#include "server/methods.h"
#include "server/metrics.h"
#include "server/stalled_calls.h"
#include "server/tokens.h"
#include "server/tracing.h"

namespace zeroshot::server {

// Metadata of calls that come from within this process, for callers elsewhere
// (server/http/inside_calls.h): the key by which they are known, and who really
// calls. From all others it means nothing.
inline constexpr char kInsideKey[] = "zeroshot-inside";
inline constexpr char kInsidePeer[] = "zeroshot-peer";
inline constexpr char kInsideCertificate[] = "zeroshot-certificate";

// What a call's handler gets.
struct Call {
  Engine& engine;
  base::Caller caller;
  absl::Time start;
  grpc::ServerContext& context;
};

// Thread rule: every method may be called from many threads at once.
class Calls {
 public:
  using Handler = absl::FunctionRef<absl::Status(const Call&)>;

  // Borrows tokens (null: anyone may call), metrics and tracer (null: no spans
  // are made). `client_patience`: how long a call may wait for its client.
  Calls(Tokens* tokens, Metrics* metrics, Tracer* tracer,
        absl::Duration client_patience);

  // From now on `engine` (borrowed) answers. Before that every call is
  // Unavailable.
  void Open(Engine* engine);

  // From now on every new call is Unavailable; those inside go on.
  void Close();
  bool closed() const { return closed_; }

  // Blocks until no call is inside, or until `deadline`; returns how many are.
  int WaitUntilIdle(absl::Time deadline);

  // OK while calls are taken, else Unavailable: loading or stopping.
  absl::Status Ready();

  // Null until Open.
  Engine* engine();

  // Runs `handler` as a call of `method`, if calls are taken and the caller
  // has the permission; counts and logs it and returns its status as gRPC has
  // it.
  grpc::Status Answer(const Method& method, grpc::ServerContext* context,
                      Handler handler);

  // The same for what is asked about the server itself: `handler` runs while
  // the model is being loaded and while the server stops, too.
  grpc::Status AnswerAlways(const Method& method, grpc::ServerContext* context,
                            absl::FunctionRef<absl::Status()> handler);

  // Whether the caller of a call that was let in may do this too.
  // PermissionDenied: it may not.
  absl::Status Allows(const Call& call, Permission needed);

  // What calls from within this process have as kInsideKey. Nobody else knows
  // it: it is made up at start.
  const std::string& inside_key() const { return inside_key_; }

  // Where handlers that read or write a stream say that they wait.
  StalledCalls* stalled() { return &stalled_; }

 private:
  // Runs `handler` if the caller has the permission; traces, counts, logs,
  // converts. `handler` gets the span's steps; null: none.
  grpc::Status Conclude(const Method& method, grpc::ServerContext* context,
                        absl::Time start,
                        absl::FunctionRef<absl::Status(base::Steps*)> handler);
  absl::Status Run(grpc::ServerContext* context, absl::Time start,
                   base::Steps* steps, Handler handler);

  // The caller, as far as it showed who it is: the name of their token, else of
  // their certificate, else empty.
  absl::StatusOr<std::string> Identify(const grpc::ServerContext& context,
                                       Permission needed);

  // Whether the call comes from within this process.
  bool IsInside(const grpc::ServerContext& context) const;
  std::string PeerOf(const grpc::ServerContext& context) const;

  absl::StatusOr<Engine*> OpenEngine() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // The engine, and one more call inside; Unavailable while loading or
  // stopping. Each Enter that went well needs its Leave.
  absl::StatusOr<Engine*> Enter();
  void Leave();

  Tokens* const tokens_;
  Metrics* const metrics_;
  Tracer* const tracer_;
  const std::string inside_key_;
  const absl::Time created_ = base::MonotonicNow();
  StalledCalls stalled_;
  std::atomic<bool> closed_{false};
  base::Mutex mu_;
  base::CondVar idle_;
  Engine* engine_ ABSL_GUARDED_BY(mu_) = nullptr;
  int inside_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_CALLS_H_
