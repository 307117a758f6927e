#include "base/in_parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <new>
#include <set>
#include <vector>

namespace base {
namespace {

TEST(InParallelTest, EachPieceIsDoneOnce) {
  for (const size_t threads : {0, 1, 2, 7, 100}) {
    std::vector<std::atomic<int>> done(50);
    EXPECT_TRUE(InParallel(done.size(), threads, "this", [&](size_t i) {
                  ++done[i];
                  return absl::OkStatus();
                }).ok());
    for (const auto& times : done) EXPECT_EQ(times, 1);
  }
}

TEST(InParallelTest, PiecesAreDoneAtOnce) {
  // Each waits for the other.
  std::atomic<int> there{0};
  EXPECT_TRUE(InParallel(2, 2, "this", [&](size_t) {
                ++there;
                while (there < 2) std::this_thread::yield();
                return absl::OkStatus();
              }).ok());
}

TEST(InParallelTest, OneThreadIsTheCallers) {
  const std::thread::id mine = std::this_thread::get_id();
  EXPECT_TRUE(InParallel(9, 1, "this", [&](size_t) {
                EXPECT_EQ(std::this_thread::get_id(), mine);
                return absl::OkStatus();
              }).ok());
}

TEST(InParallelTest, NothingIsBegunAfterAnError) {
  std::atomic<int> begun{0};
  const absl::Status status = InParallel(1000, 3, "this", [&](size_t i) {
    ++begun;
    return i == 5 ? absl::NotFoundError("five") : absl::OkStatus();
  });
  EXPECT_EQ(status, absl::NotFoundError("five"));
  EXPECT_LT(begun, 1000);
}

TEST(InParallelTest, WorkThatThrowsIsAnError) {
  EXPECT_TRUE(absl::IsResourceExhausted(
      InParallel(4, 2, "this", [](size_t i) -> absl::Status {
        if (i == 2) throw std::bad_alloc();
        return absl::OkStatus();
      })));
}

}  // namespace
}  // namespace base
