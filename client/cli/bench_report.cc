#include "client/cli/bench_report.h"

#include <algorithm>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/json.h"

namespace zeroshot::client {
namespace {

double Ms(absl::Duration duration) {
  return absl::ToDoubleMilliseconds(duration);
}

}  // namespace

std::string HumanLoad(const Load& load) {
  return load.concurrency > 0 ? absl::StrCat(load.concurrency, " at once")
                              : absl::StrFormat("%.4g per second", load.rate);
}

std::string BenchReport::Unit() const {
  return batch_ > 0 ? "images/s" : "calls/s";
}

double BenchReport::PerSecond(const Summary& summary) const {
  return summary.calls_per_second * std::max(1, batch_);
}

std::string BenchReport::ToJson(const Point& point) const {
  const Summary& summary = point.summary;
  JsonObject errors;
  for (const auto& [code, count] : summary.errors) {
    errors.Integer(absl::StatusCodeToString(code), count);
  }
  const std::string latency = JsonObject()
                                  .Milliseconds("mean", summary.mean)
                                  .Milliseconds("p50", summary.p50)
                                  .Milliseconds("p90", summary.p90)
                                  .Milliseconds("p95", summary.p95)
                                  .Milliseconds("p99", summary.p99)
                                  .Milliseconds("max", summary.max)
                                  .str();
  const std::string error_latency = JsonObject()
                                        .Milliseconds("p50", summary.error_p50)
                                        .Milliseconds("p95", summary.error_p95)
                                        .Milliseconds("max", summary.error_max)
                                        .str();
  const StageSplit& stages = summary.stages;
  const std::string split = JsonObject()
                                .Milliseconds("decode", stages.decode)
                                .Milliseconds("preprocess", stages.preprocess)
                                .Milliseconds("queue", stages.queue)
                                .Milliseconds("compute", stages.compute)
                                .Milliseconds("other", stages.other)
                                .Milliseconds("outside", stages.outside)
                                .str();
  JsonObject object;
  if (point.load.concurrency > 0) {
    object.Integer("concurrency", point.load.concurrency);
  } else {
    object.Float("rate", static_cast<float>(point.load.rate));
  }
  if (batch_ > 0) {
    object.Integer("batch", batch_)
        .Float("images_per_second", static_cast<float>(PerSecond(summary)));
  }
  return object
      .Float("calls_per_second", static_cast<float>(summary.calls_per_second))
      .Bool("stable", point.stable)
      .Integer("windows", point.windows)
      .Integer("calls", summary.calls)
      .Json("errors", errors.str())
      .Json("latency_ms", latency)
      .Json("error_latency_ms", error_latency)
      .Json("mean_stage_ms", split)
      .str();
}

void BenchReport::Add(const Point& point) {
  if (json_) {
    *console_.out << ToJson(point) << std::endl;
  } else {
    AddRow(point);
  }
}

void BenchReport::AddRow(const Point& point) {
  const Summary& summary = point.summary;
  const StageSplit& stages = summary.stages;
  if (!heading_) {
    *console_.out << absl::StrFormat(
        "%-15s %9s | %37s | %s\n%-15s %9s | %7s %7s %7s %7s %5s | "
        "%6s %6s %6s %7s %6s %7s\n",
        "load", Unit(), "latency in ms", "of the mean, in ms", "", "", "p50",
        "p90", "p95", "p99", "err", "decode", "crop", "queue", "compute",
        "other", "outside");
    heading_ = true;
  }
  *console_.out << absl::StrFormat(
      "%-15s %9.1f | %7.1f %7.1f %7.1f %7.1f %5d | "
      "%6.1f %6.1f %6.1f %7.1f %6.1f %7.1f",
      HumanLoad(point.load), PerSecond(summary), Ms(summary.p50),
      Ms(summary.p90), Ms(summary.p95), Ms(summary.p99), summary.num_errors(),
      Ms(stages.decode), Ms(stages.preprocess), Ms(stages.queue),
      Ms(stages.compute), Ms(stages.other), Ms(stages.outside));
  if (!point.stable) *console_.out << "  not stable";
  for (const auto& [code, count] : summary.errors) {
    *console_.out << "  " << count << " " << absl::StatusCodeToString(code);
  }
  if (!summary.errors.empty()) {
    *console_.out << absl::StrFormat(" (p95 %.1f ms)", Ms(summary.error_p95));
  }
  *console_.out << std::endl;
}

void BenchReport::AddBest(const Point* best, int percentile,
                          absl::Duration bound) {
  if (json_) {
    *console_.out << JsonObject()
                         .Json("best", best == nullptr ? "null" : ToJson(*best))
                         .Integer("percentile", percentile)
                         .Milliseconds("latency_bound_ms", bound)
                         .str()
                  << std::endl;
    return;
  }
  if (best == nullptr) {
    *console_.out << absl::StrFormat("No load kept p%d within %.4g ms.\n",
                                     percentile, Ms(bound));
    return;
  }
  *console_.out << absl::StrFormat(
      "Best with p%d within %.4g ms: %s, %.1f %s, p%d %.1f ms\n", percentile,
      Ms(bound), HumanLoad(best->load), PerSecond(best->summary), Unit(),
      percentile, Ms(best->summary.Percentile(percentile)));
}

}  // namespace zeroshot::client
