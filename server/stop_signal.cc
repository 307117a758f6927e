#include "server/stop_signal.h"

#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace zeroshot::server {
namespace {

// A handler may touch lock-free atomics and post a semaphore, little else.
std::atomic<int> caught{0};
std::atomic<bool> failed{false};
sem_t arrived;

void Exit(int) { _exit(0); }

void Catch(int signal) {
  int none = 0;
  if (!caught.compare_exchange_strong(none, signal)) _exit(128 + signal);
  sem_post(&arrived);
}

void SetHandler(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace

void ExitOnStopSignals() { SetHandler(&Exit); }

void CatchStopSignals() {
  sem_init(&arrived, 0, 0);
  SetHandler(&Catch);
}

int WaitForStopSignal() {
  while (caught == 0 && !failed) sem_wait(&arrived);
  return caught;
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
