// Spans of calls for OpenTelemetry: one a call, with what was done for it
// (base/steps.h) below it. tracing_otlp.cc makes them where the library was
// found (ZEROSHOT_HAS_OTLP), else tracing_none.cc stands in its place.
#ifndef ZEROSHOT_SERVER_TRACING_H_
#define ZEROSHOT_SERVER_TRACING_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/steps.h"
#include "server/request_tag.h"

namespace zeroshot::server {

struct TracingOptions {
  // http://HOST:PORT or https://HOST:PORT of a collector that speaks OTLP over
  // gRPC; empty: no spans are made.
  std::string otlp_endpoint;
  // Of the calls that come without a traceparent. Others are sampled as their
  // callers are.
  double sample_ratio = 1;
};

// The span of a call that is sampled.
// Thread rule: one thread, but for steps().
class CallSpan {
 public:
  virtual ~CallSpan() = default;

  virtual TraceIds ids() const = 0;
  // Where the call's steps are noted.
  base::Steps* steps() { return &steps_; }

  // Ends it with the spans of its steps. Nothing of the status but its code is
  // told, because messages may quote prompts. REQUIRES: called once.
  virtual void End(const absl::Status& status) = 0;

 protected:
  base::Steps steps_;
};

// Thread rule: Begin may be called from many threads at once. Spans are handed
// on by a thread of its own; those that a collector does not take in time are
// dropped, which the log tells now and then.
class Tracer {
 public:
  // Hands on what is left, for some seconds at most.
  virtual ~Tracer() = default;

  // The span of a call that began at `start` (of MonotonicNow), below that of
  // its traceparent. `path` as in server/methods.h. Null: it is not sampled.
  virtual std::unique_ptr<CallSpan> Begin(absl::string_view path,
                                          const RequestTag& tag,
                                          absl::Time start) = 0;
};

// Whether this program can make spans.
bool CanTrace();

// Null where there is no endpoint. REQUIRES: CanTrace, if there is one.
std::unique_ptr<Tracer> StartTracer(const TracingOptions& options);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_TRACING_H_
