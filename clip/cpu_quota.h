// How much processor time the control group of this process may use.
#ifndef ZEROSHOT_CLIP_CPU_QUOTA_H_
#define ZEROSHOT_CLIP_CPU_QUOTA_H_

#include <optional>
#include <string>

namespace clip {

// Cores' worth of time that the kernel grants this process, none where nothing
// limits it: Kubernetes' limits.cpu or `docker run --cpus`, which leave all of
// the machine's cores visible. A team of more threads than that is stopped for
// the rest of each period (of 100 ms mostly), with all waiting for the one that
// was stopped first.
//
// The least quota of the process's group and those above it, of cgroup v2
// (cpu.max) and v1 (cpu.cfs_quota_us); see the kernel's
// Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst.
// What cannot be read does not limit. `proc` and `cgroups` are where those file
// systems are mounted.
std::optional<double> CpuQuota(const std::string& proc = "/proc",
                               const std::string& cgroups = "/sys/fs/cgroup");

// Threads for work that waits for its slowest part: `cores`, or the quota
// rounded up: with 1.5 cores' time two threads, stopped now and then, do a
// third more than one (docs/performance.md).
int ThreadsWithin(std::optional<double> quota, int cores);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CPU_QUOTA_H_
