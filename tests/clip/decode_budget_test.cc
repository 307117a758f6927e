#include "clip/decode_budget.h"

#include <atomic>
#include <deque>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace clip {
namespace {

using ::testing::HasSubstr;

base::Caller Forever() { return {}; }

// Callers that wait, in the order in which they came, and the order in which
// they were served. Each keeps its share until it is told to give it back.
class Waiters {
 public:
  explicit Waiters(DecodeBudget* budget) : budget_(budget) {}
  ~Waiters() {
    for (std::thread& thread : threads_) thread.join();
  }

  // Returns when that caller waits, or was served.
  void Add(int64_t bytes) {
    const int number = static_cast<int>(threads_.size());
    const int waiting = budget_->stats().waiting;
    shares_.emplace_back();
    std::optional<DecodeBudget::Share>& kept = shares_.back();
    threads_.emplace_back([this, number, bytes, &kept] {
      absl::StatusOr<DecodeBudget::Share> share =
          budget_->Take(bytes, Forever());
      EXPECT_TRUE(share.ok()) << share.status();
      base::MutexLock lock(&mu_);
      kept = *std::move(share);
      served_.push_back(number);
    });
    while (budget_->stats().waiting == waiting && !Served(number)) {
      std::this_thread::yield();
    }
  }

  void GiveBack(int number) {
    while (!Served(number)) std::this_thread::yield();
    std::optional<DecodeBudget::Share> share;
    {
      base::MutexLock lock(&mu_);
      share = std::exchange(shares_[number], std::nullopt);
    }
  }

  bool Served(int number) {
    base::MutexLock lock(&mu_);
    for (const int other : served_) {
      if (other == number) return true;
    }
    return false;
  }

  std::vector<int> served() {
    base::MutexLock lock(&mu_);
    return served_;
  }

