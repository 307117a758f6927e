// SIGTERM and SIGINT, as main waits for them.
// Thread rule: called by main only, but for Fail.
#ifndef ZEROSHOT_SERVER_STOP_SIGNAL_H_
#define ZEROSHOT_SERVER_STOP_SIGNAL_H_

namespace zeroshot::server {

// From now on SIGTERM and SIGINT end the program at once with exit status 0:
// nobody is being served yet. (As process 1 of a container it would not end
// by default.)
void ExitOnStopSignals();

// From now on the first signal ends WaitForStopSignal and the second ends the
// program at once, with exit status 128 + signal.
void CatchStopSignals();

// Blocks until the first signal and returns its number, or 0 after Fail.
int WaitForStopSignal();

// Ends WaitForStopSignal without a signal: the server cannot go on. From any
// thread.
void Fail();

// Ends the program with exit status 1 after so many seconds, however stuck it
// is.
void ExitAtLatestIn(int seconds);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_STOP_SIGNAL_H_
