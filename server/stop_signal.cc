#include "server/stop_signal.h"

#include <semaphore.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace zeroshot::server {
namespace {

// A handler may touch lock-free atomics and post a semaphore, little else.
std::atomic<int> caught{0};
std::atomic<bool> hung_up{false};
std::atomic<bool> failed{false};
sem_t arrived;

void Exit(int) { _exit(0); }

void Catch(int signal) {
  int none = 0;
  if (!caught.compare_exchange_strong(none, signal)) _exit(128 + signal);
  sem_post(&arrived);
}

void HangUp(int) {
  hung_up = true;
  sem_post(&arrived);
}

void SetHandler(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigaction(signal, &action, nullptr);
}

}  // namespace

void ExitOnStopSignals() {
  sem_init(&arrived, 0, 0);
  SetHandler(SIGTERM, &Exit);
  SetHandler(SIGINT, &Exit);
  SetHandler(SIGHUP, &HangUp);
}

void CatchStopSignals() {
  SetHandler(SIGTERM, &Catch);
  SetHandler(SIGINT, &Catch);
}

std::optional<int> WaitForSignal(absl::Duration at_most) {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const timespec until =
      absl::ToTimespec(absl::DurationFromTimespec(now) + at_most);
  while (true) {
    if (caught != 0) return caught;
    if (failed) return 0;
    if (hung_up.exchange(false)) return SIGHUP;
    // By a clock that nobody sets. Interrupted or woken by an older post it
    // looks again.
    if (sem_clockwait(&arrived, CLOCK_MONOTONIC, &until) != 0 &&
        errno == ETIMEDOUT) {
      return std::nullopt;
    }
  }
}

void Fail() {
  failed = true;
  sem_post(&arrived);
}

void ExitAtLatestIn(int seconds) {
  signal(SIGALRM, [](int) { _exit(1); });
  alarm(seconds);
}

}  // namespace zeroshot::server
