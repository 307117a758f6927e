#include "server/request_tag.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace zeroshot::server {
namespace {

using ::testing::MatchesRegex;

RequestTag Tag(const std::string& key, const std::string& value) {
  return TagOf({{key, value}});
}

TEST(RequestTagTest, TakesTheCallersId) {
  EXPECT_EQ(Tag("x-request-id", "Order-7.a_b").id, "Order-7.a_b");
}

TEST(RequestTagTest, MakesAnIdUpWhereNoneIsGood) {
  for (const std::string& bad :
       {std::string(), std::string("a b"), std::string("a\nb"),
        std::string("a\"b"), std::string(65, 'a')}) {
    EXPECT_THAT(Tag("x-request-id", bad).id, MatchesRegex("[0-9a-f]{16}"));
  }
  EXPECT_NE(TagOf({}).id, TagOf({}).id);
}

TEST(RequestTagTest, TakesAWellFormedTraceparent) {
  const std::string good =
      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  EXPECT_EQ(Tag("traceparent", good).traceparent, good);
  const std::string later = "01" + good.substr(2) + "-more";
  EXPECT_EQ(Tag("traceparent", later).traceparent, later);
}

TEST(RequestTagTest, KnowsWhatATraceparentSays) {
  const std::string ids =
      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-";
  const RequestTag kept = Tag("traceparent", ids + "01");
  EXPECT_EQ(kept.trace().trace, "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(kept.trace().span, "00f067aa0ba902b7");
  EXPECT_TRUE(kept.sampled());
  // The other bits of the flags say something else.
  EXPECT_TRUE(Tag("traceparent", ids + "ff").sampled());
  EXPECT_FALSE(Tag("traceparent", ids + "00").sampled());
  EXPECT_FALSE(Tag("traceparent", ids + "fe").sampled());
  const RequestTag none = Tag("x-request-id", "a");
  EXPECT_EQ(none.trace().trace + none.trace().span, "");
  EXPECT_FALSE(none.sampled());
}

TEST(RequestTagTest, LeavesABrokenTraceparentOut) {
  const std::string good =
      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  for (const std::string& bad :
       {good.substr(1), good + "-more", "ff" + good.substr(2),
        std::string("00-4BF92F3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        "00-" + std::string(32, '0') + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + std::string(16, '0') + "-01",
        std::string("01") + good.substr(2) + "-a b"}) {
    EXPECT_EQ(Tag("traceparent", bad).traceparent, "") << bad;
  }
}

}  // namespace
}  // namespace zeroshot::server
