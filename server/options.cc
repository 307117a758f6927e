#include "server/options.h"

#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/types/span.h"
#include "server/find_model.h"

using zeroshot::RedisOptions;
using zeroshot::server::Options;
using zeroshot::server::ServerOptions;

ABSL_FLAG(std::string, model, "demo",
          "Checkpoint: path of an OpenAI .pt file or of a Hugging Face or "
          "open_clip folder, or the name of one in the models folder");
ABSL_FLAG(std::string, listen, ServerOptions().listen,
          "HOST:PORT to serve on; port 0 takes any free one, which is printed");
ABSL_FLAG(std::string, metrics_listen, Options().metrics_listen,
          "HOST:PORT of the pages /metrics, /livez and /readyz; port 0 takes "
          "any free one, empty turns them off");
ABSL_FLAG(std::string, tls_cert, "",
          "File of the server's certificate chain (PEM); with --tls_key it "
          "turns TLS on. Both are read again when they change");
ABSL_FLAG(std::string, tls_key, "", "File of the certificate's key (PEM)");
ABSL_FLAG(std::string, tls_client_ca, "",
          "File of the authorities (PEM) one of which must have signed the "
          "certificate that a caller then needs");
ABSL_FLAG(std::string, auth_tokens, "",
          "File of the tokens, as NAME PERMISSIONS SHA256 lines, one of which "
          "a caller then needs; read again when it changes");
ABSL_FLAG(std::string, device, clip::ModelOptions().device,
          "Devices of the towers: auto (every GPU, else the CPU), cpu, cuda "
          "(every GPU) or cuda:N[,N...]");
ABSL_FLAG(std::string, precision, clip::ModelOptions().precision,
          "Precision of the towers: auto, fp32, bf16, fp16 or int8");
ABSL_FLAG(
    int, threads, clip::ModelOptions().threads,
    "Threads of the CPU towers; 0: one a core, or what the container's CPU "
    "limit grants");
ABSL_FLAG(int, max_batch, ServerOptions().embedder.max_batch,
          "Largest batch of pictures that goes through the tower at once; 0: "
          "what suits the device, 32 on the CPU and 256 on a GPU");
ABSL_FLAG(int, max_inflight, ServerOptions().max_inflight,
          "Classify and Embed calls inside at once; more are refused");
ABSL_FLAG(int, max_builds, ServerOptions().max_builds,
          "Builds at once; more are refused");
ABSL_FLAG(int64_t, memory_store_bytes, ServerOptions().memory_store_bytes,
          "Memory for weight sets; the least recently used go first");
ABSL_FLAG(int64_t, vector_cache_bytes, ServerOptions().vector_cache_bytes,
          "Memory for vectors of classes and prompts, so that an edited "
          "classifier costs only what is new; 0: none");
ABSL_FLAG(int64_t, image_cache_bytes,
          ServerOptions().embedder.image_cache_bytes,
          "Memory for vectors of pictures, so that one sent again is neither "
          "decoded nor run; 0: none");
ABSL_FLAG(std::string, disk_store, "",
          "Folder for weight sets that outlive the process; empty: none");
ABSL_FLAG(int64_t, disk_store_bytes, ServerOptions().disk_store_bytes,
          "Disk for weight sets; the least recently used go first");
ABSL_FLAG(std::string, redis, "",
          "Redis or Valkey that servers share weight sets through: "
          "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for "
          "TLS; empty: none. ZEROSHOT_REDIS in the environment does the same "
          "and is not seen by other users of the machine");
ABSL_FLAG(std::string, redis_ca, "",
          "File of the authorities (PEM) that the certificate behind rediss:// "
          "is checked with; empty: the system's");
ABSL_FLAG(absl::Duration, redis_timeout, RedisOptions().timeout,
          "How long Redis may take before a call goes on without it");
ABSL_FLAG(absl::Duration, redis_ttl, ServerOptions().redis_store.ttl,
          "How long a weight set that no server reads stays in Redis; what it "
          "can be built from again stays four times as long");
ABSL_FLAG(int64_t, redis_max_set_bytes,
          ServerOptions().redis_store.max_set_bytes,
          "Largest weight set that is shared through Redis");
ABSL_FLAG(int64_t, max_request_bytes, ServerOptions().max_request_bytes,
          "Bytes of one request message");
ABSL_FLAG(int64_t, receive_memory_bytes, ServerOptions().receive_memory_bytes,
          "Memory for requests on their way in, all together");
ABSL_FLAG(int64_t, max_import_bytes, ServerOptions().max_import_bytes,
          "Bytes of one imported weight-set file and its class names");
