#include "base/quantities.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace base {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

TEST(QuantitiesTest, UnitsOfBytesArePowersOf1024) {
  EXPECT_EQ(ParseBytes("0"), 0);
  EXPECT_EQ(ParseBytes("4096"), 4096);
  EXPECT_EQ(ParseBytes("4096B"), 4096);
  for (const char* text : {"512M", "512m", "512MB", "512Mi", "512MiB", "512mib",
                           "0.5G", "524288K"}) {
    EXPECT_EQ(ParseBytes(text), int64_t{512} << 20) << text;
  }
  EXPECT_EQ(ParseBytes("1.5GiB"), int64_t{3} << 29);
  EXPECT_EQ(ParseBytes("2T"), int64_t{2} << 40);
  EXPECT_EQ(ParseBytes("9223372036854775807"), kMax);
}

TEST(QuantitiesTest, WhatIsNoSizeIsNothing) {
  for (const char* text : {"", "M", "x", "-1", "+1", "1e9", "1.5", ".5G", "5.G",
                           "1..5G", "1 G", "1GX", "1Gibi", "0x10", "inf",
                           "1,000", "9223372036854775808", "8388608T", "1P"}) {
    EXPECT_FALSE(ParseBytes(text).has_value()) << text;
  }
}

TEST(QuantitiesTest, TextOfBytesIsExactAndReadBack) {
  EXPECT_EQ(BytesText(0), "0");
  EXPECT_EQ(BytesText(1000), "1000");
  EXPECT_EQ(BytesText(1024), "1KiB");
  EXPECT_EQ(BytesText(int64_t{10} << 30), "10GiB");
  EXPECT_EQ(BytesText(int64_t{3} << 29), "1536MiB");
  for (const int64_t bytes :
       {int64_t{1}, int64_t{1023}, int64_t{1} << 20, int64_t{5} << 40, kMax}) {
    EXPECT_EQ(ParseBytes(BytesText(bytes)), bytes);
  }
}

TEST(QuantitiesTest, TimesAreSecondsOrHaveUnits) {
  EXPECT_EQ(ParseTime("5"), absl::Seconds(5));
  EXPECT_EQ(ParseTime("0.25"), absl::Milliseconds(250));
  EXPECT_EQ(ParseTime("5s"), absl::Seconds(5));
  EXPECT_EQ(ParseTime("1m30s"), absl::Seconds(90));
  EXPECT_EQ(ParseTime("500ms"), absl::Milliseconds(500));
  EXPECT_EQ(ParseTime("0"), absl::ZeroDuration());
  EXPECT_EQ(ParseTime("-1s"), absl::Seconds(-1));
  for (const char* text : {"", "s", "5 s", "5 apples", "1e3", "nan", "5x"}) {
    EXPECT_FALSE(ParseTime(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace base
