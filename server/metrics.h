// What the server counts, as Prometheus reads it. docs/metrics.md explains
// every name; tests/server/metrics_test.cc holds that it does.
#ifndef ZEROSHOT_SERVER_METRICS_H_
#define ZEROSHOT_SERVER_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "clip/decode_budget.h"
#include "clip/model.h"
#include "server/gpu_monitor.h"
#include "stores/tiered_store.h"
#include "zeroshot/embedder.h"
#include "zeroshot/vector_cache.h"
#include "zeroshot/weight_set_builder.h"

namespace zeroshot::server {

// What is true at the moment of a scrape, beside what was counted before it.
struct Readings {
  bool ready = false;
  std::optional<absl::Time> certificate_expires;  // with TLS
  int inflight = 0;      // images and EmbedTexts calls inside
  int max_inflight = 0;  // of them allowed
  int build_calls = 0;   // build calls inside, waiting ones included
  // Only once the model is loaded:
  std::optional<clip::ModelInfo> model;
  int devices_left = 0;  // of the model's
  std::vector<GpuReading> gpus;
  int pending = 0;  // images without an embedding yet, queued ones included
  int queued = 0;   // crops that wait for a device
  clip::DecodeBudget::Stats decodes;
  std::vector<stores::TieredStore::TierStats> tiers;
  VectorCache::Stats image_cache;
  VectorCache::Stats vectors;  // of prompts
};

// Thread rule: every method may be called from many threads at once.
class Metrics {
 public:
  Metrics();

  void CallEnded(absl::string_view method, const absl::Status& status,
                 absl::Duration took);

  // Where the time of a call with images went, not all of which were known.
  void ImagesTimed(const EmbedTiming& timing);

  // The tower ran on `images` at once.
  void BatchRan(int images);

  void BuildEnded(const BuildResult& result);

  // A call was ended because its client did nothing (server/stalled_calls.h).
  void CallStalled();

  // Everything in Prometheus' text format.
  std::string Text(const Readings& readings) const;

 private:
  const absl::Time start_ = absl::Now();
  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>& calls_;
  prometheus::Family<prometheus::Counter>& failures_;
  prometheus::Family<prometheus::Histogram>& call_seconds_;
  prometheus::Family<prometheus::Histogram>& stage_seconds_;
  prometheus::Histogram& batch_images_;
  prometheus::Counter& stalled_;
  prometheus::Family<prometheus::Counter>& builds_;
  prometheus::Histogram& build_seconds_;
  prometheus::Counter& tokens_encoded_;
  prometheus::Counter& tokens_saved_;
};

// Why a call failed: the "cause" in the status' error info, by which refusals
// differ, else its code's name in lower case.
std::string CauseOf(const absl::Status& status);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_METRICS_H_
