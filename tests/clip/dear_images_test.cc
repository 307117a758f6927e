// Images that are sound and dear: what they may take is known before it is
// taken, and a decode stops soon after its caller has gone.
#include "tests/testing/dear_images.h"

#include <sys/resource.h>
#include <webp/decode.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "clip/image.h"
#include "clip/image/vp8l.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/make_jpeg.h"
#include "tests/testing/peak_memory.h"

namespace clip {
namespace {

using ::testing::HasSubstr;
using ::testing::PeakSince;
using testing_images::DearImage;
using testing_images::DearImages;

constexpr int kSize = 224;

// What one decode was seen to take of the budget, and how often it looked at
// its caller, who goes at look number `goes_at`.
struct Seen {
  absl::Status status;
  int looks = 0;
  int64_t bytes = 0;
};

Seen Decode(const std::string& file, int goes_at = 1 << 30,
            bool upright = false) {
  DecodeBudget budget({.bytes = int64_t{1} << 30, .at_once = 1});
  DecodeOptions options;
  options.budget = &budget;
  options.apply_exif_orientation = upright;
  Seen seen;
  base::Caller caller;
  caller.gone = [&] {
    seen.bytes = std::max(seen.bytes, budget.stats().bytes);
    return ++seen.looks >= goes_at;
  };
  seen.status = DecodeAndCrop(file, kSize, options, nullptr, caller).status();
  EXPECT_EQ(budget.stats().bytes, 0);
  return seen;
}

// Of the image with that place in the corpus, once for all tests.
const Seen& DecodedWhole(size_t i) {
  static auto* const seen = new std::map<size_t, Seen>;
  if (seen->count(i) == 0) (*seen)[i] = Decode(DearImages()[i].bytes);
  return (*seen)[i];
}

TEST(DearImagesTest, AreServedWithinTheDefaultBudget) {
  for (size_t i = 0; i < DearImages().size(); ++i) {
    EXPECT_TRUE(DecodedWhole(i).status.ok())
        << DearImages()[i].name << ": " << DecodedWhole(i).status;
  }
}

// Work is counted by looks, each after a million pixels: none comes after the
// one that says that the caller has gone.
TEST(DearImagesTest, ADecodeStopsWhenItsCallerGoes) {
  for (size_t i = 0; i < DearImages().size(); ++i) {
    const int all = DecodedWhole(i).looks;
    for (const int goes_at : {1, all / 2}) {
      if (goes_at < 1 || goes_at > all) continue;
      const Seen seen = Decode(DearImages()[i].bytes, goes_at);
      EXPECT_TRUE(absl::IsCancelled(seen.status))
          << DearImages()[i].name << " at " << goes_at << ": " << seen.status;
      EXPECT_EQ(seen.looks, goes_at) << DearImages()[i].name;
    }
  }
}

TEST(DearImagesTest, LooksAtTheCallerFromTheBeginningToTheEnd) {
  for (size_t i = 0; i < DearImages().size(); ++i) {
    if (DearImages()[i].name.find(",000 x") == std::string::npos) continue;
    EXPECT_GE(DecodedWhole(i).looks,
              testing_images::kDearSide * testing_images::kDearSide / 2'500'000)
        << DearImages()[i].name;
  }
}

// What is asked of the budget is what is taken: not less, but for what
// libraries keep for themselves, nor much more, which would keep others
// waiting.
TEST(DearImagesTest, TakeWhatTheBudgetWasAskedFor) {
  constexpr int64_t kSlack = int64_t{48} << 20;
  for (const DearImage& image : DearImages()) {
    Seen seen;
    const int64_t peak = PeakSince([&] { seen = Decode(image.bytes); });
    if (seen.bytes == 0) continue;  // too quick for a look
    EXPECT_LT(peak, seen.bytes + kSlack) << image.name;
    EXPECT_GT(peak, seen.bytes / 2 - 2 * kSlack) << image.name;
  }
}

TEST(DearImagesTest, NothingIsTakenBeforeTheBudgetHasSaidYes) {
  DecodeBudget budget({.bytes = 1, .at_once = 1});
  DecodeOptions options;
  options.budget = &budget;
  std::vector<DearImage> images = DearImages();
  images.push_back({"PNG of one row, 100,000,000 x 1",
                    testing_images::FlatPng(100'000'000, 1, 8, 2)});
  for (const DearImage& image : images) {
    absl::Status status;
    const int64_t peak = PeakSince([&] {
      status = DecodeAndCrop(image.bytes, kSize, options, nullptr, {}).status();
    });
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << image.name << status;
    EXPECT_LT(peak, 8 << 20) << image.name;
  }
}

// The caller is looked at by the thread that decodes.
TEST(DearImagesTest, LargeOnesLeaveTheCoresToOthersIfTheyShall) {
  const std::string large = testing_images::FlatPng(2'500, 2'000, 8, 2);
  const std::vector<DearImage> images = {
      {"PNG", large},
      {"damaged PNG", large.substr(0, large.size() / 2)},
      {"WebP", testing_images::FlatLosslessWebp(2'500, 2'000)},
      {"lossy WebP", testing_images::FlatLossyWebp(2'500, 2'000)},
      {"JPEG", testing_images::FlatJpeg(2'500, 2'000, false)},
      {"progressive JPEG", testing_images::FlatJpeg(2'500, 2'000, true)},
      {"small", testing_images::FlatPng(1'500, 1'500, 8, 2)}};
  const int here = getpriority(PRIO_PROCESS, 0);
  for (const DearImage& image : images) {
    int nice = here, looks = 0;
    base::Caller caller;
    caller.gone = [&] {
      nice = getpriority(PRIO_PROCESS, 0);
      ++looks;
      return false;
    };
    DecodeOptions options;
    options.large_in_background = true;
    const auto made =
        DecodeAndCrop(image.bytes, kSize, options, nullptr, caller);
    const auto expected = DecodeAndCrop(image.bytes, kSize);
    EXPECT_EQ(made.status(), expected.status()) << image.name;
    EXPECT_EQ(getpriority(PRIO_PROCESS, 0), here);
    if (!made.ok() || !expected.ok()) continue;
    EXPECT_TRUE(*made == *expected) << image.name;
    EXPECT_GT(looks, 0) << image.name;
    EXPECT_EQ(nice, image.name == "small" ? here : std::min(19, here + 10))
        << image.name;
  }
  DecodeOptions options;
  options.large_in_background = true;
  base::Caller gone;
  gone.gone = [] { return true; };
  EXPECT_TRUE(absl::IsCancelled(
      DecodeAndCrop(images[0].bytes, kSize, options, nullptr, gone).status()));
}

TEST(DearImagesTest, WhatCanBeCroppedRowByRowTakesLittle) {
  for (const std::string& file :
       {testing_images::FlatJpeg(12'000, 9'000, false),
        testing_images::FlatPng(11'000, 11'000, 8, 2),
        testing_images::FlatPng(11'000, 11'000, 1, 0)}) {
    const Seen seen = Decode(file);
    EXPECT_TRUE(seen.status.ok()) << seen.status;
    EXPECT_GT(seen.bytes, 0);
    EXPECT_LT(seen.bytes, 8 << 20);
  }
  EXPECT_LT(Decode(testing_images::FlatLosslessWebp(10'000, 10'000)).bytes,
            100 << 20);
}

TEST(DearImagesTest, MoreThanTheWholeBudgetIsRefusedWithTheNumbers) {
  DecodeBudget budget({.bytes = 50 << 20, .name = "--decode_memory_bytes"});
  DecodeOptions options;
  options.budget = &budget;
  const absl::Status status =
      DecodeAndCrop(testing_images::FlatJpeg(6'000, 5'000, true), kSize,
                    options)
          .status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  const std::string message(status.message());
  EXPECT_THAT(message, HasSubstr("image of 6000 x 5000 pixels needs "));
  EXPECT_THAT(message, HasSubstr("--decode_memory_bytes allows at most "
                                 "52428800"));
  EXPECT_TRUE(DecodeAndCrop(testing_images::FlatJpeg(6'000, 5'000, false),
                            kSize, options)
                  .ok());
}

TEST(DearImagesTest, APngWhoseDataGoesOnIsDamaged) {
  const absl::Status status =
      Decode(testing_images::FlatPng(1, 1, 8, 2, int64_t{1} << 30)).status;
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("its pixel data goes on after its last row"));
}

// Pillow serves these, and some encoders leave a row or so.
TEST(DearImagesTest, APngWithALittleAfterItsLastRowIsServed) {
  for (const int more : {1, 100, 30'000}) {
    EXPECT_EQ(*DecodeAndCrop(testing_images::FlatPng(50, 40, 8, 2, more), 32),
              *DecodeAndCrop(testing_images::FlatPng(50, 40, 8, 2), 32));
  }
}

TEST(DearImagesTest, LargeJpegsMayHaveFewerScans) {
  for (const auto& [width, scans, taken] :
       {std::tuple{100, 90, true}, {10'000, 15, true}, {10'000, 90, false}}) {
    std::string file = testing_images::FlatJpeg(width, width, true);
    // The first scan again and again, which does no harm but for its cost. It
    // ends where the next one's Huffman table begins.
    const size_t begin = file.find("\xff\xda");
    const size_t end = file.find("\xff\xc4", begin);
    const std::string scan = file.substr(begin, end - begin);
    for (int i = 0; i < scans - 10; ++i) file.insert(begin, scan);
    EXPECT_EQ(Decode(file).status.ok(), taken) << width << ", " << scans;
  }
}

// While the rows that the crop does not need are skipped, the file comes to
// libjpeg in pieces.
TEST(DearImagesTest, TallJpegsEqualTheTwoSteps) {
  for (const auto& sampling :
       std::vector<std::vector<std::array<int, 2>>>{{},
                                                    {{1, 1}, {1, 1}, {1, 1}},
                                                    {{1, 2}, {1, 1}, {1, 1}},
                                                    {{2, 1}, {1, 1}, {1, 1}},
                                                    {{2, 2}, {2, 1}, {1, 2}}}) {
    const int width = 700, height = 12'000;
    const std::string file = testing_images::MakeJpeg(
        testing_images::MakePixels(width, height, 3, 9), width, height,
        {.sampling = sampling});
    const auto crop = DecodeAndCrop(file, 64);
    ASSERT_TRUE(crop.ok()) << crop.status();
    EXPECT_TRUE(*crop == CropForModel(*DecodeImage(file), 64));
    EXPECT_GT(file.size(), 10 * (64 << 10));
    EXPECT_FALSE(DecodeAndCrop(
                     absl::string_view(file).substr(0, file.size() * 3 / 4), 64)
                     .ok());
  }
}

TEST(DearImagesTest, AnAnimationsFirstFrameIsPaintedOnAnEmptyCanvas) {
  const auto image =
      DecodeImage(testing_images::FlatAnimatedWebp(30, 20, 5, 4));
  ASSERT_TRUE(image.ok()) << image.status();
  ASSERT_EQ(image->width, 30);
  ASSERT_EQ(image->height, 20);
  for (int y = 0; y < 20; ++y) {
    for (int x = 0; x < 30; ++x) {
      const bool inside = x < 5 && y < 4;
      const uint8_t* pixel = &image->pixels[(y * 30 + x) * image->channels];
      EXPECT_EQ(pixel[0], inside ? 10 : 0);
      EXPECT_EQ(pixel[1], inside ? 200 : 0);
      EXPECT_EQ(pixel[2], inside ? 30 : 0);
    }
  }
}

// --- Lossless WebP against libwebp -----------------------------------------

struct Pixels {
  bool ok = false;
  std::vector<uint32_t> argb;
};

Pixels ByLibwebp(const std::string& file, int width, int height) {
  Pixels pixels;
  pixels.argb.resize(size_t{1} * width * height);
  pixels.ok = WebPDecodeBGRAInto(reinterpret_cast<const uint8_t*>(file.data()),
                                 file.size(),
                                 reinterpret_cast<uint8_t*>(pixels.argb.data()),
                                 pixels.argb.size() * 4, width * 4) != nullptr;
  return pixels;
}

Pixels ByUs(const std::string& file, int width, int height) {
  const DecodeOptions options;
  const base::Caller caller;
  DecodeRun run({}, options, caller);
  Vp8lReader reader(absl::string_view(file).substr(file.find("VP8L") + 8),
                    width, height, &run);
  Pixels pixels;
  pixels.ok = reader.Read([&](const uint32_t* row) {
    pixels.argb.insert(pixels.argb.end(), row, row + width);
  });
  return pixels;
}

TEST(Vp8lReaderTest, AgreesWithLibwebpOnSoundAndDamagedFiles) {
  std::mt19937 random(1);
  int sound = 0, damaged = 0;
  for (const char* name : {"rgb_lossless.webp", "rgba_lossless.webp",
                           "rgba_lossless_exact.webp", "exif_8.webp"}) {
    std::ifstream in(
        std::string(ZEROSHOT_SOURCE_DIR "/tests/testdata/images/") + name,
        std::ios::binary);
    const std::string file{std::istreambuf_iterator<char>(in), {}};
    if (file.find("VP8L") == std::string::npos) continue;
    const size_t content = file.find("VP8L") + 8;
    for (int round = 0; round < 1'000; ++round) {
      std::string changed = file;
      for (int flips = round == 0 ? 0 : 1 + random() % 3; flips > 0; --flips) {
        // Behind width and height; half of it in the codes.
        const size_t reach = file.size() - content - 5;
        const size_t at = random() % (random() % 2 ? reach : reach / 8);
        changed[content + 5 + at] ^= static_cast<char>(1 << random() % 8);
      }
      WebPBitstreamFeatures features;
      ASSERT_EQ(
          WebPGetFeatures(reinterpret_cast<const uint8_t*>(changed.data()),
                          changed.size(), &features),
          VP8_STATUS_OK);
      const Pixels theirs = ByLibwebp(changed, features.width, features.height);
      const Pixels ours = ByUs(changed, features.width, features.height);
      ASSERT_EQ(ours.ok, theirs.ok) << name << ", round " << round;
      if (ours.ok) {
        ASSERT_EQ(ours.argb, theirs.argb) << name << ", round " << round;
      }
      ours.ok ? ++sound : ++damaged;
    }
  }
  EXPECT_GT(sound, 50);
  EXPECT_GT(damaged, 500);
}

}  // namespace
}  // namespace clip
