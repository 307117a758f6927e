#include "server/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/time/clock.h"
#include "base/error_info.h"

namespace zeroshot::server {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildHistogram;
using prometheus::ClientMetric;
using prometheus::Histogram;
using prometheus::MetricFamily;
using prometheus::MetricType;

Histogram::BucketBoundaries CallSeconds() {
  return {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
          0.25,  0.5,    1,     2.5,  5,     10};
}

Histogram::BucketBoundaries BuildSeconds() {
  return {0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600};
}

Histogram::BucketBoundaries BatchSizes() {
  return {1, 2, 4, 8, 16, 32, 64, 128, 256};
}

// Families whose values are read at the moment of the scrape.
class Snapshot {
 public:
  using Labels = std::vector<ClientMetric::Label>;

  void Gauge(const std::string& name, const std::string& help, double value,
             Labels labels = {}) {
    ClientMetric metric;
    metric.gauge.value = value;
    Add(name, help, MetricType::Gauge, std::move(labels), metric);
  }

  void Counter(const std::string& name, const std::string& help, double value,
               Labels labels = {}) {
    ClientMetric metric;
    metric.counter.value = value;
    Add(name, help, MetricType::Counter, std::move(labels), metric);
  }

  const std::vector<MetricFamily>& families() const { return families_; }

 private:
  // Metrics of one name come one after the other.
  void Add(const std::string& name, const std::string& help, MetricType type,
           Labels labels, ClientMetric metric) {
    if (families_.empty() || families_.back().name != name) {
      families_.push_back({name, help, type, {}});
    }
    metric.label = std::move(labels);
    families_.back().metric.push_back(std::move(metric));
  }

