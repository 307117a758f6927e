#include "server/gpu_monitor.h"

#include <dlfcn.h>
#include <spdlog/spdlog.h>

#include <cstdint>
#include <utility>

#include "base/monotonic.h"
#include "base/mutex.h"

namespace zeroshot::server {
namespace {

// What we use of NVML's interface, as its reference declares it: C, stable
// since version 2 of these functions. Return values other than kSuccess are
// NVML_ERROR_...; kNotSupported is that of a card which lacks a sensor.
using NvmlReturn = int;
constexpr NvmlReturn kSuccess = 0;
constexpr NvmlReturn kNotSupported = 3;
struct NvmlDeviceState;
using NvmlDevice = NvmlDeviceState*;
struct NvmlMemory {
  unsigned long long total, free, used;  // bytes
};
struct NvmlUtilization {
  unsigned int gpu, memory;  // percent of the last sample's time
};
constexpr int kTemperatureGpu = 0;  // NVML_TEMPERATURE_GPU, of the die

// How long a monitor that goes waits for its thread.
constexpr absl::Duration kTimeToEnd = absl::Seconds(2);

// The library, loaded and initialised. For one thread.
class Nvml {
 public:
  explicit Nvml(const std::string& library)
      : handle_(dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) {
      spdlog::info("no metrics of GPUs: {} is not here", library);
      return;
    }
    Find("nvmlInit_v2", &init_);
    Find("nvmlShutdown", &shutdown_);
    Find("nvmlErrorString", &error_string_);
    Find("nvmlDeviceGetHandleByPciBusId_v2", &by_pci_bus_id_);
    Find("nvmlDeviceGetMemoryInfo", &memory_);
    Find("nvmlDeviceGetUtilizationRates", &utilization_);
    Find("nvmlDeviceGetTemperature", &temperature_);
    Find("nvmlDeviceGetPowerUsage", &power_);
    if (init_ == nullptr || shutdown_ == nullptr || by_pci_bus_id_ == nullptr) {
      spdlog::info("no metrics of GPUs: {} lacks what they need", library);
      return;
    }
    const NvmlReturn result = init_();
    if (result == kSuccess) ready_ = true;
    if (result != kSuccess) Warn("NVML", result);
  }

  // The library stays loaded: it may have threads.
  ~Nvml() {
    if (ready_) shutdown_();
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  bool ready() const { return ready_; }

  // Null if it is not to be had; then the log says why.
  NvmlDevice Find(const clip::Device& device) {
    NvmlDevice found = nullptr;
    const NvmlReturn result = by_pci_bus_id_(device.pci_bus_id.c_str(), &found);
    if (result == kSuccess) return found;
    Warn(device.name, result);
    return nullptr;
  }

  GpuReading Read(const std::string& name, NvmlDevice device) {
    GpuReading reading;
    reading.device = name;
    NvmlMemory memory{};
    if (memory_ != nullptr && Good(name, memory_(device, &memory))) {
      reading.memory_bytes = static_cast<double>(memory.used);
      reading.memory_max_bytes = static_cast<double>(memory.total);
    }
    NvmlUtilization utilization{};
    if (utilization_ != nullptr &&
        Good(name, utilization_(device, &utilization))) {
      reading.busy_ratio = utilization.gpu / 100.0;
    }
    unsigned int value = 0;
    if (temperature_ != nullptr &&
        Good(name, temperature_(device, kTemperatureGpu, &value))) {
      reading.temperature_celsius = value;
    }
    if (power_ != nullptr && Good(name, power_(device, &value))) {
      reading.watts = value / 1000.0;  // from milliwatts
    }
    return reading;
  }

 private:
  template <typename Function>
  void Find(const char* name, Function** function) {
    *function = reinterpret_cast<Function*>(dlsym(handle_, name));
  }

  bool Good(const std::string& name, NvmlReturn result) {
    if (result != kSuccess && result != kNotSupported) Warn(name, result);
    return result == kSuccess;
  }

  // Once: scrapes come all the time, and what is lost says so elsewhere too.
  void Warn(const std::string& of, NvmlReturn result) {
    if (std::exchange(warned_, true)) return;
    spdlog::warn("metrics of GPUs are missing: {}: {}", of,
                 error_string_ != nullptr ? error_string_(result) : "error");
  }

  void* const handle_;
  bool ready_ = false;
  bool warned_ = false;
  NvmlReturn (*init_)() = nullptr;
  NvmlReturn (*shutdown_)() = nullptr;
  const char* (*error_string_)(NvmlReturn) = nullptr;
  NvmlReturn (*by_pci_bus_id_)(const char*, NvmlDevice*) = nullptr;
  NvmlReturn (*memory_)(NvmlDevice, NvmlMemory*) = nullptr;
  NvmlReturn (*utilization_)(NvmlDevice, NvmlUtilization*) = nullptr;
  NvmlReturn (*temperature_)(NvmlDevice, int, unsigned int*) = nullptr;
  NvmlReturn (*power_)(NvmlDevice, unsigned int*) = nullptr;
};

}  // namespace

struct GpuMonitor::Shared {
  // On the thread: reads whenever asked, until it shall stop.
  void Work(const std::string& library) {
    Nvml nvml(library);
    std::vector<NvmlDevice> handles(devices.size());
    bool found = false;
    while (WaitUntilAsked()) {
      std::vector<GpuReading> now;
      for (size_t i = 0; nvml.ready() && i < devices.size(); ++i) {
        if (!found) handles[i] = nvml.Find(devices[i]);
        if (handles[i] == nullptr) continue;
        now.push_back(nvml.Read(devices[i].name, handles[i]));
      }
      found = true;
      base::MutexLock lock(&mu);
      ++answered;
      readings = std::move(now);
      read_at = base::MonotonicNow();
      changed.NotifyAll();
    }
  }

