#include "server/start_guard.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <new>

namespace zeroshot::server {
namespace {

constexpr int kSignals[] = {SIGABRT, SIGSEGV, SIGBUS};

// May only do what a signal handler may.
[[noreturn]] void EndForWantOfMemory() {
  constexpr char kText[] =
      "zeroshot_server: not enough memory to start; a limit may stand in the "
      "way (ulimit -v, a container's); --check says what the weights take\n";
  [[maybe_unused]] const ssize_t written =
      write(STDERR_FILENO, kText, sizeof(kText) - 1);
  _exit(1);
}

// Libraries that find no memory while they are set up abort or crash. Without
// a limit on the address space that means something else, and is left as it is.
void Guard() {
  std::set_new_handler(&EndForWantOfMemory);
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
    return;
  }
  struct sigaction action = {};
  action.sa_handler = [](int) { EndForWantOfMemory(); };
  for (const int signal : kSignals) sigaction(signal, &action, nullptr);
}

// Before the constructors of libraries, which take memory too.
[[gnu::section(".preinit_array"), gnu::used]] void (*const guard)() = &Guard;

}  // namespace

void EndStartGuard() {
  std::set_new_handler(nullptr);
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  for (const int signal : kSignals) sigaction(signal, &action, nullptr);
}

}  // namespace zeroshot::server
