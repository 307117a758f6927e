#include "server/options.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/host_port.h"
#include "base/program_pages.h"
#include "base/quantities.h"
#include "server/find_model.h"
#include "server/option_flags.h"

namespace zeroshot::server {
namespace {

// Next to no weight set fits into less.
constexpr int64_t kSmallestStore = int64_t{1} << 20;

absl::Status CheckListen(const Flags& flags, absl::string_view flag,
                         absl::string_view listen) {
  if (base::ParseHostPort(listen).has_value()) return absl::OkStatus();
  return flags.NotAllowed(flag,
                          "HOST:PORT with a port from 0 to 65535, such as "
                          "127.0.0.1:50051 or [::]:50051");
}

absl::Status CheckDevice(const Flags& flags, absl::string_view device) {
  if (device == "auto" || device == "cpu" || device == "cuda") {
    return absl::OkStatus();
  }
  if (absl::ConsumePrefix(&device, "cuda:")) {
    bool all_numbers = true;
    for (absl::string_view index : absl::StrSplit(device, ',')) {
      all_numbers = all_numbers && !index.empty() &&
                    index.find_first_not_of("0123456789") == index.npos;
    }
    if (all_numbers) return absl::OkStatus();
  }
  return flags.NotAllowed("device", "auto, cpu, cuda or cuda:N[,N...]");
}

// Half a configuration would leave open what was meant to be shut.
absl::Status CheckSecurity(const Flags& flags, const ServerOptions& options) {
  const SecurityOptions& security = options.security;
  if (security.tls_cert.empty() != security.tls_key.empty()) {
    return flags.NotAllowed(
        security.tls_cert.empty() ? "tls_cert" : "tls_key",
        "a file, because --tls_cert and --tls_key go together");
  }
  const bool tls = !security.tls_cert.empty();
  if (!tls && !security.tls_client_ca.empty()) {
    return flags.NotAllowed("tls_client_ca",
                            "used with --tls_cert and --tls_key");
  }
  if (tls || security.auth_tokens.empty()) return absl::OkStatus();
  for (const auto& [flag, address] :
       {std::pair("listen", options.listen),
        std::pair("http_listen", options.http_listen)}) {
    if (address.empty() || IsLoopback(address)) continue;
    return flags.NotAllowed(
        "auth_tokens",
        absl::StrCat("used with --tls_cert and --tls_key, or with a loopback "
                     "address for --",
                     flag, "=", address,
                     ": else tokens could be read on their way"));
  }
  return absl::OkStatus();
}

// An origin is a scheme and a host, and a port where it is not the scheme's.
absl::Status ReadOrigins(const Flags& flags, const FlagExtras& extras,
                         ServerOptions* out) {
  for (absl::string_view origin :
       absl::StrSplit(extras.http_cors_origins, ',', absl::SkipWhitespace())) {
    origin = absl::StripAsciiWhitespace(origin);
    const size_t scheme = origin.find("://");
    if (origin != "*" && (scheme == origin.npos ||
                          origin.find('/', scheme + 3) != origin.npos)) {
      return flags.NotAllowed("http_cors_origins",
                              "origins such as https://app.example or "
                              "http://localhost:3000, or *");
    }
    out->http_cors_origins.emplace_back(origin);
  }
  return absl::OkStatus();
}

absl::Status ReadRedis(const Flags& flags, const FlagExtras& extras,
                       ServerOptions* out) {
  if (extras.redis_url.empty()) return absl::OkStatus();
  absl::StatusOr<stores::RedisOptions> redis =
      stores::ParseRedisUrl(extras.redis_url);
  if (!redis.ok()) {
    return flags.NotAllowed(
        "redis",
        "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for "
        "TLS");
  }
  if (!redis->tls && !extras.redis.ca_file.empty()) {
    return flags.NotAllowed("redis_ca", "used with rediss://");
  }
  redis->timeout = extras.redis.timeout;
  redis->ca_file = extras.redis.ca_file;
  out->redis = *std::move(redis);
  return absl::OkStatus();
}

absl::Status CheckTracing(const Flags& flags, const TracingOptions& options) {
  absl::string_view address = options.otlp_endpoint;
  if (address.empty()) return absl::OkStatus();
  const bool has_scheme = absl::ConsumePrefix(&address, "http://") ||
                          absl::ConsumePrefix(&address, "https://");
  const auto parsed = base::ParseHostPort(address);
  if (!has_scheme || !parsed.has_value() || parsed->port == 0) {
    return flags.NotAllowed("otlp_endpoint",
                            "http://HOST:PORT or https://HOST:PORT of a "
                            "collector that takes OTLP over gRPC, such as "
                            "http://localhost:4317");
  }
  if (CanTrace()) return absl::OkStatus();
  return flags.Wrong(
      "otlp_endpoint",
      ": this zeroshot_server was built without OpenTelemetry. "
      "Build it where opentelemetry-cpp-dev is installed (Debian "
      "13 has it), or start it without the flag");
}

absl::Status CheckLimits(const Flags& flags, const ServerOptions& options) {
  if (options.memory_store_bytes < kSmallestStore &&
      options.disk_store.empty() && !options.redis.has_value()) {
    return flags.NotAllowed(
        "memory_store_bytes",
        absl::StrCat(base::BytesText(kSmallestStore),
                     " or more: what is built has to fit into it, unless "
                     "--disk_store or --redis keeps it"));
  }
  const auto request = absl::StrCat("--max_request_bytes=",
                                    base::BytesText(options.max_request_bytes));
  if (options.receive_memory_bytes < 2 * options.max_request_bytes) {
    return flags.NotAllowed(
        "receive_memory_bytes",
        absl::StrCat("at least twice ", request, "; it is ",
                     base::BytesText(options.receive_memory_bytes)));
  }
  if (options.embedder.max_image_bytes > options.max_request_bytes) {
    return flags.NotAllowed(
        "max_image_bytes",
        absl::StrCat("at most ", request, "; it is ",
                     base::BytesText(options.embedder.max_image_bytes)));
  }
  return absl::OkStatus();
}

absl::Status ReadImageFormats(const Flags& flags, const FlagExtras& extras,
                              ServerOptions* out) {
  const auto formats = clip::ImageFormats::Parse(extras.image_formats);
  if (!formats.ok()) {
    return flags.Wrong("image_formats",
                       absl::StrCat(": ", formats.status().message()));
  }
  out->embedder.decode.formats = *formats;
  return absl::OkStatus();
}

// What no flag alone can tell. Completes `out`.
absl::Status Finish(const Flags& flags, const FlagExtras& extras,
                    Options* out) {
  absl::Status status = CheckListen(flags, "listen", out->server.listen);
  if (!out->metrics_listen.empty()) {
    status.Update(CheckListen(flags, "metrics_listen", out->metrics_listen));
  }
  if (!out->server.http_listen.empty()) {
    status.Update(CheckListen(flags, "http_listen", out->server.http_listen));
  }
  out->http_asked_for = flags.IsSet("http_listen");
  status.Update(ReadOrigins(flags, extras, &out->server));
  out->metrics_asked_for = flags.IsSet("metrics_listen");
  out->max_inflight_asked_for = flags.IsSet("max_inflight");
  status.Update(CheckDevice(flags, out->tower.device));
  status.Update(CheckSecurity(flags, out->server));
  status.Update(ReadRedis(flags, extras, &out->server));
  status.Update(CheckTracing(flags, out->server.tracing));
  status.Update(CheckLimits(flags, out->server));
  status.Update(ReadImageFormats(flags, extras, &out->server));
  out->tower.max_batch = out->server.embedder.max_batch;
  out->server.embedder.max_text_bytes = out->server.build.max_text_bytes;
  if (!status.ok()) return status;
  if (out->model.empty()) {
    return flags.NotAllowed("model",
                            "a checkpoint's path, or the name of a model such "
                            "as demo; is a variable empty?");
  }
  absl::StatusOr<std::string> model = FindModel(out->model);
  if (!model.ok()) {
    return flags.Wrong("model", absl::StrCat(": ", model.status().message()));
  }
  out->model = *std::move(model);
  return absl::OkStatus();
}

// Everything that --help and the man page say.
base::ProgramPage Page(const Flags& flags) {
  base::ProgramPage page;
  page.name = "zeroshot_server";
  page.version = ZEROSHOT_VERSION;
  page.summary = "serve CLIP zero-shot image classification over gRPC";
  page.usage = "[--FLAG=VALUE...]";
  page.topics = flags.Pages();
  page.sections = {
      {"Values",
       "A SIZE is a number of bytes. K, M, G and T after it are powers of 1024 "
       "(512M, 1.5GiB). A TIME is a number of seconds (25, 0.5) or has units "
       "(500ms, 1m30s, 2h). A switch is --NAME or --NAME=true, --noNAME or "
       "--NAME=false."},
      {"Environment",
       "Every flag but those that print something is also read from the "
       "environment: --log_level is ZEROSHOT_LOG_LEVEL. The command line wins "
       "over the file that --flagfile names, the file over the environment, "
       "the environment over the default."},
      {"Signals",
       "SIGTERM drains: calls are taken for --drain_grace and finished for "
       "--drain_timeout, then the program exits with status 0. SIGINT drains "
       "without the grace. A second one of them exits at once. SIGHUP reloads "
       "tokens and certificates; other flags need a restart."},
      {"Exit status",
       "0: drained, or --check found nothing wrong. 1: the server could not "
       "start or go on. 2: a flag, or a file that one names, is wrong."},
      {"Examples",
       "    zeroshot_server --model=models/ViT-B-32.pt --listen=0.0.0.0:50051\n"
       "    zeroshot_server --flagfile=server.flags --check"},
      {"See also", "zeroshot_client(1)"}};
  return page;
}

std::string Help(const Flags& flags) {
  return absl::StrCat(
      "zeroshot_server serves CLIP zero-shot image classification over "
      "gRPC.\n\nUsage: zeroshot_server [--FLAG=VALUE...]\n\n",
      base::FlagTable(flags.Pages()),
      "\nSIZE: bytes, or 512M, 1.5GiB (powers of 1024). TIME: seconds, or "
      "500ms, 1m30s.\nEvery flag is also read from the environment: "
      "--log_level is ZEROSHOT_LOG_LEVEL.\nExit codes: 0 drained, 1 the server "
      "could not start or go on, 2 a flag is wrong.\n");
}

bool Asks(const std::vector<std::string>& arguments,
          std::initializer_list<absl::string_view> spellings) {
  return std::find_first_of(arguments.begin(), arguments.end(),
                            spellings.begin(),
                            spellings.end()) != arguments.end();
}

}  // namespace

bool IsLoopback(absl::string_view address) {
  const auto parsed = base::ParseHostPort(address);
  return parsed.has_value() && base::IsLoopback(parsed->host);
}

absl::StatusOr<CommandLine> ReadCommandLine(
    const std::vector<std::string>& arguments, const Environment& environment) {
  CommandLine out;
  FlagExtras extras;
  Flags flags;
  DeclareFlags(&flags, &out.options, &extras);
  // Whoever asks for help gets it, whatever else is wrong.
  out.action = CommandLine::Action::kPrint;
  if (Asks(arguments, {"--help", "-help", "-h"})) {
    out.text = Help(flags);
    return out;
  }
  if (Asks(arguments, {"--version", "-version"})) {
    out.text = "zeroshot " ZEROSHOT_VERSION "\n";
    return out;
  }
  absl::Status status = flags.Parse(arguments, environment);
  if (!status.ok()) return status;
  if (!extras.generate.empty()) {
    const auto page = base::GeneratePage(Page(flags), extras.generate);
    if (!page.has_value()) {
      return flags.NotAllowed("generate",
                              absl::StrCat("one of ", base::kPageKinds));
    }
    out.text = *page;
    return out;
  }
  out.warnings = flags.Suspects(environment);
  status = Finish(flags, extras, &out.options);
  if (!status.ok()) return status;
  out.action =
      extras.check ? CommandLine::Action::kCheck : CommandLine::Action::kServe;
  return out;
}

int InflightFor(const Options& options,
                const std::vector<std::string>& devices) {
  constexpr int kBatches = 3;
  const int batch = options.tower.max_batch > 0 ? options.tower.max_batch
                                                : clip::ModelOptions::kGpuBatch;
  const auto gpus =
      std::count_if(devices.begin(), devices.end(),
                    [](const std::string& name) { return name != "cpu"; });
  return std::max(options.server.max_inflight,
                  kBatches * batch * static_cast<int>(gpus));
}

}  // namespace zeroshot::server
