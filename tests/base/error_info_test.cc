#include "base/error_info.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace base {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(ErrorInfoTest, AStatusWithoutAReasonHasNone) {
  EXPECT_FALSE(ErrorInfoOf(absl::InternalError("broken")).has_value());
  EXPECT_FALSE(ErrorInfoOf(absl::OkStatus()).has_value());
}

TEST(ErrorInfoTest, CodeAndMessageStay) {
  const absl::Status status =
      WithReason(absl::NotFoundError("gone"), kWeightSetNotFound);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "gone");
  EXPECT_EQ(ErrorInfoOf(status)->reason, "WEIGHT_SET_NOT_FOUND");
  EXPECT_THAT(ErrorInfoOf(status)->metadata, IsEmpty());
}

TEST(ErrorInfoTest, TheFirstReasonStaysAndMetadataAreAdded) {
  absl::Status status = InvalidField("classes[3].name", "it is empty");
  status = WithReason(status, kInvalidRequest,
                      {{"field", "another"}, {"limit", "max_text_bytes"}});
  EXPECT_EQ(ErrorInfoOf(status)->reason, "INVALID_FIELD");
  EXPECT_THAT(ErrorInfoOf(status)->metadata,
              ElementsAre(Pair("field", "classes[3].name"),
                          Pair("limit", "max_text_bytes")));
}

TEST(ErrorInfoTest, APrefixLeavesTheReason) {
  const absl::Status status = WithPrefix(
      "class 3: ",
      WithReason(absl::InvalidArgumentError("too long"), kPromptTooLong));
  EXPECT_EQ(status, WithReason(absl::InvalidArgumentError("class 3: too long"),
                               kPromptTooLong));
}

TEST(ErrorInfoTest, EmptyValuesStayAndWhatFollowsANulIsCutOff) {
  const absl::Status status =
      WithReason(absl::InternalError("odd"), kInternal,
                 {{"a", ""}, {"b", std::string("x\0y", 3)}, {"c", "z"}});
  EXPECT_THAT(ErrorInfoOf(status)->metadata,
              ElementsAre(Pair("a", ""), Pair("b", "x"), Pair("c", "z")));
}

}  // namespace
}  // namespace base
