#include "base/control_group.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/testing/temporary_folder.h"

namespace base {
namespace {

// File systems as the kernel would show them.
class ControlGroupTest : public testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::optional<double> Read() {
    return CpuQuota(root_ + "/proc", root_ + "/cgroup");
  }
  std::optional<int64_t> ReadMemory() {
    return MemoryLimit(root_ + "/proc", root_ + "/cgroup");
  }

 private:
  const testing::TemporaryFolder folder_;
  const std::string root_ = folder_.path();
};

TEST_F(ControlGroupTest, NothingReadableIsNoLimit) {
  EXPECT_EQ(Read(), std::nullopt);
  Write("/proc/self/cgroup", "0::/\nnonsense\n:::\n");
  EXPECT_EQ(Read(), std::nullopt);
}

TEST_F(ControlGroupTest, ReadsVersion2) {
  Write("/proc/self/cgroup", "0::/\n");
  Write("/cgroup/cpu.max", "250000 100000\n");
  EXPECT_EQ(Read(), 2.5);
  Write("/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(Read(), std::nullopt);
}

TEST_F(ControlGroupTest, ReadsVersion1) {
  Write("/proc/self/cgroup", "4:memory:/pod\n2:cpu,cpuacct:/pod\n0::/\n");
  Write("/cgroup/cpu,cpuacct/pod/cpu.cfs_quota_us", "400000\n");
  Write("/cgroup/cpu,cpuacct/pod/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Read(), 4);
  Write("/cgroup/cpu,cpuacct/pod/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(Read(), std::nullopt);
}

TEST_F(ControlGroupTest, TheLeastOfAllGroupsAboveCounts) {
  Write("/proc/self/cgroup", "0::/kubepods/pod1/container\n");
  Write("/cgroup/kubepods/cpu.max", "800000 100000\n");
  Write("/cgroup/kubepods/pod1/cpu.max", "150000 50000\n");
  Write("/cgroup/kubepods/pod1/container/cpu.max", "max 100000\n");
  EXPECT_EQ(Read(), 3);
}

// Without a namespace of its own a container's path is the host's, which it
// cannot see.
TEST_F(ControlGroupTest, FallsBackToWhereTheContainersGroupIsMounted) {
  Write("/proc/self/cgroup", "3:cpu:/docker/0123456789abcdef\n");
  Write("/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
  Write("/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Read(), 0.5);
}

TEST_F(ControlGroupTest, MemoryOfVersion2) {
  Write("/proc/self/cgroup", "0::/pod/container\n");
  EXPECT_EQ(ReadMemory(), std::nullopt);
  Write("/cgroup/pod/memory.max", "536870912\n");
  Write("/cgroup/pod/container/memory.max", "max\n");
  EXPECT_EQ(ReadMemory(), 536870912);
}

TEST_F(ControlGroupTest, MemoryOfVersion1) {
  Write("/proc/self/cgroup", "4:memory:/pod\n2:cpu,cpuacct:/pod\n0::/\n");
  Write("/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(ReadMemory(), std::nullopt);
  Write("/cgroup/memory/pod/memory.limit_in_bytes", "1073741824\n");
  EXPECT_EQ(ReadMemory(), 1073741824);
}

TEST(ThreadsWithinTest, TheQuotaRoundedUp) {
  EXPECT_EQ(ThreadsWithin(std::nullopt, 8), 8);
  EXPECT_EQ(ThreadsWithin(16, 8), 8);
  EXPECT_EQ(ThreadsWithin(4, 8), 4);
  EXPECT_EQ(ThreadsWithin(2.1, 8), 3);
  EXPECT_EQ(ThreadsWithin(0.5, 8), 1);
}

}  // namespace
}  // namespace base
