#include "server/start_guard.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace zeroshot::server {
namespace {

constexpr int kSignals[] = {SIGABRT, SIGSEGV, SIGBUS};
std::atomic<bool> guarded{true};

// May only do what a signal handler may.
void SayWhy() {
  for (const char* text : {"zeroshot_server: not enough memory or threads to "
                           "start; ",
                           kMoreMemory, "\n"}) {
    size_t size = 0;
    while (text[size] != '\0') ++size;
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text, size);
  }
}

[[noreturn]] void EndForWantOfMemory() {
  SayWhy();
  _exit(1);
}

// Libraries that find no memory while they are set up abort or crash. Without
// a limit on the address space that means something else, and is left as it is.
// OpenMP exits where a thread cannot be started.
void Guard() {
  std::set_new_handler(&EndForWantOfMemory);
  std::atexit([] {
    if (guarded) SayWhy();
  });
  if (!AddressSpaceIsLimited()) return;
  struct sigaction action = {};
  action.sa_handler = [](int) { EndForWantOfMemory(); };
  for (const int signal : kSignals) sigaction(signal, &action, nullptr);
}

// Before the constructors of libraries, which take memory too.
[[gnu::section(".preinit_array"), gnu::used]] void (*const guard)() = &Guard;

}  // namespace

bool AddressSpaceIsLimited() {
  rlimit limit{};
  return getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

void EndStartGuard() {
  guarded = false;
  std::set_new_handler(nullptr);
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  for (const int signal : kSignals) sigaction(signal, &action, nullptr);
}

}  // namespace zeroshot::server
