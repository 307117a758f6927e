// The pages for those who look after the server, on a port of their own:
// /metrics for Prometheus, /livez and /readyz for an orchestrator.
#ifndef ZEROSHOT_SERVER_STATUS_PAGE_H_
#define ZEROSHOT_SERVER_STATUS_PAGE_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace httplib {
class Server;
}

namespace zeroshot::server {

// What the pages show; called on the page's threads.
struct StatusSource {
  std::function<std::string()> metrics;  // Prometheus' text format
  std::function<absl::Status()> live;    // not OK: only a restart helps
  std::function<absl::Status()> ready;   // not OK: send calls elsewhere
  // Lines that /readyz adds to its answer, whatever that is; may be null.
  std::function<std::string()> remarks = nullptr;
};

// Answers 200, or 503 with the message of a status that is not OK.
// Thread rule: pages are served by threads of its own until it is destroyed.
class StatusPage {
 public:
  // `listen` is HOST:PORT; port 0 takes any free one.
  // Unavailable: the address is in use or not of this machine.
  static absl::StatusOr<std::unique_ptr<StatusPage>> Start(
      const std::string& listen, StatusSource source);
  ~StatusPage();

  int port() const { return port_; }

 private:
  StatusPage();

  const std::unique_ptr<httplib::Server> http_;
  int port_ = 0;
  std::thread thread_;
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_STATUS_PAGE_H_
