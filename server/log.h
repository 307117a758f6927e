// The server's log, on standard error: text for people or one JSON object a
// line for programs. Only server/ logs; libraries return statuses.
// Thread rule: StartLog before other threads; LogCall from any thread.
#ifndef ZEROSHOT_SERVER_LOG_H_
#define ZEROSHOT_SERVER_LOG_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/options.h"
#include "server/request_tag.h"

namespace zeroshot::server {

// Sets spdlog's default logger up and sends gRPC's own messages there. Lines
// are written by a thread of their own, see server/log_writer.h.
void StartLog(LogFormat format, LogLevel level);

// While one lives, gRPC's errors are kept instead of logged, because its maker
// says the same in fewer words; the level debug shows them afterwards. One at a
// time.
class HeldGrpcErrors {
 public:
  HeldGrpcErrors();
  ~HeldGrpcErrors();
  // What the system said in the last one, "Address already in use"; empty if
  // it said nothing.
  std::string SystemError() const;
};

// Waits for the lines so far to be written, for 5 seconds at most. Call before
// the process ends.
void FlushLog();

// Lines for calls in one second, counted separately for those at info and for
// those above it. The log says how many were left out when the flood is over.
inline constexpr int kMaxCallLinesPerSecond = 100;

// Of gRPC's own lines, which anyone that connects can cause.
inline constexpr int kMaxGrpcLinesPerSecond = 20;

// A call that ended.
struct CallLine {
  absl::string_view method;
  absl::string_view peer;
  absl::string_view request_id;
  TraceIds trace;      // the call's span, or its caller's
  std::string caller;  // who the caller showed to be; may be empty
  absl::Status status;
  absl::Duration took;
};

// At most one line: info if the call went well, if the caller made a mistake or
// has left; warn if the server refused it; error if the server failed. A
// caller's mistake is logged by its code alone unless the level is debug,
// because the message may quote prompts.
void LogCall(const CallLine& call);

// `text` as the inside of a JSON string.
std::string JsonEscaped(absl::string_view text);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_LOG_H_
