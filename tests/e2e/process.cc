#include "tests/e2e/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

extern char** environ;

namespace e2e {
namespace {

constexpr absl::Duration kNap = absl::Milliseconds(5);

std::string NewFile() {
  std::string path = ::testing::TempDir() + "/zeroshot_e2e_XXXXXX";
  const int fd = mkstemp(path.data());
  if (fd < 0) ADD_FAILURE() << "mkstemp: " << std::strerror(errno);
  close(fd);
  return path;
}

std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

}  // namespace

Process::Process(const std::vector<std::string>& arguments)
    : output_file_(NewFile()), error_file_(NewFile()) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, output_file_.c_str(),
                                   O_WRONLY | O_APPEND, 0);
  posix_spawn_file_actions_addopen(&actions, 2, error_file_.c_str(),
                                   O_WRONLY | O_APPEND, 0);
  const int error =
      posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    ADD_FAILURE() << "cannot start " << argv[0] << ": " << std::strerror(error);
    ended_ = true;
  }
}

Process::~Process() {
  if (!Poll()) {
    Signal(SIGKILL);
    Wait();
  }
  unlink(output_file_.c_str());
  unlink(error_file_.c_str());
}

bool Process::Poll() {
  int status = 0;
  if (ended_ || waitpid(pid_, &status, WNOHANG) != pid_) return ended_;
  ended_ = true;
  exit_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return true;
}

void Process::Signal(int signal) {
  if (!Poll()) kill(pid_, signal);
}

int Process::Wait(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (!Poll() && absl::Now() < deadline) absl::SleepFor(kNap);
  return exit_;
}

std::string Process::WaitForLine(absl::string_view text,
                                 absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    const bool last_look = Poll() || absl::Now() >= deadline;
    const std::string errors = Errors();
    const size_t complete = errors.rfind('\n') + 1;
    for (absl::string_view line :
         absl::StrSplit(errors.substr(0, complete), '\n')) {
      if (absl::StrContains(line, text)) return std::string(line);
    }
    if (last_look) return "";
    absl::SleepFor(kNap);
  }
}

std::string Process::Output() const { return Contents(output_file_); }
std::string Process::Errors() const { return Contents(error_file_); }

int64_t ResidentBytes(pid_t pid) {
  std::ifstream statm(absl::StrCat("/proc/", pid, "/statm"));
  int64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace e2e
