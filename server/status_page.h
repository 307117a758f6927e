// The pages for those who look after the server, on a port of their own:
// /metrics for Prometheus, /livez and /readyz for an orchestrator.
//
// The port has neither TLS nor tokens, so that a peer may be anyone: it may
// send slowly, endlessly, or open many connections. One thread serves all of
// them and waits for none. What a peer can take is bounded: kMaxConnections
// connections of kMaxHeadBytes each, for kMaxTime each.
#ifndef ZEROSHOT_SERVER_STATUS_PAGE_H_
#define ZEROSHOT_SERVER_STATUS_PAGE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "server/status_connection.h"

namespace zeroshot::server {

// What the pages show. `live`, `ready` and `remarks` are called on the thread
// that serves every connection: they must be quick. `metrics` has a thread of
// its own.
struct StatusSource {
  std::function<std::string()> metrics;  // Prometheus' text format
  std::function<absl::Status()> live;    // not OK: only a restart helps
  std::function<absl::Status()> ready;   // not OK: send calls elsewhere
  // Lines that /readyz adds to its answer, whatever that is; may be null.
  std::function<std::string()> remarks = nullptr;
};

// Answers GET and HEAD over HTTP/1 with 200, or 503 with the message of a
// status that is not OK, and closes the connection. The body of a request is
// not read. Thread rule: pages are served by threads of its own until it is
// destroyed.
class StatusPage {
 public:
  // Connections at once. One more closes the oldest of the peer that has most.
  static constexpr size_t kMaxConnections = 256;
  // From the accepted connection to the answer's last byte.
  static constexpr absl::Duration kMaxTime = absl::Seconds(10);

  // `listen` is HOST:PORT; port 0 takes any free one. `max_time`: as above.
  // Unavailable: the address is in use or not of this machine.
  static absl::StatusOr<std::unique_ptr<StatusPage>> Start(
      const std::string& listen, StatusSource source,
      absl::Duration max_time = kMaxTime);
  ~StatusPage();

  int port() const { return port_; }

 private:
  StatusPage(StatusSource source, absl::Duration max_time)
      : source_(std::move(source)), max_time_(max_time) {}

  // Both return false if the system gives no socket for it.
  bool Listen(const std::string& listen);
  bool MakeWakeUp();

  void Serve();         // the thread of all connections
  void WriteMetrics();  // the thread that renders /metrics
  void AcceptAll();
  void CloseOne();
  // Reads what is there and answers what is asked.
  void Read(StatusConnection* connection);
  void Answer(StatusConnection* connection, const std::string& path);
  // Renders are shared: one answers all who asked before it began.
  void AskForMetrics(StatusConnection* connection);
  void AnswerMetrics();
  bool stopped();

  const StatusSource source_;
  const absl::Duration max_time_;
  int listener_ = -1;
  int wake_up_ = -1;  // an eventfd: rendered, or stopped
  int port_ = 0;
  std::list<StatusConnection> connections_;  // the oldest first; of the thread
  absl::Time accept_again_ = absl::InfinitePast();

  base::Mutex mu_;
  base::CondVar asked_or_stopped_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  int64_t asked_ ABSL_GUARDED_BY(mu_) = 0;     // times, for /metrics
  int64_t rendered_ ABSL_GUARDED_BY(mu_) = 0;  // how many of these
  absl::StatusOr<std::string> metrics_ ABSL_GUARDED_BY(mu_);  // the latest
  std::thread serving_, rendering_;
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_STATUS_PAGE_H_
