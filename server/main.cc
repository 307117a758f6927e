// zeroshot_server: options -> port -> model -> serve until SIGTERM or SIGINT.
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/control_group.h"
#include "base/host_port.h"
#include "base/monotonic.h"
#include "clip/model.h"
#include "server/check.h"
#include "server/log.h"
#include "server/options.h"
#include "server/server.h"
#include "server/start_guard.h"
#include "server/status_page.h"
#include "server/stop_signal.h"

// jemalloc reads it (its manual, "TUNING"): an arena a core, and a thread that
// gives back what has not been used for a while. With glibc's allocator builds
// of many sizes left ever more behind.
extern "C" const char* malloc_conf;
const char* malloc_conf = "percpu_arena:percpu,background_thread:true";

namespace zeroshot::server {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

// Of the files that are reloaded when they change.
constexpr absl::Duration kBetweenLooks = absl::Seconds(1);

// With ours beside them. gRPC aborts where it cannot start one.
constexpr int kThreadsOfGrpc = 16;

// After a drain, even if the device never answers again.
constexpr absl::Duration kTimeToEnd = absl::Seconds(10);

// As many files, which connections are too, as the system lets us have.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int Usage(absl::string_view what) {
  const std::string line = absl::StrCat("zeroshot_server: ", what,
                                        "\nTry zeroshot_server --help.\n");
  std::fputs(line.c_str(), stderr);
  return kExitUsage;
}

// The address with the port really listened on.
std::string Address(const std::string& listen, int port) {
  return base::HostPortText({base::ParseHostPort(listen)->host, port});
}

std::string StartLine(const clip::ModelInfo& info, absl::string_view address,
                      absl::Duration load_time) {
  const std::string threads =
      info.threads == 0 ? "" : absl::StrCat(" x ", info.threads);
  return absl::StrFormat(
      "zeroshot %s serving %s (%s, %d-d) on %s%s %s at %s; loaded and warmed "
      "up in %.2f s",
      ZEROSHOT_VERSION, info.name, info.family, info.embedding_dim, info.device,
      threads, info.precision, address, absl::ToDoubleSeconds(load_time));
}

// SIGTERM or SIGINT, or 0 if the server cannot go on. Meanwhile this thread
// looks after the files that may change under a running server.
int WaitForStop(Server* server) {
  while (true) {
    const std::optional<int> signal = WaitForSignal(kBetweenLooks);
    const bool asked = signal == SIGHUP;
    if (signal.has_value() && !asked) return *signal;
    if (asked) {
      spdlog::info(
          "SIGHUP: tokens and certificates are reloaded; other flags need a "
          "restart");
    }
    server->ReloadFiles(asked);
  }
}

int PrintCheck(const Options& options) {
  const absl::StatusOr<std::string> found = Check(options);
  if (!found.ok()) {
    std::fprintf(stderr, "zeroshot_server: %s\n",
                 std::string(found.status().message()).c_str());
    return kExitFailed;
  }
  std::fputs(found->c_str(), stdout);
  return 0;
}

// The kernel kills without a word: then this line is the last.
void WarnOfMemory(const Options& options) {
  const auto info = clip::Model::Inspect(options.model, options.tower);
  if (!info.ok()) return;
  const std::string warning = MemoryWarning(*info);
  if (!warning.empty()) spdlog::warn("{}", warning);
}

