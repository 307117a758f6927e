#include "base/in_background.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <string>

namespace base {
namespace {

int Niceness() { return getpriority(PRIO_PROCESS, 0); }

TEST(InBackgroundTest, WorkLeavesTheCoresToOthersAndTheCallerDoesNot) {
  const int before = Niceness();
  EXPECT_EQ(InBackground([] { return Niceness(); }), std::min(before + 10, 19));
  EXPECT_EQ(Niceness(), before);
}

TEST(InBackgroundTest, TheCallerHasWhatTheWorkReturns) {
  std::string taken = "before";
  EXPECT_EQ(InBackground([&] {
              taken = "within";
              return std::string("done");
            }),
            "done");
  EXPECT_EQ(taken, "within");
}

}  // namespace
}  // namespace base
