#include "zeroshot/door.h"

#include <optional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace zeroshot {
namespace {

using ::testing::HasSubstr;

TEST(DoorTest, LetsInUpToItsCapacity) {
  Door door("calls", 2);
  auto first = door.Enter();
  auto second = door.Enter();
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(door.inside(), 2);
  const absl::Status refused = door.Enter().status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("too many calls at once: at most 2"));
}

TEST(DoorTest, ACallTakesAPlaceForEachOfItsItems) {
  Door door("images", 5);
  auto three = door.Enter(3);
  ASSERT_TRUE(three.ok());
  EXPECT_EQ(door.inside(), 3);
  EXPECT_FALSE(door.Enter(3).ok());
  EXPECT_EQ(door.inside(), 3);
  {
    auto two = door.Enter(2);
    EXPECT_TRUE(two.ok());
    EXPECT_FALSE(door.Enter().ok());
  }
  EXPECT_EQ(door.inside(), 3);
}

TEST(DoorTest, ACallWithMoreItemsThanPlacesEntersAlone) {
  Door door("images", 5);
  {
    auto all = door.Enter(64);
    ASSERT_TRUE(all.ok());
    EXPECT_EQ(door.inside(), 5);
    EXPECT_FALSE(door.Enter().ok());
  }
  EXPECT_EQ(door.inside(), 0);
  auto one = door.Enter();
  EXPECT_FALSE(door.Enter(64).ok());
  EXPECT_EQ(door.inside(), 1);
}

TEST(DoorTest, ACallOfNothingTakesAPlace) {
  Door door("images", 1);
  auto none = door.Enter(0);
  EXPECT_FALSE(door.Enter().ok());
}

TEST(DoorTest, RefusalSaysWhenToTryAgain) {
  Door door("calls", 0);
  EXPECT_GT(RetryDelay(door.Enter().status()), absl::ZeroDuration());
  EXPECT_EQ(RetryDelay(absl::InternalError("other")), absl::ZeroDuration());
}

TEST(DoorTest, APlaceIsGivenBackOnceHoweverOftenItMoved) {
  Door door("calls", 1);
  {
    absl::StatusOr<Door::Place> place = door.Enter();
    ASSERT_TRUE(place.ok());
    std::optional<Door::Place> moved(*std::move(place));
    EXPECT_FALSE(door.Enter().ok());
    Door::Place again = *std::move(moved);
    EXPECT_EQ(door.inside(), 1);
  }
  EXPECT_EQ(door.inside(), 0);
  EXPECT_TRUE(door.Enter().ok());
}

}  // namespace
}  // namespace zeroshot
