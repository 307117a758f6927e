// Steady load on a server: as many calls at once as told (closed loop), or as
// many per second, at random times, whether or not the server keeps up (open
// loop).
#ifndef ZEROSHOT_CLIENT_CLI_LOAD_H_
#define ZEROSHOT_CLIENT_CLI_LOAD_H_

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/measurement.h"
#include "client/types.h"

namespace zeroshot::client {

struct Load {
  int concurrency = 0;  // closed loop; 0: open loop of
  double rate = 0;      // calls per second
};

struct LoadOptions {
  absl::Duration window = absl::Seconds(5);
  int max_windows = 10;
  double tolerance = 0.1;  // see Agree

  // Threads of an open loop: calls in flight at most. A call that has to wait
  // for a thread counts from the time it was due.
  int max_in_flight = 256;
};

// A point of a load test: the last kWindows windows together.
struct Point {
  Load load;
  Summary summary;
  bool stable = false;  // the windows agreed; else there were max_windows
  int windows = 0;      // that were run
};

inline constexpr int kWindows = 3;

// Makes calls number 0, 1, ... under that load until kWindows windows in a row
// agree. In an open loop the times between calls are exponentially
// distributed (Poisson arrivals) and latency counts from the time a call was
// due, so that a slow server cannot thin out its own load. Returns when the
// last call has ended. `call` is called from many threads at once.
Point Measure(const Load& load, const LoadOptions& options,
              const std::function<absl::StatusOr<Answer>(int64_t)>& call);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_LOAD_H_
