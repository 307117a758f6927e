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

namespace zeroshot::server {

// Sets spdlog's default logger up and sends gRPC's own messages there.
void StartLog(LogFormat format, LogLevel level);

// One line for a call that ended: debug if it went well, info if the caller
// is at fault or has left, warn if we had to refuse it, error if we broke.
void LogCall(absl::string_view method, absl::string_view peer,
             const absl::Status& status, absl::Duration took);

// `text` as the inside of a JSON string.
std::string JsonEscaped(absl::string_view text);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_LOG_H_
