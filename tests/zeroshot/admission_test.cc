#include "zeroshot/admission.h"

#include <optional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace zeroshot {
namespace {

using ::testing::HasSubstr;

TEST(AdmissionTest, LetsInUpToItsCapacity) {
  Admission admission("calls", 2);
  auto first = admission.Enter();
  auto second = admission.Enter();
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(admission.inside(), 2);
  const absl::Status refused = admission.Enter().status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("too many calls at once: at most 2"));
}

TEST(AdmissionTest, ACallTakesAPlaceForEachOfItsItems) {
  Admission admission("images", 5);
  auto three = admission.Enter(3);
  ASSERT_TRUE(three.ok());
  EXPECT_EQ(admission.inside(), 3);
  EXPECT_FALSE(admission.Enter(3).ok());
  EXPECT_EQ(admission.inside(), 3);
  {
    auto two = admission.Enter(2);
    EXPECT_TRUE(two.ok());
    EXPECT_FALSE(admission.Enter().ok());
  }
  EXPECT_EQ(admission.inside(), 3);
}

TEST(AdmissionTest, ACallWithMoreItemsThanPlacesEntersAlone) {
  Admission admission("images", 5);
  {
    auto all = admission.Enter(64);
    ASSERT_TRUE(all.ok());
    EXPECT_EQ(admission.inside(), 5);
    EXPECT_FALSE(admission.Enter().ok());
  }
  EXPECT_EQ(admission.inside(), 0);
  auto one = admission.Enter();
  EXPECT_FALSE(admission.Enter(64).ok());
  EXPECT_EQ(admission.inside(), 1);
}

TEST(AdmissionTest, ACallOfNothingTakesAPlace) {
  Admission admission("images", 1);
  auto none = admission.Enter(0);
  EXPECT_FALSE(admission.Enter().ok());
}

TEST(AdmissionTest, RefusalSaysWhenToTryAgain) {
  Admission admission("calls", 0);
  EXPECT_GT(RetryDelay(admission.Enter().status()), absl::ZeroDuration());
  EXPECT_EQ(RetryDelay(absl::InternalError("other")), absl::ZeroDuration());
}

TEST(AdmissionTest, APlaceIsGivenBackOnceHoweverOftenItMoved) {
  Admission admission("calls", 1);
  {
    absl::StatusOr<Admission::Place> place = admission.Enter();
    ASSERT_TRUE(place.ok());
    std::optional<Admission::Place> moved(*std::move(place));
    EXPECT_FALSE(admission.Enter().ok());
    Admission::Place again = *std::move(moved);
    EXPECT_EQ(admission.inside(), 1);
  }
  EXPECT_EQ(admission.inside(), 0);
  EXPECT_TRUE(admission.Enter().ok());
}

}  // namespace
}  // namespace zeroshot
