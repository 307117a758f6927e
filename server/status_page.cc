#include "server/status_page.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/monotonic.h"
#include "base/no_throw.h"
#include "server/listening_socket.h"

namespace zeroshot::server {
namespace {

// After the system gave no socket for a connection that waits.
constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);
// Accepted in a row, before those that are there have their turn.
constexpr int kAcceptAtOnce = 64;

constexpr absl::string_view kText = "text/plain; charset=utf-8";
constexpr absl::string_view kPrometheusText =
    "text/plain; version=0.0.4; charset=utf-8";

}  // namespace

bool StatusPage::Listen(const std::string& listen) {
  listener_ = OpenListeningSocket(listen);
  if (listener_ < 0) return false;
  port_ = PortOf(listener_);
  return true;
}

bool StatusPage::MakeWakeUp() {
  wake_up_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  return wake_up_ >= 0;
}

absl::StatusOr<std::unique_ptr<StatusPage>> StatusPage::Start(
    const std::string& listen, StatusSource source, absl::Duration max_time) {
  std::unique_ptr<StatusPage> page(new StatusPage(std::move(source), max_time));
  if (!page->Listen(listen) || !page->MakeWakeUp()) {
    return absl::UnavailableError(absl::StrCat(
        "cannot listen on --metrics_listen=", listen,
        ": the port is in use, or the address is not one of this machine's; "
        "each server on a machine needs a port of its own, and an empty "
        "--metrics_listen= turns the page off"));
  }
  page->serving_ = std::thread([page = page.get()] { page->Serve(); });
  page->rendering_ = std::thread([page = page.get()] { page->WriteMetrics(); });
  return page;
}

StatusPage::~StatusPage() {
  {
    base::MutexLock lock(&mu_);
    stopped_ = true;
  }
  asked_or_stopped_.NotifyAll();
  if (wake_up_ >= 0) eventfd_write(wake_up_, 1);
  if (serving_.joinable()) serving_.join();
  if (rendering_.joinable()) rendering_.join();
  connections_.clear();
  if (listener_ >= 0) close(listener_);
  if (wake_up_ >= 0) close(wake_up_);
}

bool StatusPage::stopped() {
  base::MutexLock lock(&mu_);
  return stopped_;
}

void StatusPage::WriteMetrics() {
  while (true) {
    int64_t asked = 0;
    {
      base::MutexLock lock(&mu_);
      while (!stopped_ && asked_ == rendered_) asked_or_stopped_.Wait(&mu_);
      if (stopped_) return;
      asked = asked_;
    }
    absl::StatusOr<std::string> text = base::NoThrow(
        "the metrics",
        [this]() -> absl::StatusOr<std::string> { return source_.metrics(); });
    {
      base::MutexLock lock(&mu_);
      metrics_ = std::move(text);
      rendered_ = asked;
    }
    eventfd_write(wake_up_, 1);
  }
}

void StatusPage::AskForMetrics(StatusConnection* connection) {
  {
    base::MutexLock lock(&mu_);
    connection->ticket = ++asked_;
  }
  asked_or_stopped_.NotifyAll();
}

void StatusPage::AnswerMetrics() {
  int64_t rendered = 0;
  absl::StatusOr<std::string> text;
  {
    base::MutexLock lock(&mu_);
    rendered = rendered_;
    text = metrics_;
  }
  for (StatusConnection& connection : connections_) {
    if (connection.ticket == 0 || connection.ticket > rendered) continue;
    connection.ticket = 0;
    if (text.ok()) {
      connection.Answer("200 OK", kPrometheusText, *text);
    } else {
      connection.Answer("503 Service Unavailable", kText,
                        absl::StrCat(text.status().message(), "\n"));
    }
  }
}

void StatusPage::Answer(StatusConnection* connection, const std::string& path) {
  if (path == "/metrics") return AskForMetrics(connection);
  const bool live = path == "/livez";
  if (!live && path != "/readyz") {
    connection->Answer("404 Not Found", kText,
                       "the pages are /metrics, /livez and /readyz\n");
    return;
  }
  const absl::Status status = live ? source_.live() : source_.ready();
  connection->Answer(
      status.ok() ? "200 OK" : "503 Service Unavailable", kText,
      absl::StrCat(status.ok() ? "ok" : std::string(status.message()), "\n",
                   !live && source_.remarks ? source_.remarks() : ""));
}

void StatusPage::Read(StatusConnection* connection) {
  std::string path;
  if (connection->Read(&path)) Answer(connection, path);
}

void StatusPage::CloseOne() {
  std::map<absl::string_view, int> of_peer;
  int most = 0;
  for (const StatusConnection& connection : connections_) {
    most = std::max(most, ++of_peer[connection.peer()]);
  }
  connections_.erase(std::find_if(connections_.begin(), connections_.end(),
                                  [&](const StatusConnection& connection) {
                                    return of_peer[connection.peer()] == most;
                                  }));
}

void StatusPage::AcceptAll() {
  for (int i = 0; i < kAcceptAtOnce; ++i) {
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    const int fd = accept4(listener_, reinterpret_cast<sockaddr*>(&address),
                           &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return;
      // No descriptor, say: one of ours makes room, and a pause keeps a loop
      // that finds none from spinning.
      if (!connections_.empty()) CloseOne();
      accept_again_ = base::MonotonicNow() + kAcceptPause;
      return;
    }
    if (connections_.size() >= kMaxConnections) CloseOne();
    connections_.emplace_back(fd, HostOf(address, size),
                              base::MonotonicNow() + max_time_);
    // A real client has sent its request by now, and no flood of others comes
    // between.
    Read(&connections_.back());
    if (connections_.back().state() == StatusConnection::State::kClosed) {
      connections_.pop_back();
    }
  }
}

void StatusPage::Serve() {
  std::vector<pollfd> waits;
  while (!stopped()) {
    absl::Time now = base::MonotonicNow();
    const bool accepting = now >= accept_again_;
    absl::Time next = accepting ? absl::InfiniteFuture() : accept_again_;
    waits.assign({{wake_up_, POLLIN, 0},
                  {listener_, static_cast<short>(accepting ? POLLIN : 0), 0}});
    for (const StatusConnection& connection : connections_) {
      waits.push_back({connection.fd(), connection.events(), 0});
      next = std::min(next, connection.deadline());
    }
    const int timeout = next == absl::InfiniteFuture()
                            ? -1
                            : static_cast<int>(absl::ToInt64Milliseconds(
                                  std::max(next - now, absl::ZeroDuration()) +
                                  absl::Milliseconds(1)));
    poll(waits.data(), waits.size(), timeout);
    if (waits[0].revents != 0) {
      eventfd_t count = 0;
      eventfd_read(wake_up_, &count);
      AnswerMetrics();
    }
    now = base::MonotonicNow();
    size_t i = 2;
    for (auto it = connections_.begin(); it != connections_.end(); ++i) {
      if ((waits[i].revents & POLLOUT) != 0) it->Write();
      if ((waits[i].revents & POLLIN) != 0) Read(&*it);
      // Told whether asked for or not, for as long as it is so.
      const bool gone = (waits[i].revents & (POLLERR | POLLNVAL)) != 0 ||
                        ((waits[i].revents & POLLHUP) != 0 &&
                         (waits[i].revents & POLLIN) == 0);
      it = gone || now >= it->deadline() ||
                   it->state() == StatusConnection::State::kClosed
               ? connections_.erase(it)
               : std::next(it);
    }
    if (accepting && waits[1].revents != 0) AcceptAll();
  }
}

}  // namespace zeroshot::server
