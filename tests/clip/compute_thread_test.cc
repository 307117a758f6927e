#include "clip/compute_thread.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

namespace clip {
namespace {

TEST(ComputeThreadTest, RunsEverythingOnOneThreadThatIsNoCaller) {
  ComputeThread compute;
  std::set<std::thread::id> ids;
  for (int i = 0; i < 3; ++i) {
    compute.Run([&] { ids.insert(std::this_thread::get_id()); });
  }
  EXPECT_EQ(ids.size(), 1);
  EXPECT_EQ(ids.count(std::this_thread::get_id()), 0);
}

TEST(ComputeThreadTest, RunsOneAtATimeAndReturnsWhenItIsDone) {
  ComputeThread compute;
  int inside = 0, runs = 0;  // no lock: only the compute thread touches them
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      for (int j = 0; j < 500; ++j) {
        int result = 0;
        compute.Run([&] {
          EXPECT_EQ(++inside, 1);
          ++runs;
          result = j + 1;
          --inside;
        });
        EXPECT_EQ(result, j + 1);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(runs, 8 * 500);
}

TEST(ComputeThreadTest, EndsWithoutHavingWorked) { ComputeThread compute; }

}  // namespace
}  // namespace clip