  std::vector<MetricFamily> families_;
};

int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

double OpenFiles() {
  std::error_code error;
  const std::filesystem::directory_iterator files("/proc/self/fd", error), end;
  // One of them is the folder itself, open to be read.
  return error ? 0 : static_cast<double>(std::distance(files, end)) - 1;
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return absl::ToDoubleSeconds(absl::DurationFromTimeval(t));
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double MaxFiles() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<double>(limit.rlim_cur);
}

// The names that every Prometheus client library gives to these.
void ReadProcess(absl::Time start, Snapshot* out) {
  out->Gauge("process_resident_memory_bytes", "Resident memory.",
             static_cast<double>(ResidentBytes()));
  out->Counter("process_cpu_seconds_total", "User and system time.",
               CpuSeconds());
  out->Gauge("process_open_fds", "Open file descriptors.", OpenFiles());
  out->Gauge("process_max_fds", "File descriptors that are allowed.",
             MaxFiles());
  out->Gauge("process_start_time_seconds", "Start, as seconds since 1970.",
             absl::ToDoubleSeconds(start - absl::UnixEpoch()));
}

// Metrics of one name come one after the other.
void ReadTiers(const std::vector<stores::TieredStore::TierStats>& tiers,
               Snapshot* out) {
  const auto gauge = [&](const char* name, const char* help, auto value) {
    for (const stores::TieredStore::TierStats& tier : tiers) {
      // Only a tier that is this server's own knows its size.
      if (tier.size.max_bytes == 0) continue;
      out->Gauge(name, help, static_cast<double>(value(tier.size)),
                 {{"tier", tier.name}});
    }
  };
  gauge("zeroshot_store_weight_sets", "Weight sets held. Labels: tier",
        [](const stores::StoreSize& size) { return size.sets; });
  gauge("zeroshot_store_bytes", "Bytes that weight sets take. Labels: tier",
        [](const stores::StoreSize& size) { return size.bytes; });
  gauge("zeroshot_store_max_bytes",
        "Bytes that weight sets may take. Labels: tier",
        [](const stores::StoreSize& size) { return size.max_bytes; });
  for (const stores::TieredStore::TierStats& tier : tiers) {
    const auto count = [&](const char* result, int64_t value) {
      out->Counter(
          "zeroshot_store_gets_total",
          "Weight sets asked for, as hit or miss. Labels: tier, result",
          static_cast<double>(value),
          {{"tier", tier.name}, {"result", result}});
    };
    count("hit", tier.hits);
    count("miss", tier.misses);
  }
  for (const stores::TieredStore::TierStats& tier : tiers) {
    out->Counter("zeroshot_store_errors_total",
                 "Times a tier was passed over: it failed, or its bytes were "
                 "damaged. Labels: tier",
                 static_cast<double>(tier.errors), {{"tier", tier.name}});
  }
}

struct FamilyText {
  const char* name;
  const char* help;
};

// What a cache of vectors exports.
struct CacheTexts {
  FamilyText bytes, max_bytes, gets;
};

constexpr CacheTexts kImageCache = {
    {"zeroshot_image_cache_bytes",
     "Bytes that vectors of images take. Absent without --image_cache_bytes."},
    {"zeroshot_image_cache_max_bytes",
     "Bytes that vectors of images may take (--image_cache_bytes). Absent "
     "without it."},
    {"zeroshot_image_cache_gets_total",
     "Images looked up by their bytes, as hit or miss. Absent without "
     "--image_cache_bytes. Labels: result"}};

constexpr CacheTexts kVectorCache = {
    {"zeroshot_vector_cache_bytes",
     "Bytes that vectors of prompts take. Absent if --vector_cache_bytes is "
     "0."},
    {"zeroshot_vector_cache_max_bytes",
     "Bytes that vectors of prompts may take (--vector_cache_bytes). Absent if "
     "it is 0."},
    {"zeroshot_vector_cache_gets_total",
     "Vectors of prompts that builds looked for, as hit or miss. Absent if "
     "--vector_cache_bytes is 0. Labels: result"}};

// Adds nothing for a cache that is off.
void ReadCache(const CacheTexts& texts, const VectorCache::Stats& cache,
               Snapshot* out) {
  if (cache.max_bytes == 0) return;
  out->Gauge(texts.bytes.name, texts.bytes.help,
             static_cast<double>(cache.bytes));
  out->Gauge(texts.max_bytes.name, texts.max_bytes.help,
             static_cast<double>(cache.max_bytes));
  const auto count = [&](const char* result, int64_t value) {
    out->Counter(texts.gets.name, texts.gets.help, static_cast<double>(value),
                 {{"result", result}});
  };
  count("hit", cache.hits);
  count("miss", cache.misses);
}

// Metrics of one name come one after the other.
void ReadGpus(const std::vector<GpuReading>& gpus, Snapshot* out) {
  const auto gauge = [&](const char* name, const char* help,
                         std::optional<double> GpuReading::*value) {
    for (const GpuReading& gpu : gpus) {
      if ((gpu.*value).has_value()) {
        out->Gauge(name, help, *(gpu.*value), {{"device", gpu.device}});
      }
    }
  };
  gauge("zeroshot_gpu_memory_bytes",
        "Memory of a GPU in use that is taken, by any program. Absent without "
        "NVML. Labels: device",
        &GpuReading::memory_bytes);
  gauge("zeroshot_gpu_memory_max_bytes",
        "Memory that the GPU has. Absent without NVML. Labels: device",
        &GpuReading::memory_max_bytes);
  gauge("zeroshot_gpu_busy_ratio",
        "Share of the last moments in which the GPU ran something (NVML's "
        "utilisation). Absent without NVML. Labels: device",
        &GpuReading::busy_ratio);
  gauge("zeroshot_gpu_temperature_celsius",
        "Temperature of the GPU's die. Absent without NVML. Labels: device",
        &GpuReading::temperature_celsius);
  gauge("zeroshot_gpu_watts",
        "Power that the GPU draws. Absent without NVML. Labels: device",
        &GpuReading::watts);
}

void ReadDecodes(const clip::DecodeBudget::Stats& decodes, Snapshot* out) {
  out->Gauge("zeroshot_decode_bytes",
             "Memory that decodes take, as estimated from the images' headers.",
             static_cast<double>(decodes.bytes));
  out->Gauge("zeroshot_decode_max_bytes",
             "Memory that decodes may take (--decode_memory_bytes).",
             static_cast<double>(decodes.max_bytes));
  const auto count = [&](const char* state, int value) {
    out->Gauge("zeroshot_decodes",
               "Decodes that are running, and that are waiting for memory or a "
               "processor. Labels: state",
               value, {{"state", state}});
  };
  count("running", decodes.running);
  count("waiting", decodes.waiting);
  out->Counter("zeroshot_decode_wait_seconds_total",
               "Time that decodes waited for memory or a processor.",
               absl::ToDoubleSeconds(decodes.waited));
}

void ReadServer(const Readings& readings, Snapshot* out) {
  out->Gauge("zeroshot_ready", "1 while calls are taken, as /readyz says.",
             readings.ready);
  if (readings.certificate_expires.has_value()) {
    out->Gauge("zeroshot_tls_certificate_expiry_timestamp_seconds",
               "When the certificate of --tls_cert expires, as seconds since "
               "1970. Absent without TLS.",
               static_cast<double>(
                   absl::ToUnixSeconds(*readings.certificate_expires)));
  }
  out->Gauge("zeroshot_inflight_calls",
             "Images of Classify, ClassifyBatch and EmbedImages calls, and "
             "EmbedTexts calls, inside.",
             readings.inflight);
  out->Gauge("zeroshot_saturation_ratio",
             "zeroshot_inflight_calls over --max_inflight. At 1 further calls "
             "are refused.",
             static_cast<double>(readings.inflight) /
                 std::max(1, readings.max_inflight));
  out->Gauge(
      "zeroshot_build_calls",
      "Build calls inside, including those that wait for another's build.",
      readings.build_calls);
  if (!readings.model.has_value()) return;
  out->Gauge(
      "zeroshot_model_info",
      "1; the labels say what is served. Absent until the model is loaded. "
      "Labels: name, family, fingerprint, device, precision, version",
      1,
      {{"name", readings.model->name},
       {"family", readings.model->family},
       {"fingerprint", readings.model->fingerprint},
       {"device", readings.model->device},
       {"precision", readings.model->precision},
       {"version", ZEROSHOT_VERSION}});
  const int devices = static_cast<int>(readings.model->devices.size());
  const auto count = [&](const char* state, int value) {
    out->Gauge("zeroshot_devices",
               "Devices of the towers that are serving, and that are lost. "
               "Labels: state",
               value, {{"state", state}});
  };
  count("serving", readings.devices_left);
  count("lost", devices - readings.devices_left);
  ReadGpus(readings.gpus, out);
  out->Gauge(
      "zeroshot_pending_images",
      "Images without an embedding yet: being decoded, waiting or running.",
      readings.pending);
  out->Gauge("zeroshot_queue_images", "Images that wait for a device.",
             readings.queued);
  ReadDecodes(readings.decodes, out);
  ReadTiers(readings.tiers, out);
  ReadCache(kImageCache, readings.image_cache, out);
  ReadCache(kVectorCache, readings.vectors, out);
}

}  // namespace

