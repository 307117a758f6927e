// SIGTERM, SIGINT and SIGHUP, as main waits for them.
// Thread rule: called by main only, but for Fail.
#ifndef ZEROSHOT_SERVER_STOP_SIGNAL_H_
#define ZEROSHOT_SERVER_STOP_SIGNAL_H_

#include <optional>

#include "absl/time/time.h"

namespace zeroshot::server {

// From now on SIGTERM and SIGINT end the program at once with exit status 0:
// nobody is being served yet. (As process 1 of a container it would not end
// by default.) SIGHUP waits for WaitForSignal.
void ExitOnStopSignals();

// From now on the first of SIGTERM and SIGINT ends WaitForSignal and the second
// ends the program at once, with exit status 128 + signal.
void CatchStopSignals();

// Blocks until a signal, and returns its number: SIGTERM or SIGINT for good,
// SIGHUP once for those that came since the last call. 0 after Fail; nothing
// when the time is over.
std::optional<int> WaitForSignal(absl::Duration at_most);

// Ends WaitForSignal without a signal: the server cannot go on. From any
// thread.
void Fail();

// Ends the program with exit status 1 after so many seconds, however stuck it
// is.
void ExitAtLatestIn(int seconds);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_STOP_SIGNAL_H_
