// Everything that can be set, as plain values, and the flags that set it.
// Thread rule: plain values; ReadCommandLine is called once, by main.
#ifndef ZEROSHOT_SERVER_OPTIONS_H_
#define ZEROSHOT_SERVER_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "clip/model.h"
#include "server/flags.h"
#include "server/gpu_monitor.h"
#include "server/tracing.h"
#include "stores/redis_client.h"
#include "stores/redis_store.h"
#include "zeroshot/classifier_spec.h"
#include "zeroshot/embedder.h"
#include "zeroshot/weight_set_builder.h"

namespace zeroshot::server {

// Files by which a server shows who it is and asks the same of its callers;
// all may be replaced while it runs.
struct SecurityOptions {
  std::string tls_cert;       // PEM chain; empty: plain text
  std::string tls_key;        // PEM, of the same certificate
  std::string tls_client_ca;  // PEM; empty: callers need no certificate
  std::string auth_tokens;    // see server/tokens.h; empty: anyone may call
};

// What the running server goes by. Limits are told to clients by GetModel.
struct ServerOptions {
  std::string listen = "127.0.0.1:50051";  // HOST:PORT; port 0: any free one
  std::string http_listen;  // HOST:PORT of HTTP, as above; empty: none
  std::vector<std::string> http_cors_origins;  // whose pages may call; "*": all
  int max_inflight = 128;               // images and EmbedTexts calls at once
  int max_builds = 4;                   // builds at once
  int max_batch_items = 64;             // of one ClassifyBatch or Embed call
  int64_t max_inline_prompts = 10'000;  // of a Classify call's `classifier`
  int max_weight_sets = 32;             // weight sets of one Classify call
  int max_top_k = 1000;                 // predictions of one weight set
  int64_t max_answer_bytes = 16 << 20;  // of one Classify or GetWeightSet call
  int64_t max_request_bytes = 32 << 20;
  int64_t max_import_bytes = 256 << 20;  // of a file and its class names
  int64_t memory_store_bytes = int64_t{1} << 30;
  int64_t vector_cache_bytes = WeightSetBuilder::kVectorCacheBytes;
  std::string disk_store;  // folder; empty: none
  int64_t disk_store_bytes = int64_t{10} << 30;
  std::optional<stores::RedisOptions> redis;  // shared by servers; or none
  std::string store_key_file;  // signs what disk and Redis hold; empty: none
  stores::RedisStoreOptions redis_store;
  absl::Duration watchdog_timeout = absl::Seconds(30);  // see server/watchdog.h
  // Of the image that is tried before any call is taken; no flag.
  absl::Duration first_image_timeout = absl::Minutes(5);
  int64_t receive_memory_bytes = 256 << 20;  // of requests on their way
  int max_streams = 256;                     // of one connection, at once
  absl::Duration client_patience = absl::Seconds(30);  // see stalled_calls.h
  int64_t min_transfer_rate = 64 << 10;  // bytes/s of an export or import
  absl::Duration max_connection_age = absl::ZeroDuration();  // 0: for ever
  GpuMonitor::Options gpu_monitor;
  SecurityOptions security;
  TracingOptions tracing;
  EmbedderOptions embedder;
  BuildLimits build;
};

enum class LogFormat { kText, kJson };
enum class LogLevel { kDebug, kInfo, kWarn, kError };

struct Options {
  Options() { server.http_listen = "127.0.0.1:8080"; }

  std::string model = "demo";                     // path of the checkpoint
  std::string metrics_listen = "127.0.0.1:9464";  // HOST:PORT; empty: no page
  // Whether that was asked for. The default one is done without if its port is
  // in use.
  bool metrics_asked_for = false;
  // Likewise of http_listen.
  bool http_asked_for = false;
  bool max_inflight_asked_for = false;  // else see InflightFor
  clip::ModelOptions tower;
  ServerOptions server;
  LogFormat log_format = LogFormat::kText;
  LogLevel log_level = LogLevel::kInfo;
  absl::Duration drain_grace = absl::Seconds(5);
  absl::Duration drain_timeout = absl::Seconds(25);
};

// --max_inflight where it is not given, on devices of these names ("cpu",
// "cuda:0"): enough that each GPU has a batch to compute, one that waits, and
// one whose images are decoded.
int InflightFor(const Options& options,
                const std::vector<std::string>& devices);

// What the program is asked to do, and with what.
struct CommandLine {
  enum class Action { kServe, kCheck, kPrint };
  Action action = Action::kServe;
  std::string text;  // to print
  Options options;   // to serve with, or to check
  std::vector<std::string> warnings;
};

// What the arguments (without the program's name), the flagfile that they name
// and the environment ask for; see server/flags.h for which of them wins.
//
// InvalidArgument, NotFound: something that is not allowed; the message says
// where it stands, what it is and what is allowed.
absl::StatusOr<CommandLine> ReadCommandLine(
    const std::vector<std::string>& arguments, const Environment& environment);

// Whether HOST:PORT is reached from this machine only.
bool IsLoopback(absl::string_view address);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_OPTIONS_H_
