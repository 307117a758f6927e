// Memory, load and temperature of the GPUs that the server uses, from NVML
// (NVIDIA's management library), which comes with the driver. Without it there
// is nothing to read, and that is no error.
#ifndef ZEROSHOT_SERVER_GPU_MONITOR_H_
#define ZEROSHOT_SERVER_GPU_MONITOR_H_

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "clip/model.h"

namespace zeroshot::server {

// What NVML says of one GPU; what it does not say is absent. Of a slice of a
// GPU (MIG) it is the whole card that is measured.
struct GpuReading {
  std::string device;  // "cuda:0"
  // In use, by any program, and the whole memory:
  std::optional<double> memory_bytes = std::nullopt;
  std::optional<double> memory_max_bytes = std::nullopt;
  // The share of the last moments in which a kernel ran.
  std::optional<double> busy_ratio = std::nullopt;
  std::optional<double> temperature_celsius = std::nullopt;
  std::optional<double> watts = std::nullopt;
};

// Thread rule: Read may be called from many threads at once. NVML is called on
// a thread of its own, because a driver in trouble may not return.
class GpuMonitor {
 public:
  struct Options {
    std::string library = "libnvidia-ml.so.1";
    // How long Read waits for new values. NVML takes milliseconds; the first
    // time, when it initialises, it may take seconds.
    absl::Duration patience = absl::Milliseconds(300);
    // Values older than that are no longer reported.
    absl::Duration keep = absl::Seconds(60);
  };

  // Watches those of `devices` that have a PCI bus id; with none there is
  // neither thread nor library.
  GpuMonitor(const std::vector<clip::Device>& devices, const Options& options);
  // Waits for a call of NVML that is under way, but not for ever.
  ~GpuMonitor();
  GpuMonitor(const GpuMonitor&) = delete;
  GpuMonitor& operator=(const GpuMonitor&) = delete;

  // New values, or, if they do not come in time, the latest. Returns within
  // about `patience`.
  std::vector<GpuReading> Read();

 private:
  struct Shared;

  const Options options_;
  const std::shared_ptr<Shared> shared_;  // with a thread that may be stuck
  std::thread thread_;                    // not joinable if there is none
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_GPU_MONITOR_H_
