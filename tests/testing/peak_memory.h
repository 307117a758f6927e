// How much memory this process had at most while something ran.
#ifndef ZEROSHOT_TESTS_TESTING_PEAK_MEMORY_H_
#define ZEROSHOT_TESTS_TESTING_PEAK_MEMORY_H_

#include <cstdint>
#include <fstream>
#include <functional>
#include <string>

namespace testing {

inline int64_t PeakBytes() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stoll(line.substr(6)) << 10;
  }
  return 0;
}

// Bytes above what there was before. Thread rule: what other threads take
// meanwhile counts too.
inline int64_t PeakSince(const std::function<void()>& run) {
  std::ofstream("/proc/self/clear_refs") << "5";
  const int64_t before = PeakBytes();
  run();
  return PeakBytes() - before;
}

}  // namespace testing

#endif  // ZEROSHOT_TESTS_TESTING_PEAK_MEMORY_H_
