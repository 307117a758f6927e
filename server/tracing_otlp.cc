#include <opentelemetry/exporters/otlp/otlp_grpc_exporter_factory.h>
#include <opentelemetry/exporters/otlp/otlp_grpc_exporter_options.h>
#include <opentelemetry/sdk/common/global_log_handler.h>
#include <opentelemetry/sdk/resource/resource.h>
#include <opentelemetry/sdk/trace/batch_span_processor_factory.h>
#include <opentelemetry/sdk/trace/batch_span_processor_options.h>
#include <opentelemetry/sdk/trace/samplers/parent_factory.h>
#include <opentelemetry/sdk/trace/samplers/trace_id_ratio_factory.h>
#include <opentelemetry/sdk/trace/tracer_provider.h>
#include <opentelemetry/sdk/trace/tracer_provider_factory.h>
#include <opentelemetry/trace/span.h>
#include <opentelemetry/trace/span_context.h>
#include <opentelemetry/trace/tracer.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/monotonic.h"
#include "base/mutex.h"
#include "server/tracing.h"

namespace zeroshot::server {
namespace {

namespace api = opentelemetry::trace;
namespace sdk = opentelemetry::sdk;
namespace otlp = opentelemetry::exporter::otlp;
using opentelemetry::common::SteadyTimestamp;
using opentelemetry::common::SystemTimestamp;

// Spans that wait to be handed on; more are dropped. All go in one message.
constexpr size_t kMaxWaiting = 2048;
constexpr std::chrono::seconds kBetweenExports(2);
// One export. When the server ends one may be under way and one is to come, so
// that it waits for twice this long.
constexpr std::chrono::seconds kExportTimeout(2);

constexpr absl::Duration kBetweenComplaints = absl::Seconds(30);

// OpenTelemetry's own lines, of which a collector that is away causes one
// after the other.
// Thread rule: any number of threads.
class Complaints : public sdk::common::internal_log::LogHandler {
 public:
  using Level = sdk::common::internal_log::LogLevel;

  void Handle(Level level, const char*, int, const char* message,
              const sdk::common::AttributeMap&) noexcept override {
    if (level != Level::Error && level != Level::Warning) return;
    const absl::Time now = base::MonotonicNow();
    int left_out;
    {
      const base::MutexLock lock(&mu_);
      ++left_out_;
      if (now < next_) return;
      next_ = now + kBetweenComplaints;
      left_out = std::exchange(left_out_, 0) - 1;
    }
    try {
      const std::string more =
          left_out == 0
              ? ""
              : absl::StrCat(" (", left_out, " more lines were left out)");
      spdlog::warn("tracing: {}{}; calls go on, spans may be lost",
                   message == nullptr ? "" : message, more);
    } catch (...) {  // no memory for a line about tracing
    }
  }

 private:
  base::Mutex mu_;
  absl::Time next_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  int left_out_ ABSL_GUARDED_BY(mu_) = 0;
};

// Times of MonotonicNow as OpenTelemetry has them: `shift` later is the
// system's time.
SystemTimestamp SystemTime(absl::Time time, absl::Duration shift) {
  return SystemTimestamp(
      std::chrono::nanoseconds(absl::ToUnixNanos(time + shift)));
}

SteadyTimestamp SteadyTime(absl::Time time) {
  return SteadyTimestamp(std::chrono::nanoseconds(absl::ToUnixNanos(time)));
}

api::SpanContext ParentOf(const RequestTag& tag) {
  const TraceIds ids = tag.trace();
  if (ids.trace.empty()) return api::SpanContext::GetInvalid();
  const auto bytes = [](const std::string& hex) {
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    std::vector<uint8_t> all(hex.size() / 2);
    for (size_t i = 0; i < all.size(); ++i) {
      all[i] =
          static_cast<uint8_t>(16 * digit(hex[2 * i]) + digit(hex[2 * i + 1]));
    }
    return all;
  };
  const std::vector<uint8_t> trace = bytes(ids.trace), span = bytes(ids.span);
  return {api::TraceId(opentelemetry::nostd::span<const uint8_t, 16>(
              trace.data(), trace.size())),
          api::SpanId(opentelemetry::nostd::span<const uint8_t, 8>(
              span.data(), span.size())),
          api::TraceFlags(tag.sampled() ? api::TraceFlags::kIsSampled : 0),
          /*is_remote=*/true};
}

// Those that the conventions for RPC servers call errors of the server.
bool IsServersFault(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDataLoss:
      return true;
    default:
      return false;
  }
}

using Span = opentelemetry::nostd::shared_ptr<api::Span>;

class OtlpCallSpan : public CallSpan {
 public:
  OtlpCallSpan(opentelemetry::nostd::shared_ptr<api::Tracer> tracer, Span span,
               absl::Duration shift)
      : tracer_(std::move(tracer)), span_(std::move(span)), shift_(shift) {}