ABSL_FLAG(int64_t, max_image_bytes, ServerOptions().embedder.max_image_bytes,
          "Bytes of one encoded picture");
ABSL_FLAG(int64_t, max_image_pixels, ServerOptions().embedder.decode.max_pixels,
          "Width times height of one picture");
ABSL_FLAG(int64_t, max_classes, ServerOptions().build.max_classes,
          "Classes of one build");
ABSL_FLAG(int64_t, max_templates, ServerOptions().build.max_templates,
          "Templates of one build");
ABSL_FLAG(int64_t, max_prompts, ServerOptions().build.max_prompts,
          "Prompts of one build");
ABSL_FLAG(int64_t, max_text_bytes, ServerOptions().build.max_text_bytes,
          "Bytes of one class name, template, prompt or text");
ABSL_FLAG(int, max_batch_items, ServerOptions().max_batch_items,
          "Items of one EmbedImages or EmbedTexts call");
ABSL_FLAG(int, max_weight_sets, ServerOptions().max_weight_sets,
          "Weight sets of one Classify call");
ABSL_FLAG(bool, apply_exif_orientation,
          ServerOptions().embedder.decode.apply_exif_orientation,
          "Turn pictures upright as their EXIF data says; the CLIP reference "
          "does not");
ABSL_FLAG(bool, fast_decode, ServerOptions().embedder.decode.fast,
          "Let libjpeg shrink large JPEGs while it decodes them: quicker, but "
          "no longer the reference's bits");
ABSL_FLAG(std::string, log_format, "text", "Format of the log: text or json");
ABSL_FLAG(std::string, log_level, "info",
          "Least level logged: debug, info, warn or error");
ABSL_FLAG(absl::Duration, watchdog_timeout, ServerOptions().watchdog_timeout,
          "How long the device may finish nothing while a canary picture waits "
          "before health turns NOT_SERVING");
ABSL_FLAG(absl::Duration, client_patience, ServerOptions().client_patience,
          "How long a call may wait for a client that takes no answer or sends "
          "no more of a stream; then it is ended. Less where many do");
ABSL_FLAG(absl::Duration, max_connection_age,
          ServerOptions().max_connection_age,
          "How long a connection is kept; then its client connects anew, "
          "without losing a call, and finds servers that came; 0: for ever");
ABSL_FLAG(absl::Duration, drain_grace, Options().drain_grace,
          "How long calls are still taken after SIGTERM, with health turned "
          "NOT_SERVING already, so that load balancers look elsewhere");
ABSL_FLAG(absl::Duration, drain_timeout, Options().drain_timeout,
          "How long calls may go on after that, or after SIGINT");

namespace zeroshot::server {
namespace {

absl::Status NotAllowed(absl::string_view flag, absl::string_view value,
                        absl::string_view allowed) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", value, ": allowed is ", allowed));
}

// Keeps the first error of a row of checks.
class Checks {
 public:
  template <typename Int>
  void Range(const absl::Flag<Int>& flag, Int low, Int high, Int* out) {
    *out = absl::GetFlag(flag);
    if (*out >= low && *out <= high) return;
    status_.Update(NotAllowed(flag.Name(), absl::StrCat(*out),
                              absl::StrCat(low, " to ", high)));
  }

  void Time(const absl::Flag<absl::Duration>& flag, absl::Duration low,
            absl::Duration* out, int max_hours = 24) {
    *out = absl::GetFlag(flag);
    if (*out >= low && *out <= absl::Hours(max_hours)) return;
    status_.Update(NotAllowed(flag.Name(), absl::FormatDuration(*out),
                              absl::StrCat(absl::FormatDuration(low), " to ",
                                           max_hours, "h, such as 25s")));
  }

  // Returns the index of the flag's value among `allowed`.
  int OneOf(const absl::Flag<std::string>& flag,
            const std::vector<std::string>& allowed) {
    const std::string value = absl::GetFlag(flag);
    for (size_t i = 0; i < allowed.size(); ++i) {
      if (value == allowed[i]) return static_cast<int>(i);
    }
    status_.Update(
        NotAllowed(flag.Name(), value,
                   absl::StrCat("one of ", absl::StrJoin(allowed, ", "))));
    return 0;
  }

  void Update(const absl::Status& status) { status_.Update(status); }
  const absl::Status& status() const { return status_; }

