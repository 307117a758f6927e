// The two programs, with the demo model, as end-to-end tests start them.
#ifndef ZEROSHOT_TESTS_E2E_PROGRAMS_H_
#define ZEROSHOT_TESTS_E2E_PROGRAMS_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "tests/e2e/process.h"

namespace e2e {

inline const char kServer[] = ZEROSHOT_BINARY_DIR "/server/zeroshot_server";
inline const char kClient[] = ZEROSHOT_BINARY_DIR "/client/zeroshot_client";
inline const char kModel[] = ZEROSHOT_SOURCE_DIR "/models/demo";

// Without its page for metrics, and on the CPU, unless a flag says otherwise:
// tests run beside each other.
inline std::unique_ptr<Process> StartServer(std::vector<std::string> flags = {
                                                "--listen=127.0.0.1:0"}) {
  flags.insert(flags.begin(), {kServer, "--metrics_listen=", "--device=cpu"});
  return std::make_unique<Process>(flags);
}

// HOST:PORT from the line that says what is served, waited for.
inline std::string AddressOf(Process& server) {
  const std::string line = server.WaitForLine(" serving ");
  const size_t begin = line.find("127.0.0.");
  if (begin == line.npos) return "";
  return line.substr(begin, line.find(';', begin) - begin);
}

// Of HOST:PORT.
inline int PortOf(const std::string& address) {
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
  return port;
}

// A server that serves the demo model on a free port.
class DemoServer {
 public:
  explicit DemoServer(const std::vector<std::string>& more_flags = {}) {
    std::vector<std::string> flags = {"--listen=127.0.0.1:0"};
    flags.insert(flags.end(), more_flags.begin(), more_flags.end());
    process_ = StartServer(flags);
    address_ = AddressOf(*process_);
  }

  Process& process() { return *process_; }
  const std::string& address() const { return address_; }  // empty: failed

 private:
  std::unique_ptr<Process> process_;
  std::string address_;
};

struct Ran {
  int exit;
  std::string output, errors;
};

inline Ran RunToEnd(const std::vector<std::string>& arguments) {
  Process process(arguments);
  const int exit = process.Wait();
  return {exit, process.Output(), process.Errors()};
}

}  // namespace e2e

#endif  // ZEROSHOT_TESTS_E2E_PROGRAMS_H_
