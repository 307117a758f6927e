#include "base/did_you_mean.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace base {
namespace {

const std::vector<std::string>& Names() {
  static const auto* names =
      new std::vector<std::string>{"model", "max_batch", "max_builds"};
  return *names;
}

TEST(DidYouMeanTest, FindsWhatIsMistyped) {
  EXPECT_EQ(Nearest("modle", Names()), "model");
  EXPECT_EQ(Nearest("max_build", Names()), "max_builds");
  EXPECT_EQ(Nearest("max-batch", Names()), "max_batch");
  EXPECT_EQ(DidYouMean("mdel", "--", Names()), "; did you mean --model?");
}

TEST(DidYouMeanTest, FindsABeginningAndALongerForm) {
  EXPECT_EQ(Nearest("max_batch_of_images", Names()), "max_batch");
  EXPECT_EQ(Nearest("mod", Names()), "model");
}

TEST(DidYouMeanTest, DoesNotGuessWildly) {
  EXPECT_EQ(Nearest("colour", Names()), "");
  EXPECT_EQ(Nearest("", Names()), "");
  EXPECT_EQ(DidYouMean("x", "--", Names()), "");
}

}  // namespace
}  // namespace base