  bool WaitUntilAsked() {
    base::MutexLock lock(&mu);
    while (asked == answered && !stop) changed.Wait(&mu);
    return !stop;
  }

  std::vector<clip::Device> devices;  // of the thread alone
  base::Mutex mu;
  base::CondVar changed;
  int64_t asked ABSL_GUARDED_BY(mu) = 0;
  int64_t answered ABSL_GUARDED_BY(mu) = 0;
  std::vector<GpuReading> readings ABSL_GUARDED_BY(mu);
  absl::Time read_at ABSL_GUARDED_BY(mu) = absl::InfinitePast();
  bool stop ABSL_GUARDED_BY(mu) = false;
  bool ended ABSL_GUARDED_BY(mu) = false;
};

GpuMonitor::GpuMonitor(const std::vector<clip::Device>& devices,
                       const Options& options)
    : options_(options), shared_(std::make_shared<Shared>()) {
  for (const clip::Device& device : devices) {
    if (!device.pci_bus_id.empty()) shared_->devices.push_back(device);
  }
  if (shared_->devices.empty()) return;
  thread_ = std::thread([shared = shared_, library = options.library] {
    shared->Work(library);
    base::MutexLock lock(&shared->mu);
    shared->ended = true;
    shared->changed.NotifyAll();
  });
}

GpuMonitor::~GpuMonitor() {
  if (!thread_.joinable()) return;
  bool ended = false;
  {
    const absl::Time until = base::MonotonicNow() + kTimeToEnd;
    base::MutexLock lock(&shared_->mu);
    shared_->stop = true;
    shared_->changed.NotifyAll();
    while (!shared_->ended && shared_->changed.WaitUntil(&shared_->mu, until)) {
    }
    ended = shared_->ended;
  }
  if (ended) thread_.join();
  if (!ended) thread_.detach();
}

std::vector<GpuReading> GpuMonitor::Read() {
  if (!thread_.joinable()) return {};
  const absl::Time until = base::MonotonicNow() + options_.patience;
  base::MutexLock lock(&shared_->mu);
  // A question that waits for its answer is not asked twice.
  const int64_t mine = shared_->answered + 1;
  if (shared_->asked < mine) {
    shared_->asked = mine;
    shared_->changed.NotifyAll();
  }
  while (shared_->answered < mine &&
         shared_->changed.WaitUntil(&shared_->mu, until)) {
  }
  if (base::MonotonicNow() - shared_->read_at > options_.keep) return {};
  return shared_->readings;
}

}  // namespace zeroshot::server
