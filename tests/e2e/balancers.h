// Two servers with the demo model, and the three ways by which deploy/README.md
// has calls balanced over them.
#ifndef ZEROSHOT_TESTS_E2E_BALANCERS_H_
#define ZEROSHOT_TESTS_E2E_BALANCERS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/programs.h"
#include "tests/testing/free_port.h"

namespace e2e {

// A server at one address for good, through all its restarts.
struct Replica {
  std::string host = "127.0.0.1";
  int port = testing::FreePort(host);
  int status_port = testing::FreePort(host);
  std::vector<std::string> more_flags;
  std::unique_ptr<DemoServer> server;

  void Start();
  void Stop();                 // as an orchestrator does: SIGTERM, and waits
  int64_t EmbedImagesCalls();  // that went well, as its metrics say
};

// What stands before the two.
enum class Balancer { kHaproxy, kEnvoy, kDns };

// Where the program is; empty if it is not on this machine.
std::string ProgramOf(Balancer balancer);

// A balancer that runs, and what a client connects to.
struct Running {
  std::unique_ptr<Process> process;
  std::string target;
  std::string hosts_file;  // of kDns
};
Running Start(Balancer balancer, const Replica& a, const Replica& b);

// From now on kDns's name stands for these.
void SetAddresses(const Running& dns, const std::vector<std::string>& hosts);

}  // namespace e2e

#endif  // ZEROSHOT_TESTS_E2E_BALANCERS_H_
