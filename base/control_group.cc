#include "base/control_group.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <fstream>
#include <future>
#include <iterator>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace base {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Microseconds of one period, as words of a file; none for "max" and "-1".
std::optional<double> Cores(absl::string_view quota, absl::string_view period) {
  double used = 0, whole = 0;
  if (!absl::SimpleAtod(quota, &used) || !absl::SimpleAtod(period, &whole) ||
      used <= 0 || whole <= 0) {
    return std::nullopt;
  }
  return used / whole;
}

// Of one group's folder, in either version.
std::optional<double> QuotaOf(const std::string& folder) {
  const std::string v2 = ReadFile(folder + "/cpu.max");
  const std::vector<absl::string_view> words =
      absl::StrSplit(v2, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  if (words.size() == 2) return Cores(words[0], words[1]);
  return Cores(ReadFile(folder + "/cpu.cfs_quota_us"),
               ReadFile(folder + "/cpu.cfs_period_us"));
}

std::optional<int64_t> MemoryOf(const std::string& folder) {
  int64_t bytes = 0;
  for (const char* file : {"/memory.max", "/memory.limit_in_bytes"}) {
    // Version 1 says by a number beyond all memory that there is none.
    if (absl::SimpleAtoi(ReadFile(folder + file), &bytes) && bytes > 0 &&
        bytes < int64_t{1} << 60) {
      return bytes;
    }
  }
  return std::nullopt;
}

// The least of what `read` finds in the folders of this process's groups and of
// those above them.
template <typename Limit>
std::optional<Limit> Least(const std::string& proc, const std::string& cgroups,
                           const std::string& controller,
                           std::optional<Limit> (*read)(const std::string&)) {
  std::optional<Limit> least;
  const std::string groups = ReadFile(proc + "/self/cgroup");
  for (const absl::string_view line : absl::StrSplit(groups, '\n')) {
    // hierarchy:controllers:path, with no controllers in version 2.
    const std::vector<absl::string_view> fields =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3 || !absl::StartsWith(fields[2], "/")) continue;
    std::vector<std::string> mounts;
    if (fields[1].empty()) {
      mounts = {cgroups, cgroups + "/unified"};
    } else {
      const std::vector<absl::string_view> controllers =
          absl::StrSplit(fields[1], ',');
      if (std::find(controllers.begin(), controllers.end(), controller) ==
          controllers.end()) {
        continue;
      }
      mounts = {cgroups + "/" + controller,
                cgroups + "/" + std::string(fields[1])};
    }
    // A container sees its own group where the root is mounted, whatever its
    // path says.
    std::string path(absl::StripSuffix(fields[2], "/"));
    while (true) {
      for (const std::string& mount : mounts) {
        const std::optional<Limit> limit = read(mount + path);
        if (limit && (!least || *limit < *least)) least = limit;
      }
      if (path.empty()) break;
      path.erase(path.rfind('/'));
    }
  }
  return least;
}

}  // namespace

std::optional<double> CpuQuota(const std::string& proc,
                               const std::string& cgroups) {
  return Least(proc, cgroups, "cpu", &QuotaOf);
}

std::optional<int64_t> MemoryLimit(const std::string& proc,
                                   const std::string& cgroups) {
  return Least(proc, cgroups, "memory", &MemoryOf);
}

int ThreadsWithin(std::optional<double> quota, int cores) {
  if (!quota || *quota >= cores) return cores;
  return std::max(1, static_cast<int>(std::ceil(*quota)));
}

bool CanStartThreads(int threads) {
  std::vector<std::thread> started;
  started.reserve(threads);
  std::promise<void> enough;
  const std::shared_future<void> wait = enough.get_future().share();
  bool all = true;
  try {
    for (int i = 0; i < threads; ++i)
      started.emplace_back([wait] { wait.wait(); });
  } catch (const std::exception&) {
    all = false;
  }
  enough.set_value();
  for (std::thread& thread : started) thread.join();
  return all;
}

}  // namespace base
