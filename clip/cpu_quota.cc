#include "clip/cpu_quota.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace clip {
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

}  // namespace

std::optional<double> CpuQuota(const std::string& proc,
                               const std::string& cgroups) {
  std::optional<double> least;
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
      if (std::find(controllers.begin(), controllers.end(), "cpu") ==
          controllers.end()) {
        continue;
      }
      mounts = {cgroups + "/cpu", cgroups + "/" + std::string(fields[1])};
    }
    // A container sees its own group where the root is mounted, whatever its
    // path says.
    std::string path(absl::StripSuffix(fields[2], "/"));
    while (true) {
      for (const std::string& mount : mounts) {
        const std::optional<double> quota = QuotaOf(mount + path);
        if (quota && (!least || *quota < *least)) least = quota;
      }
      if (path.empty()) break;
      path.erase(path.rfind('/'));
    }
  }
  return least;
}

int ThreadsWithin(std::optional<double> quota, int cores) {
  if (!quota || *quota >= cores) return cores;
  return std::max(1, static_cast<int>(std::ceil(*quota)));
}

}  // namespace clip