 private:
  DecodeBudget* const budget_;
  base::Mutex mu_;
  std::vector<int> served_;
  std::deque<std::optional<DecodeBudget::Share>> shares_;
  std::vector<std::thread> threads_;
};

TEST(DecodeBudgetTest, ServesAtOnceWhatFits) {
  DecodeBudget budget({.bytes = 100, .at_once = 3});
  {
    const auto a = budget.Take(60, Forever());
    const auto b = budget.Take(40, Forever());
    ASSERT_TRUE(a.ok() && b.ok());
    EXPECT_EQ(budget.stats().bytes, 100);
    EXPECT_EQ(budget.stats().running, 2);
    EXPECT_EQ(budget.stats().max_bytes, 100);
  }
  EXPECT_EQ(budget.stats().bytes, 0);
  EXPECT_EQ(budget.stats().running, 0);
}

TEST(DecodeBudgetTest, RefusesWhatWouldNeverFit) {
  DecodeBudget budget({.bytes = 100, .at_once = 1, .name = "--the_flag"});
  const absl::Status status = budget.Take(101, Forever()).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("101"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("100"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("--the_flag"));
  EXPECT_TRUE(budget.Take(100, Forever()).ok());
}

TEST(DecodeBudgetTest, AShareThatMovedIsGivenBackOnce) {
  DecodeBudget budget({.bytes = 100, .at_once = 2});
  auto share = budget.Take(70, Forever());
  ASSERT_TRUE(share.ok());
  {
    DecodeBudget::Share moved = *std::move(share);
    DecodeBudget::Share assigned;
    assigned = std::move(moved);
    EXPECT_EQ(budget.stats().bytes, 70);
  }
  EXPECT_EQ(budget.stats().bytes, 0);
}

TEST(DecodeBudgetTest, WaitsForMemory) {
  DecodeBudget budget({.bytes = 100, .at_once = 8});
  Waiters waiters(&budget);
  waiters.Add(60);
  waiters.Add(50);
  EXPECT_EQ(budget.stats().waiting, 1);
  EXPECT_EQ(budget.stats().bytes, 60);
  waiters.GiveBack(0);
  waiters.GiveBack(1);
  EXPECT_GT(budget.stats().waited, absl::ZeroDuration());
}

TEST(DecodeBudgetTest, WaitsForAPlaceAmongThoseAtOnce) {
  DecodeBudget budget({.bytes = 100, .at_once = 2});
  Waiters waiters(&budget);
  for (int i = 0; i < 4; ++i) waiters.Add(1);
  EXPECT_EQ(budget.stats().running, 2);
  EXPECT_EQ(budget.stats().waiting, 2);
  waiters.GiveBack(0);
  while (!waiters.Served(2)) std::this_thread::yield();
  EXPECT_FALSE(waiters.Served(3));
  EXPECT_EQ(budget.stats().running, 2);
  for (int i = 1; i < 4; ++i) waiters.GiveBack(i);
  EXPECT_EQ(waiters.served().size(), 4);
}

TEST(DecodeBudgetTest, SmallOnesWaitForNoLargeOne) {
  DecodeBudget budget({.bytes = 1'000, .at_once = 4, .small = 10});
  Waiters waiters(&budget);
  for (int i = 0; i < 5; ++i) waiters.Add(300);  // 0 to 4
  EXPECT_EQ(budget.stats().running, 3);
  for (int i = 5; i < 5 + 2 * DecodeBudget::kMaxOvertaken; ++i) {
    waiters.Add(10);
    EXPECT_TRUE(waiters.Served(i)) << i;
    waiters.GiveBack(i);
  }
  // However often they were overtaken, large ones get their places.
  waiters.GiveBack(0);
  waiters.GiveBack(1);
  while (!waiters.Served(3) || !waiters.Served(4)) std::this_thread::yield();
  for (int i = 2; i < 5; ++i) waiters.GiveBack(i);
}

TEST(DecodeBudgetTest, SmallOnesStarveNoneThatNeedsAllMemory) {
  DecodeBudget budget({.bytes = 1'000, .at_once = 4, .small = 10});
  Waiters waiters(&budget);
  waiters.Add(10);
  waiters.Add(1'000);
  for (int i = 2; i < 2 + DecodeBudget::kMaxOvertaken; ++i) {
    waiters.Add(10);
    waiters.GiveBack(i);
  }
  const int last = 2 + DecodeBudget::kMaxOvertaken;
  waiters.Add(10);
  EXPECT_FALSE(waiters.Served(last));
  waiters.GiveBack(0);
  waiters.GiveBack(1);
  waiters.GiveBack(last);
}

TEST(DecodeBudgetTest,
     BesideALargeOneOvertakenEnoughSmallOnesKeepToTheirPlace) {
  DecodeBudget budget({.bytes = 1'000, .at_once = 4, .small = 10});
  Waiters waiters(&budget);
  waiters.Add(600);
  waiters.Add(600);
  const int held = 2 + DecodeBudget::kMaxOvertaken;
  for (int i = 2; i < held; ++i) {
    waiters.Add(10);
    waiters.GiveBack(i);
  }
  waiters.Add(10);
  EXPECT_TRUE(waiters.Served(held));
  waiters.Add(10);
  EXPECT_FALSE(waiters.Served(held + 1));
  waiters.GiveBack(0);
  while (!waiters.Served(1) || !waiters.Served(held + 1)) {
    std::this_thread::yield();
  }
  for (const int i : {1, held, held + 1}) waiters.GiveBack(i);
}

TEST(DecodeBudgetTest, ACallerWaitsUntilItsDeadline) {
  DecodeBudget budget({.bytes = 100, .at_once = 8});
  const auto all = budget.Take(100, Forever());
  base::Caller late;
  late.deadline = base::MonotonicNow() + absl::Milliseconds(10);
  EXPECT_TRUE(absl::IsDeadlineExceeded(budget.Take(1, late).status()));
  EXPECT_GE(base::MonotonicNow(), late.deadline);
  EXPECT_EQ(budget.stats().waiting, 0);
  EXPECT_GE(budget.stats().waited, absl::Milliseconds(10));
}

TEST(DecodeBudgetTest, ACallerWhoGoesStopsWaiting) {
  DecodeBudget budget({.bytes = 100, .at_once = 8});
  const auto all = budget.Take(100, Forever());
  std::atomic<bool> gone{false};
  base::Caller caller;
  caller.gone = [&] { return gone.load(); };
  std::thread thread(
      [&] { EXPECT_TRUE(absl::IsCancelled(budget.Take(1, caller).status())); });
  while (budget.stats().waiting < 1) std::this_thread::yield();
  gone = true;
  thread.join();
  EXPECT_EQ(budget.stats().waiting, 0);
}

// One that gives up may have kept others waiting with it.
TEST(DecodeBudgetTest, OnesLeavingLetsThoseBehindIn) {
  DecodeBudget budget({.bytes = 100, .at_once = 100});
  Waiters waiters(&budget);
  waiters.Add(50);
  std::atomic<bool> gone{false};
  base::Caller caller;
  caller.gone = [&] { return gone.load(); };
  std::thread large([&] {
    EXPECT_TRUE(absl::IsCancelled(budget.Take(100, caller).status()));
  });
  while (budget.stats().waiting < 1) std::this_thread::yield();
  for (int i = 0; i < DecodeBudget::kMaxOvertaken; ++i) waiters.Add(1);
  waiters.Add(1);
  EXPECT_FALSE(waiters.Served(DecodeBudget::kMaxOvertaken + 1));
  gone = true;
  large.join();
  for (int i = 0; i < DecodeBudget::kMaxOvertaken + 2; ++i) waiters.GiveBack(i);
}

TEST(DecodeBudgetTest, SmallOnesMayOvertakeALargeOneButNotForEver) {
  DecodeBudget budget({.bytes = 100, .at_once = 100});
  Waiters waiters(&budget);
  waiters.Add(50);   // 0
  waiters.Add(100);  // 1: has to wait for all
  const int kMax = DecodeBudget::kMaxOvertaken;
  for (int i = 0; i < kMax + 3; ++i) waiters.Add(1);
  EXPECT_EQ(static_cast<int>(waiters.served().size()), 1 + kMax);
  EXPECT_EQ(budget.stats().waiting, 1 + 3);
  // With those that run it is the large one's turn, alone.
  waiters.GiveBack(0);
  for (int i = 0; i < kMax; ++i) waiters.GiveBack(2 + i);
  while (!waiters.Served(1)) std::this_thread::yield();
  EXPECT_EQ(budget.stats().bytes, 100);
  EXPECT_EQ(budget.stats().waiting, 3);
  waiters.GiveBack(1);
  for (int i = 0; i < 3; ++i) waiters.GiveBack(2 + kMax + i);
}

TEST(DecodeBudgetTest, NeverGivesMoreThanThereIs) {
  DecodeBudget budget({.bytes = 1000, .at_once = 3});
  std::atomic<int64_t> taken{0};
  std::atomic<int> running{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i) {
        const int64_t bytes = 1 + (t * 131 + i * 37) % 1000;
        const auto share = budget.Take(bytes, Forever());
        ASSERT_TRUE(share.ok());
        EXPECT_LE(taken += bytes, 1000);
        EXPECT_LE(++running, 3);
        taken -= bytes;
        --running;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(budget.stats().bytes, 0);
  EXPECT_EQ(budget.stats().running, 0);
  EXPECT_EQ(budget.stats().waiting, 0);
}

}  // namespace
}  // namespace clip
