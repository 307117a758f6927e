// A stand-in for libnvidia-ml.so.1 with the functions that the server uses,
// declared as NVML's reference has them, and two GPUs that tests govern through
// FakeNvml... (tests/testing/fake_nvml.h).
#include "tests/testing/fake_nvml.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

enum {  // NVML_ERROR_...
  kSuccess = 0,
  kUninitialized = 1,
  kInvalidArgument = 2,
  kNotSupported = 3,
  kNotFound = 6,
  kGpuIsLost = 15
};

typedef struct {
  unsigned domain, bus, device;
} Gpu;
static Gpu gpus[] = {{0, 0x3b, 0}, {0, 0xd8, 0}};

static atomic_int users, found, hangs, lost, poor;

static int Check(const void* device) {
  while (hangs) usleep(1000);
  if (users == 0) return kUninitialized;
  if (device != &gpus[0] && device != &gpus[1]) return kInvalidArgument;
  return lost ? kGpuIsLost : kSuccess;
}

static int IndexOf(const void* device) { return device == &gpus[0] ? 0 : 1; }

void FakeNvmlHang(int on) { hangs = on; }
void FakeNvmlLose(int on) { lost = on; }
void FakeNvmlLackSensors(int on) { poor = on; }
int FakeNvmlUsers(void) { return users; }
int FakeNvmlFound(void) { return found; }

int nvmlInit_v2(void) {
  ++users;
  return kSuccess;
}

int nvmlShutdown(void) {
  if (users == 0) return kUninitialized;
  --users;
  return kSuccess;
}

const char* nvmlErrorString(int result) {
  switch (result) {
    case kSuccess:
      return "Success";
    case kUninitialized:
      return "Uninitialized";
    case kInvalidArgument:
      return "Invalid Argument";
    case kNotSupported:
      return "Not Supported";
    case kNotFound:
      return "Not Found";
    case kGpuIsLost:
      return "GPU is lost";
  }
  return "Unknown Error";
}

// domain:bus:device.function, domain:bus:device or bus:device.function, hex.
int nvmlDeviceGetHandleByPciBusId_v2(const char* id, void** device) {
  while (hangs) usleep(1000);
  if (users == 0) return kUninitialized;
  if (id == NULL || device == NULL) return kInvalidArgument;
  unsigned domain = 0, bus = 0, number = 0;
  if (sscanf(id, "%x:%x:%x", &domain, &bus, &number) != 3) {
    domain = 0;
    if (sscanf(id, "%x:%x.", &bus, &number) != 2) return kInvalidArgument;
  }
  for (int i = 0; i < 2; ++i) {
    const Gpu* gpu = &gpus[i];
    if (gpu->domain != domain || gpu->bus != bus || gpu->device != number) {
      continue;
    }
    *device = &gpus[i];
    ++found;
    return kSuccess;
  }
  return kNotFound;
}

int nvmlDeviceGetMemoryInfo(void* device, FakeNvmlMemory* memory) {
  const int error = Check(device);
  if (error != kSuccess) return error;
  memory->total = 80000000000u;
  memory->used = IndexOf(device) == 0 ? 3000000000u : 5000000000u;
  memory->free = memory->total - memory->used;
  return kSuccess;
}

int nvmlDeviceGetUtilizationRates(void* device,
                                  FakeNvmlUtilization* utilization) {
  const int error = Check(device);
  if (error != kSuccess) return error;
  if (poor) return kNotSupported;
  utilization->gpu = IndexOf(device) == 0 ? 75 : 50;
  utilization->memory = 20;
  return kSuccess;
}

int nvmlDeviceGetTemperature(void* device, int sensor, unsigned* celsius) {
  const int error = Check(device);
  if (error != kSuccess) return error;
  if (sensor != 0) return kInvalidArgument;  // NVML_TEMPERATURE_GPU alone
  *celsius = IndexOf(device) == 0 ? 61 : 62;
  return kSuccess;
}

int nvmlDeviceGetPowerUsage(void* device, unsigned* milliwatts) {
  const int error = Check(device);
  if (error != kSuccess) return error;
  if (poor) return kNotSupported;
  *milliwatts = IndexOf(device) == 0 ? 350500 : 351000;
  return kSuccess;
}