std::string CauseOf(const absl::Status& status) {
  if (const auto info = base::ErrorInfoOf(status)) {
    const auto cause = info->metadata.find("cause");
    if (cause != info->metadata.end()) return cause->second;
  }
  return absl::AsciiStrToLower(absl::StatusCodeToString(status.code()));
}

Metrics::Metrics()
    : calls_(BuildCounter()
                 .Name("zeroshot_calls_total")
                 .Help("Calls that ended. Labels: method, code")
                 .Register(registry_)),
      failures_(
          BuildCounter()
              .Name("zeroshot_failures_total")
              .Help(
                  "Calls that failed, by what was full or wrong. Labels: cause")
              .Register(registry_)),
      call_seconds_(
          BuildHistogram()
              .Name("zeroshot_call_seconds")
              .Help("Time of a call inside the server. Labels: method")
              .Register(registry_)),
      stage_seconds_(BuildHistogram()
                         .Name("zeroshot_stage_seconds")
                         .Help("Time of a call with images by stage: decode, "
                               "preprocess, queue (for a decode, then for a "
                               "device), compute (its whole batch). Not "
                               "counted if all its images were known. Labels: "
                               "stage")
                         .Register(registry_)),
      batch_images_(BuildHistogram()
                        .Name("zeroshot_batch_images")
                        .Help("Images that went through the tower at once, the "
                              "watchdog's included.")
                        .Register(registry_)
                        .Add({}, BatchSizes())),
      stalled_(BuildCounter()
                   .Name("zeroshot_calls_stalled_total")
                   .Help("Calls that were ended because their client took no "
                         "answer or sent no more (--client_patience).")
                   .Register(registry_)
                   .Add({})),
      builds_(BuildCounter()
                  .Name("zeroshot_builds_total")
                  .Help("Builds that went well: built, cached (found), or "
                        "joined (another call built it meanwhile). Labels: "
                        "result")
                  .Register(registry_)),
      build_seconds_(BuildHistogram()
                         .Name("zeroshot_build_seconds")
                         .Help("Time of a build that was not found.")
                         .Register(registry_)
                         .Add({}, BuildSeconds())),
      tokens_encoded_(BuildCounter()
                          .Name("zeroshot_tokens_encoded_total")
                          .Help("Token positions that builds put through the "
                                "text tower.")
                          .Register(registry_)
                          .Add({})),
      tokens_saved_(BuildCounter()
                        .Name("zeroshot_tokens_saved_total")
                        .Help("Tokens of prompts that needed no position of "
                              "their own: shared beginnings, or sets found.")
                        .Register(registry_)
                        .Add({})) {}

