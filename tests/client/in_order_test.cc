#include "client/in_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace zeroshot::client {
namespace {

using ::testing::Each;
using ::testing::Le;

TEST(InOrderTest, HandsOverResultsInTheOrderOfTheInput) {
  std::vector<int64_t> seen;
  InOrder<int64_t>(
      200, 8,
      [](int64_t i) {
        // Every seventh item is slow.
        if (i % 7 == 0) {
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        return i * i;
      },
      [&](int64_t i, int64_t square) {
        EXPECT_EQ(square, i * i);
        seen.push_back(i);
      });
  ASSERT_EQ(seen.size(), 200);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST(InOrderTest, RunsAsManyAtOnceAsAllowedAndNoMore) {
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  InOrder<int>(
      12, 3,
      [&](int64_t) {
        const int now = ++running;
        int seen = most;
        while (now > seen && !most.compare_exchange_weak(seen, now)) {
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        --running;
        return 0;
      },
      [](int64_t, int) {});
  EXPECT_EQ(most, 3);
}

TEST(InOrderTest, ASlowItemDoesNotLetResultsPileUp) {
  std::atomic<int64_t> done{0};
  std::mutex mu;
  std::vector<int64_t> ahead;
  InOrder<int>(
      100, 2,
      [&](int64_t i) {
        if (i == 0) std::this_thread::sleep_for(std::chrono::milliseconds(50));
        std::lock_guard<std::mutex> lock(mu);
        ahead.push_back(i - done);
        return 0;
      },
      [&](int64_t, int) { ++done; });
  EXPECT_THAT(ahead, Each(Le(4 * 2)));
}

TEST(InOrderTest, CallsDoneOnTheCallingThread) {
  std::set<std::thread::id> ids;
  InOrder<int>(
      10, 4, [](int64_t) { return 0; },
      [&](int64_t, int) { ids.insert(std::this_thread::get_id()); });
  EXPECT_EQ(ids, std::set<std::thread::id>{std::this_thread::get_id()});
}

TEST(InOrderTest, TakesItemsThatComeOneByOne) {
  int made = 0;  // by one thread at a time
  std::vector<std::string> seen;
  InOrderOf<std::string, int>(
      4,
      [&]() -> std::optional<int> {
        if (made == 1000) return std::nullopt;
        return made++;
      },
      [](int& i) {
        if (i % 7 == 0) absl::SleepFor(absl::Microseconds(100));
        return absl::StrCat(i);
      },
      [&](int i, std::string text) {
        EXPECT_EQ(text, absl::StrCat(i));
        seen.push_back(std::move(text));
      });
  ASSERT_EQ(seen.size(), 1000);
  EXPECT_EQ(seen[999], "999");
}

TEST(InOrderTest, NothingToDoIsDone) {
  InOrder<int>(
      0, 4,
      [](int64_t) {
        ADD_FAILURE();
        return 0;
      },
      [](int64_t, int) { ADD_FAILURE(); });
}

}  // namespace
}  // namespace zeroshot::client