  TraceIds ids() const override {
    char trace[32], span[16];
    span_->GetContext().trace_id().ToLowerBase16(trace);
    span_->GetContext().span_id().ToLowerBase16(span);
    return {std::string(trace, sizeof(trace)), std::string(span, sizeof(span))};
  }

  void End(const absl::Status& status) override {
    std::vector<Span> spans;
    for (const base::Steps::Step& step : steps_.Take()) {
      const Span& above =
          step.above == base::Steps::kCall ? span_ : spans[step.above];
      api::StartSpanOptions options;
      options.parent = above->GetContext();
      options.start_system_time = SystemTime(step.start, shift_);
      options.start_steady_time = SteadyTime(step.start);
      spans.push_back(tracer_->StartSpan(step.name, options));
      for (const base::Steps::Fact& fact : step.facts) {
        spans.back()->SetAttribute(std::string("zeroshot.") + fact.name,
                                   fact.value);
      }
      spans.back()->End({SteadyTime(step.end)});
    }
    span_->SetAttribute("rpc.grpc.status_code",
                        static_cast<int64_t>(status.code()));
    if (IsServersFault(status.code())) {
      span_->SetStatus(api::StatusCode::kError);
    }
    span_->End({SteadyTime(base::MonotonicNow())});
  }

 private:
  const opentelemetry::nostd::shared_ptr<api::Tracer> tracer_;
  const Span span_;
  const absl::Duration shift_;
};

class OtlpTracer : public Tracer {
 public:
  explicit OtlpTracer(const TracingOptions& options) {
    sdk::common::internal_log::GlobalLogHandler::SetLogHandler(
        opentelemetry::nostd::shared_ptr<sdk::common::internal_log::LogHandler>(
            new Complaints));
    otlp::OtlpGrpcExporterOptions exporter;  // headers: of the environment
    exporter.endpoint = options.otlp_endpoint;
    exporter.use_ssl_credentials =
        absl::StartsWith(options.otlp_endpoint, "https://");
    exporter.timeout = kExportTimeout;
    sdk::trace::BatchSpanProcessorOptions batches;
    batches.max_queue_size = kMaxWaiting;
    batches.max_export_batch_size = kMaxWaiting;
    batches.schedule_delay_millis = kBetweenExports;
    sdk::resource::ResourceAttributes about{
        {"service.version", ZEROSHOT_VERSION}};
    // What is said here would win over the environment.
    if (std::getenv("OTEL_SERVICE_NAME") == nullptr) {
      about.SetAttribute("service.name", "zeroshot");
    }
    std::shared_ptr<sdk::trace::Sampler> new_traces =
        sdk::trace::TraceIdRatioBasedSamplerFactory::Create(
            options.sample_ratio);
    provider_ = sdk::trace::TracerProviderFactory::Create(
        sdk::trace::BatchSpanProcessorFactory::Create(
            otlp::OtlpGrpcExporterFactory::Create(exporter), batches),
        sdk::resource::Resource::Create(about),
        sdk::trace::ParentBasedSamplerFactory::Create(new_traces));
    tracer_ = provider_->GetTracer("zeroshot", ZEROSHOT_VERSION);
  }

  ~OtlpTracer() override { provider_->Shutdown(); }

  std::unique_ptr<CallSpan> Begin(absl::string_view path, const RequestTag& tag,
                                  absl::Time start) override {
    const absl::Duration shift = absl::Now() - base::MonotonicNow();
    // "/zeroshot.v1.ZeroShot/Classify"
    const std::string name(path.substr(1));
    const size_t slash = name.find('/');
    const std::string service = name.substr(0, slash);
    api::StartSpanOptions options;
    options.parent = ParentOf(tag);
    options.kind = api::SpanKind::kServer;
    options.start_system_time = SystemTime(start, shift);
    options.start_steady_time = SteadyTime(start);
    Span span = tracer_->StartSpan(name,
                                   {{"rpc.system", "grpc"},
                                    {"rpc.service", service.c_str()},
                                    {"rpc.method", name.c_str() + slash + 1},
                                    {"zeroshot.request_id", tag.id.c_str()}},
                                   options);
    if (!span->IsRecording()) return nullptr;
    return std::make_unique<OtlpCallSpan>(tracer_, std::move(span), shift);
  }

 private:
  std::unique_ptr<sdk::trace::TracerProvider> provider_;
  opentelemetry::nostd::shared_ptr<api::Tracer> tracer_;
};

}  // namespace

bool CanTrace() { return true; }

std::unique_ptr<Tracer> StartTracer(const TracingOptions& options) {
  if (options.otlp_endpoint.empty()) return nullptr;
  return std::make_unique<OtlpTracer>(options);
}

}  // namespace zeroshot::server
