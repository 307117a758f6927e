// How much of the machine the control group of this process may use. What
// cannot be read does not limit. `proc` and `cgroups` are where those file
// systems are mounted. Both versions of control groups are read, the process's
// group and those above it: the least counts. See the kernel's
// Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
#ifndef ZEROSHOT_BASE_CONTROL_GROUP_H_
#define ZEROSHOT_BASE_CONTROL_GROUP_H_

#include <cstdint>
#include <optional>
#include <string>

namespace base {

// Cores' worth of time that the kernel grants this process, none where nothing
// limits it: Kubernetes' limits.cpu or `docker run --cpus`, which leave all of
// the machine's cores visible. A team of more threads than that is stopped for
// the rest of each period (of 100 ms mostly), with all waiting for the one that
// was stopped first.
std::optional<double> CpuQuota(const std::string& proc = "/proc",
                               const std::string& cgroups = "/sys/fs/cgroup");

// Bytes of memory that the kernel grants this process, none where only the
// machine's own memory limits it. One that takes more is killed without a word.
std::optional<int64_t> MemoryLimit(
    const std::string& proc = "/proc",
    const std::string& cgroups = "/sys/fs/cgroup");

// Threads for work that waits for its slowest part: `cores`, or the quota
// rounded up: with 1.5 cores' time two threads, stopped now and then, do a
// third more than one (docs/performance.md).
int ThreadsWithin(std::optional<double> quota, int cores);

// Whether so many threads can be started now. Libraries that cannot start
// theirs end the process (libgomp) or wait for ever (LibTorch's pool).
bool CanStartThreads(int threads);

}  // namespace base

#endif  // ZEROSHOT_BASE_CONTROL_GROUP_H_
