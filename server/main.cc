// zeroshot_server: options -> port -> model -> serve until SIGTERM or SIGINT.
#include <malloc.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/parse.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "clip/model.h"
#include "clip/monotonic.h"
#include "server/log.h"
#include "server/options.h"
#include "server/server.h"
#include "server/status_page.h"
#include "server/stop_signal.h"

namespace zeroshot::server {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

// After a drain, even if the device never answers again.
constexpr absl::Duration kTimeToEnd = absl::Seconds(10);

// As many files, which connections are too, as the system lets us have.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// oneDNN and LibTorch's wrapper of it keep what they prepare for every number
// of rows that a product has had, 1,024 of each unless told otherwise: with the
// demo model 7 MB for each number, which steps of text can have hundreds of.
// Pictures need theirs, for every size of a batch: with 64 the demo model's
// convolutions were prepared anew all the time, at a third of the speed.
void BoundPreparedProducts() {
  constexpr char kMost[] = "256";
  for (const char* name :
       {"ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"}) {
    setenv(name, kMost, /*overwrite=*/0);
  }
}

// What is freed in one of glibc's arenas serves no other, and there are up to
// 8 a core of them: one a core takes a third less memory and soon grows no
// more.
void BoundArenas() {
#ifdef M_ARENA_MAX
  if (std::getenv("MALLOC_ARENA_MAX") != nullptr) return;
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  mallopt(M_ARENA_MAX, std::max(2, cores));
#endif
}

int Usage(absl::string_view what) {
  const std::string line = absl::StrCat("zeroshot_server: ", what,
                                        "\nTry zeroshot_server --help.\n");
  std::fputs(line.c_str(), stderr);
  return kExitUsage;
}

// The address with the port really listened on.
std::string Address(const std::string& listen, int port) {
  return absl::StrCat(listen.substr(0, listen.rfind(':')), ":", port);
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

int Run(const Options& options) {
  StartLog(options.log_format, options.log_level);
  ExitOnStopSignals();
  // A reader of the log that goes away must not end the server, nor a file
  // that may not grow: the writer is told.
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  RaiseFileLimit();
  absl::StatusOr<std::unique_ptr<Server>> server =
      Server::Start(options.server, &Fail);
  if (!server.ok()) {
    spdlog::error("{}", std::string(server.status().message()));
    return kExitFailed;
  }
  std::unique_ptr<StatusPage> page;
  if (!options.metrics_listen.empty()) {
    auto started =
        StatusPage::Start(options.metrics_listen, (*server)->status_source());
    if (!started.ok()) {
      spdlog::error("{}", std::string(started.status().message()));
      return kExitFailed;
    }
    page = *std::move(started);
    spdlog::info("metrics and health at http://{}",
                 Address(options.metrics_listen, page->port()));
  }
  const std::string address = Address(options.server.listen, (*server)->port());
  if (options.server.security.tls_cert.empty() &&
      !IsLoopback(options.server.listen)) {
    spdlog::warn(
        "{} is plain text: whoever is on the way can read pictures and "
        "answers; --tls_cert and --tls_key turn TLS on",
        address);
  }
  spdlog::info("listening on {}, loading the model", address);

  const absl::Time start = clip::MonotonicNow();
  absl::StatusOr<std::unique_ptr<clip::Model>> model =
      clip::Model::Load(options.model, options.tower);
  if (!model.ok()) {
    spdlog::error("cannot load the model: {}",
                  std::string(model.status().message()));
    return kExitFailed;
  }
  const std::string line =
      StartLine((*model)->info(), address, clip::MonotonicNow() - start);
  CatchStopSignals();
  (*server)->Serve(*std::move(model));
  spdlog::info("{}", line);

  const int stop_signal = WaitForStopSignal();
  // Whoever presses Ctrl-C is no load balancer; who cannot be reached needs
  // no grace.
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

}  // namespace
}  // namespace zeroshot::server

int main(int argc, char** argv) {
  using namespace zeroshot::server;
  BoundPreparedProducts();  // before there are threads
  BoundArenas();
  SetUpFlagUsage();
  const std::vector<char*> rest = absl::ParseCommandLine(argc, argv);
  if (rest.size() > 1) {
    return Usage(absl::StrCat("unexpected argument '", rest[1], "'"));
  }
  const absl::StatusOr<Options> options = OptionsFromFlags();
  if (!options.ok()) return Usage(options.status().message());
  return Run(*options);
}