 private:
  absl::Status status_;
};

absl::Status CheckListen(absl::string_view flag, absl::string_view listen) {
  const size_t colon = listen.rfind(':');
  int port = -1;
  if (colon != absl::string_view::npos && colon > 0 &&
      absl::SimpleAtoi(listen.substr(colon + 1), &port) && port >= 0 &&
      port <= 65535) {
    return absl::OkStatus();
  }
  return NotAllowed(flag, listen,
                    "HOST:PORT with a port from 0 to 65535, such as "
                    "127.0.0.1:50051 or [::]:50051");
}

absl::Status CheckDevice(absl::string_view device) {
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
  return NotAllowed("device", absl::GetFlag(FLAGS_device),
                    "auto, cpu, cuda or cuda:N[,N...]");
}

// Half a configuration would leave open what was meant to be shut.
absl::Status CheckSecurity(const SecurityOptions& security,
                           absl::string_view listen) {
  if (security.tls_cert.empty() != security.tls_key.empty()) {
    return NotAllowed(security.tls_cert.empty() ? "tls_cert" : "tls_key", "",
                      "a file, because --tls_cert and --tls_key go together");
  }
  const bool tls = !security.tls_cert.empty();
  if (!tls && !security.tls_client_ca.empty()) {
    return NotAllowed("tls_client_ca", security.tls_client_ca,
                      "only with --tls_cert and --tls_key");
  }
  if (!tls && !security.auth_tokens.empty() && !IsLoopback(listen)) {
    return NotAllowed(
        "auth_tokens", security.auth_tokens,
        absl::StrCat("only with --tls_cert and --tls_key, or with a loopback "
                     "address for --listen=",
                     listen, ": else tokens could be read on their way"));
  }
  return absl::OkStatus();
}

// The flag, or else the variable, which no list of processes shows.
void ReadRedis(Checks* checks, ServerOptions* out) {
  std::string url = absl::GetFlag(FLAGS_redis);
  if (const char* variable = std::getenv("ZEROSHOT_REDIS");
      url.empty() && variable != nullptr) {
    url = variable;
  }
  RedisOptions limits;
  checks->Time(FLAGS_redis_timeout, absl::Milliseconds(1), &limits.timeout);
  limits.ca_file = absl::GetFlag(FLAGS_redis_ca);
  constexpr int kTenYears = 10 * 365 * 24;
  checks->Time(FLAGS_redis_ttl, absl::Seconds(1), &out->redis_store.ttl,
               kTenYears);
  // Redis itself takes no value over 512 MiB.
  checks->Range(FLAGS_redis_max_set_bytes, int64_t{1}, int64_t{512} << 20,
                &out->redis_store.max_set_bytes);
  if (url.empty()) return;
  absl::StatusOr<RedisOptions> redis = ParseRedisUrl(url);
  if (!redis.ok()) {
    checks->Update(absl::InvalidArgumentError(
        absl::StrCat("--redis: ", redis.status().message())));
    return;
  }
  if (!redis->tls && !limits.ca_file.empty()) {
    checks->Update(
        NotAllowed("redis_ca", limits.ca_file, "only with rediss://"));
  }
  redis->timeout = limits.timeout;
  redis->ca_file = limits.ca_file;
  out->redis = *std::move(redis);
}

void ReadServerOptions(Checks* checks, ServerOptions* out) {
  constexpr int kMaxInt = std::numeric_limits<int>::max();
  constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();
  out->listen = absl::GetFlag(FLAGS_listen);
  checks->Update(CheckListen("listen", out->listen));
  out->security = {absl::GetFlag(FLAGS_tls_cert), absl::GetFlag(FLAGS_tls_key),
                   absl::GetFlag(FLAGS_tls_client_ca),
                   absl::GetFlag(FLAGS_auth_tokens)};
  checks->Update(CheckSecurity(out->security, out->listen));
  checks->Time(FLAGS_watchdog_timeout, absl::Seconds(1),
               &out->watchdog_timeout);
  checks->Time(FLAGS_client_patience, absl::Seconds(1), &out->client_patience);
  checks->Time(FLAGS_max_connection_age, absl::ZeroDuration(),
               &out->max_connection_age);
  checks->Range(FLAGS_max_inflight, 1, 100'000, &out->max_inflight);
  checks->Range(FLAGS_max_builds, 1, 10'000, &out->max_builds);
  checks->Range(FLAGS_max_batch_items, 1, kMaxInt, &out->max_batch_items);
  checks->Range(FLAGS_max_weight_sets, 1, kMaxInt, &out->max_weight_sets);
  // protobuf cannot parse a message over 2 GiB.
  checks->Range(FLAGS_max_request_bytes, int64_t{1024}, int64_t{kMaxInt},
                &out->max_request_bytes);
  checks->Range(FLAGS_receive_memory_bytes, out->max_request_bytes, kMaxInt64,
                &out->receive_memory_bytes);
  checks->Range(FLAGS_max_import_bytes, int64_t{1}, kMaxInt64,
                &out->max_import_bytes);
  checks->Range(FLAGS_memory_store_bytes, int64_t{0}, kMaxInt64,
                &out->memory_store_bytes);
  checks->Range(FLAGS_vector_cache_bytes, int64_t{0}, kMaxInt64,
                &out->vector_cache_bytes);
  checks->Range(FLAGS_image_cache_bytes, int64_t{0}, kMaxInt64,
                &out->embedder.image_cache_bytes);
  out->disk_store = absl::GetFlag(FLAGS_disk_store);
  checks->Range(FLAGS_disk_store_bytes, int64_t{0}, kMaxInt64,
                &out->disk_store_bytes);
  ReadRedis(checks, out);
  checks->Range(FLAGS_max_batch, 0, 4096, &out->embedder.max_batch);
  checks->Range(FLAGS_max_image_bytes, int64_t{1}, kMaxInt64,
                &out->embedder.max_image_bytes);
  checks->Range(FLAGS_max_image_pixels, int64_t{1}, kMaxInt64,
                &out->embedder.decode.max_pixels);
  out->embedder.decode.apply_exif_orientation =
      absl::GetFlag(FLAGS_apply_exif_orientation);
  out->embedder.decode.fast = absl::GetFlag(FLAGS_fast_decode);
  checks->Range(FLAGS_max_classes, int64_t{1}, int64_t{kMaxInt},
                &out->build.max_classes);
  checks->Range(FLAGS_max_templates, int64_t{1}, int64_t{kMaxInt},
                &out->build.max_templates);
  checks->Range(FLAGS_max_prompts, int64_t{1}, int64_t{kMaxInt},
                &out->build.max_prompts);
  checks->Range(FLAGS_max_text_bytes, int64_t{1}, kMaxInt64,
                &out->build.max_text_bytes);
  out->embedder.max_text_bytes = out->build.max_text_bytes;
  if (out->embedder.max_image_bytes > out->max_request_bytes) {
    checks->Update(NotAllowed(
        "max_image_bytes", absl::StrCat(out->embedder.max_image_bytes),
        absl::StrCat("at most --max_request_bytes=", out->max_request_bytes)));
  }
}

}  // namespace

bool IsLoopback(absl::string_view address) {
  const absl::string_view host = address.substr(0, address.rfind(':'));
  return host == "localhost" || host == "[::1]" ||
         absl::StartsWith(host, "127.");
}

absl::StatusOr<Options> OptionsFromFlags() {
  Checks checks;
  Options options;
  ReadServerOptions(&checks, &options.server);
  options.metrics_listen = absl::GetFlag(FLAGS_metrics_listen);
  if (!options.metrics_listen.empty()) {
    checks.Update(CheckListen("metrics_listen", options.metrics_listen));
  }
  options.tower.device = absl::GetFlag(FLAGS_device);
  checks.Update(CheckDevice(options.tower.device));
  checks.OneOf(FLAGS_precision, {"auto", "fp32", "bf16", "fp16", "int8"});
  options.tower.precision = absl::GetFlag(FLAGS_precision);
  checks.Range(FLAGS_threads, 0, 1024, &options.tower.threads);
  options.tower.max_batch = options.server.embedder.max_batch;
  options.log_format =
      static_cast<LogFormat>(checks.OneOf(FLAGS_log_format, {"text", "json"}));
  options.log_level = static_cast<LogLevel>(
      checks.OneOf(FLAGS_log_level, {"debug", "info", "warn", "error"}));
  checks.Time(FLAGS_drain_grace, absl::ZeroDuration(), &options.drain_grace);
  checks.Time(FLAGS_drain_timeout, absl::ZeroDuration(),
              &options.drain_timeout);
  if (!checks.status().ok()) return checks.status();
  absl::StatusOr<std::string> model = FindModel(absl::GetFlag(FLAGS_model));
  if (!model.ok()) return model.status();
  options.model = *std::move(model);
  return options;
}

void SetUpFlagUsage() {
  absl::SetProgramUsageMessage(
      "Serves CLIP zero-shot image classification over gRPC "
      "(proto/zeroshot/v1/zeroshot.proto). Flags may also stand in a file, one "
      "a line, named by --flagfile.");
  absl::FlagsUsageConfig config;
  config.contains_helpshort_flags =
      config.contains_help_flags = [](absl::string_view file) {
        return absl::EndsWith(file, "server/options.cc");
      };
  config.version_string = [] {
    return std::string("zeroshot " ZEROSHOT_VERSION "\n");
  };
  config.normalize_filename = [](absl::string_view file) {
    const size_t room = file.rfind("server/");
    return std::string(room == file.npos ? file : file.substr(room));
  };
  absl::SetFlagsUsageConfig(config);
}

}  // namespace zeroshot::server
