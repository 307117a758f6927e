// Images made to do harm: each is refused with a word why, or answered as
// the reference would.
#include "tests/testing/hostile_images.h"

#include <sys/resource.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "clip/image.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace clip {
namespace {

using testing_images::HostileImage;
using Outcome = HostileImage::Outcome;

const char kImages[] = ZEROSHOT_SOURCE_DIR "/tests/testdata/images";
constexpr int kSize = 32;

const std::vector<HostileImage>& Corpus() {
  static const auto* const corpus =
      new std::vector<HostileImage>(testing_images::HostileImages(kImages));
  return *corpus;
}

std::string ReadImage(const std::string& name) {
  std::ifstream file(kImages + ("/" + name), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void ExpectRefused(const absl::Status& status, const std::string& name) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument)
      << name << ": " << status;
  EXPECT_TRUE(absl::StartsWith(status.message(), "image ")) << status;
}

TEST(HostileImagesTest, EachIsRefusedOrAnsweredAsTheReferenceDoes) {
  EXPECT_GT(Corpus().size(), 1000);
  for (const HostileImage& image : Corpus()) {
    const auto crop = DecodeAndCrop(image.bytes, kSize);
    if (image.outcome == Outcome::kLike) {
      ASSERT_TRUE(crop.ok()) << image.name << ": " << crop.status();
      EXPECT_EQ(*crop, *DecodeAndCrop(ReadImage(image.like), kSize))
          << image.name;
    } else if (image.outcome != Outcome::kEither || !crop.ok()) {
      ExpectRefused(crop.status(), image.name);
    }
  }
}

int64_t PeakBytes() {
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

TEST(HostileImagesTest, RefusalsByTheHeaderCostNothing) {
  int refused = 0;
  for (const HostileImage& image : Corpus()) {
    if (image.outcome != Outcome::kRefusedByHeader) continue;
    ++refused;
    const int64_t bytes = PeakBytes();
    const absl::Time start = absl::Now();
    ExpectRefused(DecodeAndCrop(image.bytes, kSize).status(), image.name);
    EXPECT_LT(absl::Now() - start, absl::Milliseconds(100)) << image.name;
    EXPECT_LT(PeakBytes() - bytes, 64 << 20) << image.name;
  }
  EXPECT_GT(refused, 10);
}

}  // namespace
}  // namespace clip
