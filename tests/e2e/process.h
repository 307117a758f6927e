// Runs real programs for end-to-end tests.
#ifndef ZEROSHOT_TESTS_E2E_PROCESS_H_
#define ZEROSHOT_TESTS_E2E_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace e2e {

// A program that runs; its output goes to files, so that it never waits for
// a reader. Thread rule: one object, one thread.
class Process {
 public:
  explicit Process(const std::vector<std::string>& arguments);
  ~Process();  // kills it if it still runs
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // The first line on standard error that holds `text`, waited for. Empty: the
  // program ended or `timeout` passed without it.
  std::string WaitForLine(absl::string_view text,
                          absl::Duration timeout = absl::Seconds(120));

  void Signal(int signal);

  // Waits for the end; the exit status, 128 + n after signal n, or -1 if
  // `timeout` passed.
  int Wait(absl::Duration timeout = absl::Seconds(120));

  pid_t pid() const { return pid_; }

  std::string Output() const;  // so far
  std::string Errors() const;

 private:
  bool Poll();  // true when it has ended

  pid_t pid_ = -1;
  bool ended_ = false;
  int exit_ = -1;
  std::string output_file_, error_file_;
};

// Of a process, files in memory included.
int64_t ResidentBytes(pid_t pid);

}  // namespace e2e

#endif  // ZEROSHOT_TESTS_E2E_PROCESS_H_