void Metrics::CallEnded(absl::string_view method, const absl::Status& status,
                        absl::Duration took) {
  const std::string name(method);
  calls_
      .Add(
          {{"method", name}, {"code", absl::StatusCodeToString(status.code())}})
      .Increment();
  call_seconds_.Add({{"method", name}}, CallSeconds())
      .Observe(absl::ToDoubleSeconds(took));
  if (!status.ok()) failures_.Add({{"cause", CauseOf(status)}}).Increment();
}

void Metrics::ImagesTimed(const EmbedTiming& timing) {
  const auto observe = [this](const char* stage, absl::Duration took) {
    stage_seconds_.Add({{"stage", stage}}, CallSeconds())
        .Observe(absl::ToDoubleSeconds(took));
  };
  observe("decode", timing.decode);
  observe("preprocess", timing.preprocess);
  observe("queue", timing.queue);
  observe("compute", timing.compute);
}

void Metrics::BatchRan(int images) { batch_images_.Observe(images); }

void Metrics::CallStalled() { stalled_.Increment(); }

void Metrics::BuildEnded(const BuildResult& result) {
  const bool waited = result.cached || result.joined;
  builds_
      .Add({{"result", result.cached   ? "cached"
                       : result.joined ? "joined"
                                       : "built"}})
      .Increment();
  const int64_t tokens = result.set->num_tokens;
  const int64_t encoded = waited ? 0 : result.num_tokens_encoded;
  tokens_encoded_.Increment(static_cast<double>(encoded));
  // Padding may make the tower work more than the prompts have tokens.
  tokens_saved_.Increment(
      static_cast<double>(std::max<int64_t>(0, tokens - encoded)));
  if (!waited) {
    build_seconds_.Observe(absl::ToDoubleSeconds(result.timing.total));
  }
}

std::string Metrics::Text(const Readings& readings) const {
  Snapshot snapshot;
  ReadServer(readings, &snapshot);
  ReadProcess(start_, &snapshot);
  std::vector<MetricFamily> families = registry_.Collect();
  families.insert(families.end(), snapshot.families().begin(),
                  snapshot.families().end());
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace zeroshot::server