int Run(const CommandLine& asked) {
  const Options& options = asked.options;
  StartLog(options.log_format, options.log_level);
  for (const std::string& warning : asked.warnings) {
    spdlog::warn("{}", warning);
  }
  ExitOnStopSignals();
  // A reader of the log that goes away must not end the server, nor a file
  // that may not grow: the writer is told.
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  RaiseFileLimit();
  if (!base::CanStartThreads(kThreadsOfGrpc)) {
    spdlog::error("{} threads cannot be started; {}", kThreadsOfGrpc,
                  kMoreMemory);
    return kExitFailed;
  }
  ServerOptions limits = options.server;
  if (!options.max_inflight_asked_for) {
    // A device that is missing is reported when the model is loaded.
    const auto devices = clip::Model::Devices(options.tower);
    if (devices.ok()) limits.max_inflight = InflightFor(options, *devices);
  }
  absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(limits, &Fail);
  if (!server.ok()) {
    spdlog::error("{}", std::string(server.status().message()));
    return kExitFailed;
  }
  std::unique_ptr<StatusPage> page;
  if (!options.metrics_listen.empty()) {
    auto started =
        StatusPage::Start(options.metrics_listen, (*server)->status_source());
    if (started.ok()) {
      page = *std::move(started);
      spdlog::info("metrics and health at http://{}",
                   Address(options.metrics_listen, page->port()));
    } else if (options.metrics_asked_for) {
      spdlog::error("{}", std::string(started.status().message()));
      return kExitFailed;
    } else {
      spdlog::warn("{}; going on without /metrics, /livez and /readyz",
                   std::string(started.status().message()));
    }
  }
  if (const absl::Status http = (*server)->ListenHttp(); http.ok()) {
    if ((*server)->http_port() != 0) {
      spdlog::info("HTTP at {}://{}",
                   options.server.security.tls_cert.empty() ? "http" : "https",
                   Address(options.server.http_listen, (*server)->http_port()));
    }
  } else if (options.http_asked_for) {
    spdlog::error("{}", std::string(http.message()));
    return kExitFailed;
  } else {
    spdlog::warn("{}; going on without HTTP", std::string(http.message()));
  }
  const std::string address = Address(options.server.listen, (*server)->port());
  const std::string http_address =
      (*server)->http_port() == 0
          ? ""
          : Address(options.server.http_listen, (*server)->http_port());
  for (const std::string& listened : {address, http_address}) {
    if (listened.empty() || !options.server.security.tls_cert.empty() ||
        IsLoopback(listened)) {
      continue;
    }
    spdlog::warn(
        "{} is plain text: whoever is on the way can read images and "
        "answers; --tls_cert and --tls_key turn TLS on",
        listened);
  }
  spdlog::info("listening on {}, loading the model", address);

  WarnOfMemory(options);
  const absl::Time start = base::MonotonicNow();
  absl::StatusOr<std::unique_ptr<clip::Model>> model =
      clip::Model::Load(options.model, options.tower);
  if (!model.ok()) {
    const bool memory =
        absl::IsResourceExhausted(model.status()) ||
        (absl::IsInternal(model.status()) && AddressSpaceIsLimited());
    spdlog::error("cannot load the model: {}{}",
                  std::string(model.status().message()),
                  memory ? absl::StrCat("; ", kMoreMemory) : "");
    return kExitFailed;
  }
  const clip::ModelInfo info = (*model)->info();
  const std::string line =
      StartLine(info, address, base::MonotonicNow() - start);
  EndStartGuard();
  // A signal still ends the program at once, even if the device hangs.
  if (absl::Status ready = (*server)->Prepare(*std::move(model)); !ready.ok()) {
    spdlog::error("cannot serve: {}", std::string(ready.message()));
    // Nothing that waits for the device ends.
    ExitAtLatestIn(1);
    return kExitFailed;
  }
  CatchStopSignals();
  (*server)->Open();
  spdlog::info("{}", line);
  if (info.is_demo) {
    spdlog::warn(
        "this is the demo model: it knows pictograms and simple objects, not "
        "the world; --model=PATH serves another one");
  }
  for (const std::string& warning : info.warnings) {
    spdlog::warn("the model: {}", warning);
  }
  for (const clip::Device& device : info.devices) {
    if (!device.card.empty()) spdlog::info("{}: {}", device.name, device.card);
  }
  if (!info.graphs.empty()) spdlog::info("{}", info.graphs);
  if (!info.why_no_gpu.empty()) {
    spdlog::warn("serving on the CPU, because {}", info.why_no_gpu);
  }

  const int stop_signal = WaitForStop(server->get());
  // SIGINT comes from a person, not a load balancer; an unreachable server
  // needs no grace.
  const absl::Duration grace =
      stop_signal == SIGTERM ? options.drain_grace : absl::ZeroDuration();
  spdlog::info(
      "{}: draining, {} of grace and up to {} for calls inside",
      stop_signal == 0 ? "failed" : absl::StrCat("signal ", stop_signal),
      absl::FormatDuration(grace), absl::FormatDuration(options.drain_timeout));
  ExitAtLatestIn(static_cast<int>(
      absl::ToInt64Seconds(grace + options.drain_timeout + kTimeToEnd)));
  const int cut_off = (*server)->Drain(grace, options.drain_timeout);
  if (cut_off > 0) spdlog::warn("stopped; {} calls were cut off", cut_off);
  if (cut_off == 0) spdlog::info("stopped; every call was finished");
  return stop_signal == 0 ? kExitFailed : 0;
}

int Main(const std::vector<std::string>& arguments) {
  const absl::StatusOr<CommandLine> asked =
      ReadCommandLine(arguments, ProcessEnvironment());
  if (!asked.ok()) return Usage(asked.status().message());
  switch (asked->action) {
    case CommandLine::Action::kPrint:
      std::fputs(asked->text.c_str(), stdout);
      return 0;
    case CommandLine::Action::kCheck:
      for (const std::string& warning : asked->warnings) {
        std::fprintf(stderr, "warning: %s\n", warning.c_str());
      }
      return PrintCheck(asked->options);
    case CommandLine::Action::kServe:
      return Run(*asked);
  }
  return kExitUsage;
}

}  // namespace
}  // namespace zeroshot::server

int main(int argc, char** argv) {
  using namespace zeroshot::server;
  try {
    const int status = Main({argv + 1, argv + argc});
    FlushLog();
    EndStartGuard();
    return status;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "zeroshot_server: %s\n", error.what());
    // The start guard says what to do about a thread that cannot be started.
    const auto* const system = dynamic_cast<const std::system_error*>(&error);
    if (system == nullptr ||
        system->code() != std::errc::resource_unavailable_try_again) {
      EndStartGuard();
    }
    return kExitFailed;
  }
}
