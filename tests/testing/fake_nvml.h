// What tests make the stand-in of libnvidia-ml.so.1 do.
// Thread rule: every function may be called from any thread.
#ifndef ZEROSHOT_TESTS_TESTING_FAKE_NVML_H_
#define ZEROSHOT_TESTS_TESTING_FAKE_NVML_H_

#ifdef __cplusplus
extern "C" {
#endif

// nvmlMemory_t and nvmlUtilization_t.
typedef struct {
  unsigned long long total, free, used;
} FakeNvmlMemory;
typedef struct {
  unsigned gpu, memory;
} FakeNvmlUtilization;

void FakeNvmlHang(int on);         // calls do not return
void FakeNvmlLose(int on);         // all GPUs are lost
void FakeNvmlLackSensors(int on);  // of load and power
int FakeNvmlUsers(void);           // nvmlInit_v2 without nvmlShutdown
int FakeNvmlFound(void);           // GPUs, by their PCI bus ids

#ifdef __cplusplus
}
#endif

#endif  // ZEROSHOT_TESTS_TESTING_FAKE_NVML_H_
