// What a load test measures: calls, windows of them, and when windows agree.
#ifndef ZEROSHOT_CLIENT_CLI_MEASUREMENT_H_
#define ZEROSHOT_CLIENT_CLI_MEASUREMENT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/types.h"

namespace zeroshot::client {

// One call that has ended.
struct Sample {
  absl::StatusCode code = absl::StatusCode::kOk;
  absl::Duration latency;
  ClassifyTiming timing;  // the server's, of a call that went well
};

// Means over the calls that went well. They add up to the mean latency.
struct StageSplit {
  absl::Duration decode, preprocess, queue, compute;  // the server's own
  absl::Duration other;    // the rest of the server's total
  absl::Duration outside;  // network, both gRPC stacks, waiting for a thread
};

// A time of steady load in numbers. Latencies are those of calls that went
// well unless said otherwise.
struct Summary {
  int64_t calls = 0;  // all that ended
  std::map<absl::StatusCode, int64_t> errors;
  double calls_per_second = 0;  // that went well
  absl::Duration mean, p50, p90, p95, p99, max;
  absl::Duration error_p50, error_p95, error_max;  // of the others
  StageSplit stages;

  int64_t num_errors() const;
  // REQUIRES: percent is 50, 90, 95 or 99.
  absl::Duration Percentile(int percent) const;
};

// The samples that ended within `length`.
Summary Summarize(absl::Span<const Sample> samples, absl::Duration length);

// The smallest value that `percent` of the sorted values do not exceed (the
// nearest-rank percentile). Zero of none.
absl::Duration NearestRank(absl::Span<const absl::Duration> sorted,
                           double percent);

// Whether each window's throughput and mean latency are within `tolerance`
// (0.1: 10 %) of the windows' mean. None does in which nothing was answered.
bool Agree(absl::Span<const Summary> windows, double tolerance);

// The largest load that is within bounds: doubles it from `first` on up to
// `limit`, then halves the gap until it is 5 % of the load, or 1 if loads are
// `whole` numbers. Where `first` is too much already, it is halved 6 times at
// most, unless loads are whole. 0 if none of them is within.
double LargestWithin(double first, double limit, bool whole,
                     const std::function<bool(double)>& is_within);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_MEASUREMENT_H_
