#include "server/status_page.h"

#include <httplib.h>
#include <sys/socket.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace zeroshot::server {
namespace {

// Few ask here; a thread or two may be held by one who never finishes asking.
constexpr int kThreads = 4;
constexpr time_t kReadSeconds = 5;

constexpr char kText[] = "text/plain; charset=utf-8";
constexpr char kPrometheusText[] = "text/plain; version=0.0.4; charset=utf-8";

httplib::Server::Handler StatusHandler(std::function<absl::Status()> status,
                                       std::function<std::string()> remarks) {
  return [status = std::move(status), remarks = std::move(remarks)](
             const httplib::Request&, httplib::Response& response) {
    const absl::Status now = status();
    response.status = now.ok() ? 200 : 503;
    response.set_content(
        absl::StrCat(now.ok() ? "ok" : std::string(now.message()), "\n",
                     remarks ? remarks() : ""),
        kText);
  };
}

}  // namespace

StatusPage::StatusPage() : http_(std::make_unique<httplib::Server>()) {}

absl::StatusOr<std::unique_ptr<StatusPage>> StatusPage::Start(
    const std::string& listen, StatusSource source) {
  std::unique_ptr<StatusPage> page(new StatusPage);
  httplib::Server& http = *page->http_;
  http.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  http.set_read_timeout(kReadSeconds);
  http.set_keep_alive_max_count(1);
  // The library's own choice would share the port with whoever asks for it.
  http.set_socket_options([](socket_t socket) {
    const int on = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  });
  http.Get("/metrics",
           [metrics = std::move(source.metrics)](const httplib::Request&,
                                                 httplib::Response& response) {
             response.set_content(metrics(), kPrometheusText);
           });
  http.Get("/livez", StatusHandler(std::move(source.live), nullptr));
  http.Get("/readyz",
           StatusHandler(std::move(source.ready), std::move(source.remarks)));

  const size_t colon = listen.rfind(':');
  absl::string_view host = absl::string_view(listen).substr(0, colon);
  if (absl::ConsumePrefix(&host, "[")) absl::ConsumeSuffix(&host, "]");
  int port = 0;
  const bool bound =
      colon != listen.npos &&
      absl::SimpleAtoi(listen.substr(colon + 1), &port) &&
      (port == 0 ? (port = http.bind_to_any_port(std::string(host))) > 0
                 : http.bind_to_port(std::string(host), port));
  if (!bound) {
    return absl::UnavailableError(absl::StrCat(
        "cannot listen on --metrics_listen=", listen,
        ": the port is in use, or the address is not one of this machine's; "
        "each server on a machine needs a port of its own, and an empty "
        "--metrics_listen= turns the page off"));
  }
  page->port_ = port;
  page->thread_ = std::thread([&http] { http.listen_after_bind(); });
  // stop() does nothing before the loop has begun.
  while (!http.is_running()) std::this_thread::yield();
  return page;
}

StatusPage::~StatusPage() {
  http_->stop();
  if (thread_.joinable()) thread_.join();
}

}  // namespace zeroshot::server
