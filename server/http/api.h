// Answers the requests of the HTTP API: finds the route, lets the caller in or
// not before a byte of the body is read, and makes a call of
// zeroshot.v1.ZeroShot of it (server/http/inside_calls.h).
#ifndef ZEROSHOT_SERVER_HTTP_API_H_
#define ZEROSHOT_SERVER_HTTP_API_H_

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "server/calls.h"
#include "server/http/exchange.h"
#include "server/http/inside_calls.h"
#include "server/http/json_message.h"
#include "server/http/routes.h"
#include "server/metrics.h"
#include "server/options.h"
#include "server/request_limits.h"
#include "server/status_page.h"
#include "server/tokens.h"

namespace zeroshot::server::http {

// Thread rule: every method may be called from many threads at once.
class Api final : public Handler {
 public:
  // Of --receive_memory_bytes, what bodies of requests may take together: a
  // quarter, or less where gRPC needs more.
  static int64_t BodyMemoryOf(const ServerOptions& options);

  // Borrows all but the options; `tokens` is null where anyone may call.
  Api(const ServerOptions& options, Tokens* tokens, Calls* calls,
      Metrics* metrics, InsideCalls* inside, StatusSource status);
  ~Api() override;

  // Lets go of all who wait. REQUIRES: no request begins any more.
  void Stop();

  std::shared_ptr<Exchange> Begin(
      const Request& request,
      const std::shared_ptr<Responder>& responder) override;
  void Refused(const Request& request, const absl::Status& why) override;
  void AddHeaders(const Request& request, Response* response) override;

  // For exchanges.
  const ServerOptions& options() const { return options_; }
  const MostItems& most_items() const { return most_items_; }
  InsideCalls& inside() { return *inside_; }
  // The model served. REQUIRES: a request has been let in.
  const clip::ModelInfo& model() const {
    return calls_->engine()->model->info();
  }
  // Counts and logs a request that was refused before it became a call.
  void LogRefused(absl::string_view method, const Request& request,
                  const absl::Status& why, absl::Duration took);

 private:
  std::shared_ptr<Exchange> BeginRoute(
      const Match& match, const Request& request,
      const std::shared_ptr<Responder>& responder);
  // OK, or why this caller may not call this.
  absl::Status LetIn(const Route& route, const Request& request);
  void AnswerHealth(bool live, Responder* responder);
  void AnswerMetrics(std::shared_ptr<Responder> responder);
  void RenderMetrics();  // a thread of its own: a scrape may take its time

  const ServerOptions options_;
  Tokens* const tokens_;
  Calls* const calls_;
  Metrics* const metrics_;
  InsideCalls* const inside_;
  const StatusSource status_;
  const RequestLimits limits_;
  const MostItems most_items_;

  base::Mutex mu_;
  base::CondVar asked_or_stopped_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  // Those who asked for the metrics; one render is for all of them.
  std::vector<std::shared_ptr<Responder>> asked_ ABSL_GUARDED_BY(mu_);
  std::thread rendering_;  // last: starts when all else stands
};

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_API_H_
