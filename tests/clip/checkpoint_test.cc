// Checkpoints that want to do harm. What sound ones read as: tests/parity.
#include "clip/checkpoint/checkpoint.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace clip {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest()
      : folder_(std::filesystem::temp_directory_path() /
                absl::StrCat("zeroshot-checkpoint-", getpid())) {
    std::filesystem::create_directories(folder_);
  }
  ~CheckpointTest() override { std::filesystem::remove_all(folder_); }

  std::string Error(const std::string& config) {
    std::ofstream(folder_ / "config.json") << config;
    const auto checkpoint = ReadCheckpoint(folder_);
    EXPECT_EQ(checkpoint.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(checkpoint.status().message());
  }

  const std::filesystem::path folder_;
};

TEST_F(CheckpointTest, RefusesConfigurationsNestedBeyondReason) {
  const std::string many(1'000'000, '[');
  EXPECT_THAT(Error(absl::StrCat(R"({"vision_config": )", many,
                                 std::string(many.size(), ']'), "}")),
              HasSubstr("'config.json' is nested deeper than 100 levels"));
  // Brackets in a text are no levels.
  EXPECT_THAT(Error(absl::StrCat(R"({"model_type": "\")", many, "\"}")),
              HasSubstr("'model_type' is"));
}

TEST_F(CheckpointTest, ShowsValuesShortAndInAscii) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "猫";
  const std::string error =
      Error(absl::StrCat(R"({"projection_dim": ")", text, "\"}"));
  EXPECT_THAT(error, AllOf(HasSubstr("'projection_dim' is \"\\u732b"),
                           HasSubstr("..., expected an integer")));
  EXPECT_LT(error.size(), 300);
}

}  // namespace
}  // namespace clip
