#include "client/cli/measurement.h"

#include <algorithm>
#include <cmath>

namespace zeroshot::client {

int64_t Summary::num_errors() const {
  int64_t count = 0;
  for (const auto& [code, errors_of_code] : errors) count += errors_of_code;
  return count;
}

absl::Duration Summary::Percentile(int percent) const {
  return percent == 50 ? p50 : percent == 90 ? p90 : percent == 95 ? p95 : p99;
}

absl::Duration NearestRank(absl::Span<const absl::Duration> sorted,
                           double percent) {
  if (sorted.empty()) return absl::ZeroDuration();
  const auto rank = static_cast<size_t>(
      std::ceil(percent / 100 * static_cast<double>(sorted.size())));
  return sorted[std::max<size_t>(rank, 1) - 1];
}

Summary Summarize(absl::Span<const Sample> samples, absl::Duration length) {
  Summary summary;
  summary.calls = static_cast<int64_t>(samples.size());
  std::vector<absl::Duration> latencies, of_errors;
  absl::Duration total;
  StageSplit& stages = summary.stages;
  for (const Sample& sample : samples) {
    if (sample.code != absl::StatusCode::kOk) {
      ++summary.errors[sample.code];
      of_errors.push_back(sample.latency);
      continue;
    }
    latencies.push_back(sample.latency);
    total += sample.latency;
    const ClassifyTiming& timing = sample.timing;
    stages.decode += timing.decode;
    stages.preprocess += timing.preprocess;
    stages.queue += timing.queue;
    stages.compute += timing.compute;
    stages.other += timing.total - timing.decode - timing.preprocess -
                    timing.queue - timing.compute;
    stages.outside += sample.latency - timing.total;
  }
  std::sort(of_errors.begin(), of_errors.end());
  summary.error_p50 = NearestRank(of_errors, 50);
  summary.error_p95 = NearestRank(of_errors, 95);
  summary.error_max = NearestRank(of_errors, 100);
  if (latencies.empty()) return summary;
  const auto count = static_cast<int64_t>(latencies.size());
  summary.calls_per_second = count / absl::ToDoubleSeconds(length);
  std::sort(latencies.begin(), latencies.end());
  summary.mean = total / count;
  summary.p50 = NearestRank(latencies, 50);
  summary.p90 = NearestRank(latencies, 90);
  summary.p95 = NearestRank(latencies, 95);
  summary.p99 = NearestRank(latencies, 99);
  summary.max = latencies.back();
  for (absl::Duration* stage :
       {&stages.decode, &stages.preprocess, &stages.queue, &stages.compute,
        &stages.other, &stages.outside}) {
    *stage /= count;
  }
  return summary;
}

bool Agree(absl::Span<const Summary> windows, double tolerance) {
  double throughput = 0, latency = 0;
  for (const Summary& window : windows) {
    throughput += window.calls_per_second / windows.size();
    latency += absl::ToDoubleSeconds(window.mean) / windows.size();
  }
  const auto is_near = [&](double value, double mean) {
    return std::abs(value - mean) <= tolerance * mean;
  };
  return std::all_of(windows.begin(), windows.end(), [&](const Summary& w) {
    return w.calls_per_second > 0 && is_near(w.calls_per_second, throughput) &&
           is_near(absl::ToDoubleSeconds(w.mean), latency);
  });
}

double LargestWithin(double first, double limit, bool whole,
                     const std::function<bool(double)>& is_within) {
  double within = 0, beyond = 0;
  for (double load = first; beyond == 0 && within < limit;
       load = std::min(2 * load, limit)) {
    (is_within(load) ? within : beyond) = load;
  }
  if (beyond == 0 || (whole && within == 0)) return within;
  const double least = first / 64;
  while (beyond > least &&
         beyond - within > std::max(whole ? 1.0 : 0.0, 0.05 * within)) {
    const double middle = (within + beyond) / 2;
    const double load = whole ? std::floor(middle) : middle;
    (is_within(load) ? within : beyond) = load;
  }
  return within;
}

}  // namespace zeroshot::client
