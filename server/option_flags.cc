#include "server/option_flags.h"

#include <limits>

#include "absl/time/time.h"
#include "base/program_pages.h"

namespace zeroshot::server {
namespace {

constexpr int64_t kMaxInt = std::numeric_limits<int>::max();
constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();
// Of a store: next to no weight set fits into less.
constexpr int64_t kSmallestStore = int64_t{1} << 20;
constexpr absl::Duration kDay = absl::Hours(24);

void DeclareModel(Flags* flags, Options* out) {
  flags->Topic("Model");
  flags->Text("model", "PATH", &out->model,
              "Checkpoint to serve. A file of weights, a Hugging Face or "
              "open_clip folder, or the name of one in the models folder; the "
              "default is a demo model that knows little");
  flags->Choice("activation", {"auto", "quick_gelu", "gelu"},
                &out->tower.activation,
                "Activation of a checkpoint that does not say it");
  flags->Text("device", "DEVICES", &out->tower.device,
              "Where it computes: auto, cpu, cuda or cuda:N[,N...]. auto is "
              "every GPU, else the CPU; cuda is every GPU");
  flags->Choice("precision", {"auto", "fp32", "bf16", "fp16", "int8"},
                &out->tower.precision,
                "Precision that it computes in. What a device does not support "
                "is refused at start");
  flags->Integer("threads", 0, 1024, &out->tower.threads,
                 "Threads on the CPU; 0: one per core. Fewer where the "
                 "container's CPU limit grants less");
  flags->Integer(
      "max_batch", 0, 4096, &out->server.embedder.max_batch,
      "Largest batch of images; 0: 32 on the CPU, up to 256 on a GPU");
}

void DeclareAddresses(Flags* flags, Options* out, FlagExtras* extras) {
  SecurityOptions* security = &out->server.security;
  flags->Topic("Addresses");
  flags->Text("listen", "HOST:PORT", &out->server.listen,
              "Address of the gRPC service; port 0: any free one. The log "
              "names it");
  flags->Text("http_listen", "HOST:PORT", &out->server.http_listen,
              "Address of HTTP and its page; empty: none. TLS and tokens are "
              "those of gRPC. If the default port is in use the server runs "
              "without it");
  flags->Text("http_cors_origins", "ORIGIN,...", &extras->http_cors_origins,
              "Web origins whose pages may call it; *: all. Such as "
              "https://app.example. Empty: only its own page");
  flags->Text("metrics_listen", "HOST:PORT", &out->metrics_listen,
              "Address of /metrics, /livez and /readyz; empty: none. Port 0 "
              "takes any free one. If the default port is in use the server "
              "runs without the pages");
  flags->Topic("Encryption and authentication");
  flags->Text("tls_cert", "FILE", &security->tls_cert,
              "The server's certificate chain, PEM; with --tls_key it turns "
              "TLS on. Both are reloaded when they change");
  flags->Text("tls_key", "FILE", &security->tls_key,
              "The certificate's private key, PEM");
  flags->Text("tls_client_ca", "FILE", &security->tls_client_ca,
              "Authorities, PEM. Callers then need a certificate that one of "
              "them signed");
  flags->Text("auth_tokens", "FILE", &security->auth_tokens,
              "File of tokens. Callers then need one of them. A line is NAME "
              "PERMISSIONS SHA256; the file is reloaded when it changes");
}

void DeclareStores(Flags* flags, ServerOptions* out, FlagExtras* extras) {
  flags->Topic("Weight sets");
  flags->Size("memory_store_bytes", 0, kMaxInt64, &out->memory_store_bytes,
              "Memory for weight sets. The least recently used are evicted "
              "first. 0 keeps none and needs --disk_store or --redis");
  flags->Size("vector_cache_bytes", 0, kMaxInt64, &out->vector_cache_bytes,
              "Memory for vectors of prompts; 0: none. With them "
              "an edited classifier costs only what is new");
  flags->Text("disk_store", "FOLDER", &out->disk_store,
              "Folder for weight sets that outlive the process; empty: none");
  flags->Size("disk_store_bytes", kSmallestStore, kMaxInt64,
              &out->disk_store_bytes,
              "Disk for weight sets. The least recently used are evicted "
              "first");
  flags->Secret("redis", "URL", &extras->redis_url,
                "Redis or Valkey through which servers share weight sets. "
                "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], or "
                "rediss:// for TLS. Set it in the environment as "
                "ZEROSHOT_REDIS where others can list processes");
  flags->Text("redis_ca", "FILE", &extras->redis.ca_file,
              "Authorities for rediss://, PEM; empty: the system's");
  flags->Time("redis_timeout", absl::Milliseconds(1), kDay,
              &extras->redis.timeout,
              "Longest wait for Redis without a byte that moves. A call then "
              "goes on without it");
  flags->Time("redis_ttl", absl::Seconds(1), absl::Hours(365 * 24),
              &out->redis_store.ttl,
              "How long a weight set that no server uses stays in Redis");
  flags->Size("redis_max_set_bytes", 1, int64_t{512} << 20,
              &out->redis_store.max_set_bytes,
              "Largest weight set shared through Redis");
  flags->Text("store_key_file", "FILE", &out->store_key_file,
              "Secret keys, one per line, that servers share. Weight sets on "
              "disk and in Redis are signed with the first, and only those "
              "that one of them signed are used. Empty: none is signed");
}

void DeclareImages(Flags* flags, ServerOptions* out, FlagExtras* extras) {
  flags->Topic("Images");
  flags->Text("image_formats", "NAME,NAME,...", &extras->image_formats,
              "Formats of images taken, or all. Others are refused "
              "unread. TIFF, AVIF and HEIC are off by default");
  flags->Size("image_cache_bytes", 0, kMaxInt64,
              &out->embedder.image_cache_bytes,
              "Memory for vectors of images sent before; 0: none. An image "
              "sent again is then neither decoded nor run");
  flags->Switch("apply_exif_orientation",
                &out->embedder.decode.apply_exif_orientation,
                "Turn images upright as their EXIF data says. The CLIP "
                "reference does not");
  flags->Switch("fast_decode", &out->embedder.decode.fast,
                "Shrink large JPEGs while decoding: faster, not bit-exact");
}

void DeclareLimits(Flags* flags, ServerOptions* out) {
  flags->Topic("Limits");
  flags->Integer(
      "max_inflight", 1, 100'000, &out->max_inflight,
      "Images and EmbedTexts calls inside at once. More are refused. On GPUs "
      "the default is three full batches for each");
  flags->Integer("max_builds", 1, 10'000, &out->max_builds,
                 "Builds at once. More are refused");
  // protobuf cannot parse a message over 2 GiB.
  flags->Size("max_request_bytes", 1024, kMaxInt, &out->max_request_bytes,
              "Size of one request message");
  flags->Size("receive_memory_bytes", 1024, kMaxInt64,
              &out->receive_memory_bytes,
              "Memory for requests, all together. One half is for those being "
              "received, one for those inside");
  flags->Integer(
      "max_streams", 1, 1'000'000, &out->max_streams,
      "Calls of one connection at once. It is --max_inflight if that "
      "is more; the client waits with others");
  flags->Size("max_import_bytes", 1, kMaxInt64, &out->max_import_bytes,
              "Size of one imported weight-set file with its class names");
  flags->Size("max_image_bytes", 1, kMaxInt64, &out->embedder.max_image_bytes,
              "Size of one encoded image");
  flags->Integer("max_image_pixels", 1, kMaxInt64,
                 &out->embedder.decode.max_pixels,
                 "Width times height of one image. It bounds the time of "
                 "decoding; --decode_memory_bytes bounds the memory");
  // Less would refuse photographs of phones.
  flags->Size("decode_memory_bytes", int64_t{16} << 20, kMaxInt64,
              &out->embedder.decode_memory_bytes,
              "Memory that all decodes together may take. More of them wait, "
              "and an image that needs more alone is refused");
  flags->Integer("max_classes", 1, kMaxInt, &out->build.max_classes,
                 "Classes of one build");
  flags->Integer("max_templates", 1, kMaxInt, &out->build.max_templates,
                 "Templates of one build");
  flags->Integer("max_prompts", 1, kMaxInt, &out->build.max_prompts,
                 "Prompts of one build");
  flags->Integer("max_examples", 0, kMaxInt, &out->build.max_examples,
                 "Example images and embeddings of one build. 0: none are "
                 "taken");
  flags->Size("max_text_bytes", 1, kMaxInt64, &out->build.max_text_bytes,
              "Size of one class name, template, prompt or text");
  flags->Integer("max_batch_items", 1, kMaxInt, &out->max_batch_items,
                 "Items of one ClassifyBatch, EmbedImages or EmbedTexts call");
  flags->Integer("max_inline_prompts", 0, kMaxInt, &out->max_inline_prompts,
                 "Prompts and examples of a classifier within a Classify call. "
                 "0: none is taken");
  flags->Integer("max_weight_sets", 1, kMaxInt, &out->max_weight_sets,
                 "Weight sets of one Classify or ClassifyBatch call");
  flags->Integer("max_top_k", 1, kMaxInt, &out->max_top_k,
                 "Predictions of one weight set in one answer. "
                 "return_probabilities gives all classes");
  flags->Size("max_answer_bytes", int64_t{64} << 10, kMaxInt,
              &out->max_answer_bytes,
              "Size of one answer, checked before work is done for it. Large "
              "answers on their way may take twice as much together");
}

void DeclareRunning(Flags* flags, Options* out) {
  ServerOptions* server = &out->server;
  flags->Topic("Health, connections and shutdown");
  flags->Time(
      "watchdog_timeout", absl::Seconds(1), kDay, &server->watchdog_timeout,
      "Time without a finished batch until health turns NOT_SERVING. A canary "
      "image waits meanwhile");
  flags->Time("client_patience", absl::Seconds(1), kDay,
              &server->client_patience,
              "How long a call may wait for its stalled client. Then it is "
              "ended; sooner where many wait");
  flags->Size("min_transfer_rate", 1, kMaxInt64, &server->min_transfer_rate,
              "Bytes per second that an export or import must move. A slower "
              "one is ended after its first --client_patience");
  flags->Time("max_connection_age", absl::ZeroDuration(), kDay,
              &server->max_connection_age,
              "How long a connection is kept; 0: for ever. Its client then "
              "connects again, without losing a call, and finds new servers");
  flags->Time("drain_grace", absl::ZeroDuration(), kDay, &out->drain_grace,
              "How long calls are still taken after SIGTERM. Health is "
              "NOT_SERVING already, so that load balancers look elsewhere");
  flags->Time("drain_timeout", absl::ZeroDuration(), kDay, &out->drain_timeout,
              "How long calls may go on after the grace, or after SIGINT");
  flags->Topic("Log");
  flags->Choice("log_format", {"text", "json"}, &out->log_format,
                "Format of the log on standard error");
  flags->Choice("log_level", {"debug", "info", "warn", "error"},
                &out->log_level, "Least severe level that is logged");
  flags->Topic("Tracing");
  flags->Text(
      "otlp_endpoint", "URL", &server->tracing.otlp_endpoint,
      "OpenTelemetry collector that takes spans, OTLP over gRPC. "
      "http://HOST:PORT, or https:// for TLS; empty: no spans are made");
  flags->Fraction("trace_sample_ratio", &server->tracing.sample_ratio,
                  "Share of the calls without a traceparent that are traced. "
                  "Others are if their callers are");
}

void DeclareProgram(Flags* flags, FlagExtras* out) {
  flags->Topic("Program");
  flags->Text("flagfile", "FILE", &out->flagfile,
              "Further flags, one per line: NAME = VALUE. Lines that begin "
              "with # are comments. The command line wins over the file, and "
              "the file over the environment");
  flags->Switch("check", &out->check,
                "Check flags, files and checkpoint, describe them and exit. "
                "No weights are loaded and no port is opened. The status is 0 "
                "if a server would start");
  flags->OnCommandLineOnly();
  flags->Text("generate", base::kPageKinds, &out->generate,
              "Print the man page or a shell's completion and exit");
  flags->OnCommandLineOnly();
  flags->Switch("version", &out->version, "Print the version and exit");
  flags->OnCommandLineOnly();
  flags->Switch("help", &out->help, "Print this text and exit; so does -h");
  flags->OnCommandLineOnly();
}

}  // namespace

void DeclareFlags(Flags* flags, Options* options, FlagExtras* extras) {
  DeclareModel(flags, options);
  DeclareAddresses(flags, options, extras);
  DeclareStores(flags, &options->server, extras);
  DeclareImages(flags, &options->server, extras);
  DeclareLimits(flags, &options->server);
  DeclareRunning(flags, options);
  DeclareProgram(flags, extras);
}

}  // namespace zeroshot::server
