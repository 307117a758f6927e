// TIFF: what its directory may ask for. Its pixels are compared with the
// reference's in image_test.cc.
#include <time.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "clip/image.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/make_tiff.h"
#include "tests/testing/peak_memory.h"

namespace clip {
namespace {

using ::testing::HasSubstr;
using ::testing::PeakSince;
using testing_images::FlatTiff;
using testing_images::FlatTiledTiff;
using testing_images::kTiffDataAt;
using testing_images::MakeTiff;
using testing_images::RgbStrips;
using testing_images::RgbTiles;
using testing_images::TiffTag;

constexpr int kSize = 32;
constexpr uint16_t kByte = 1, kShort = 3, kLong = 4;
constexpr uint16_t kRaw = 1, kLzw = 5, kJpeg = 7, kDeflate = 8;

class TiffTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!IsBuilt(ImageFormat::kTiff)) GTEST_SKIP() << "built without TIFF";
    ::testing::internal::CaptureStderr();
  }
  // libtiff prints, unless it is told not to.
  void TearDown() override {
    if (IsBuilt(ImageFormat::kTiff)) {
      EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
    }
  }

  static void ExpectRefused(const std::string& file, const std::string& why) {
    for (const absl::Status& status :
         {DecodeImage(file).status(), DecodeAndCrop(file, kSize).status()}) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr(why));
    }
  }
};

std::string ReadImage(const std::string& name) {
  std::ifstream file(ZEROSHOT_SOURCE_DIR "/tests/testdata/images/" + name,
                     std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// An RGB image of 16 x 16 in one strip.
std::vector<TiffTag> Small(uint16_t compression = kRaw) {
  return RgbStrips(16, 16, 16, compression, 16 * 16 * 3);
}
std::string SmallData() { return std::string(16 * 16 * 3, '\x55'); }

std::vector<TiffTag> With(std::vector<TiffTag> tags, const TiffTag& tag) {
  for (TiffTag& old : tags) {
    if (old.number != tag.number) continue;
    old = tag;
    return tags;
  }
  tags.push_back(tag);
  std::sort(tags.begin(), tags.end(), [](const TiffTag& a, const TiffTag& b) {
    return a.number < b.number;
  });
  return tags;
}

TEST_F(TiffTest, IsOffByDefaultInAServer) {
  DecodeOptions options;
  options.formats = ImageFormats::OnByDefault();
  EXPECT_THAT(
      std::string(
          DecodeImage(ReadImage("rgb_raw.tif"), options).status().message()),
      HasSubstr("a TIFF file, which this server does not take; send a JPEG"));
}

TEST_F(TiffTest, IsTurnedWhateverTheOptionSays) {
  for (const bool option : {false, true}) {
    DecodeOptions options;
    options.apply_exif_orientation = option;
    const auto image = DecodeImage(ReadImage("orientation_6.tif"), options);
    ASSERT_TRUE(image.ok()) << image.status();
    EXPECT_EQ(image->width, 30);
    EXPECT_EQ(image->height, 45);
  }
}

TEST_F(TiffTest, TheFirstOfThousandsOfPagesIsReadAndNoneAfterIt) {
  // Each directory is the next of itself.
  const std::string data = SmallData();
  const auto page = static_cast<uint32_t>(kTiffDataAt + data.size());
  EXPECT_TRUE(DecodeImage(MakeTiff(Small(), data, page)).ok());
  EXPECT_TRUE(DecodeImage(MakeTiff(Small(), data, 0x7fffffff)).ok());
}

TEST_F(TiffTest, TagsThatNobodyNeedsAreNotRead) {
  // 2,000 of them, all of the same two million bytes.
  std::vector<TiffTag> tags = Small();
  for (int i = 0; i < 2'000; ++i) {
    tags.push_back({static_cast<uint16_t>(40'000 + i),
                    kByte,
                    {0},
                    kTiffDataAt,
                    2'000'000});
  }
  const std::string file =
      MakeTiff(tags, SmallData() + std::string(2 << 20, 1));
  const absl::Time start = absl::Now();
  const int64_t peak =
      PeakSince([&] { EXPECT_TRUE(DecodeAndCrop(file, kSize).ok()); });
  EXPECT_LT(peak, 16 << 20);
  EXPECT_LT(absl::Now() - start, absl::Seconds(1));
}

TEST_F(TiffTest, SizesAreRefusedByTheDirectoryAlone) {
  const std::vector<std::pair<std::string, std::string>> files = {
      {MakeTiff(RgbStrips(1, 1, 1, kRaw, 3), "abc"), ""},
      {MakeTiff(With(Small(), {256, kLong, {60'000}}), SmallData()),
       "the file ends early"},
      {MakeTiff(With(With(Small(kLzw), {256, kLong, {60'000}}),
                     {257, kLong, {60'000}}),
                SmallData()),
       "image of 60000 x 60000 pixels is too large"},
      {MakeTiff(With(Small(), {257, kLong, {0}}), SmallData()),
       "has no pixels"},
      {MakeTiff(With(With(Small(), {256, kLong, {0xffffffff}}),
                     {257, kLong, {0xffffffff}}),
                SmallData()),
       "4294967295 x 4294967295"},
      // A row at a time: as many strips as rows.
      {MakeTiff(With(With(With(Small(), {257, kLong, {1'000'000}}),
                          {256, kLong, {1}}),
                     {278, kLong, {1}}),
                SmallData()),
       "1000000 strips or tiles, which is not read: at most 131072"},
      {MakeTiff(RgbTiles(16, 16, 60'000, 60'000, kDeflate, 100), SmallData()),
       "in tiles of 60000 x 60000 is too large"},
      {MakeTiff(RgbTiles(16, 16, 0xfffffff0, 16, kDeflate, 100), SmallData()),
       "in tiles of 4294967280 x 16 is too large"},
      {MakeTiff(RgbTiles(16, 16, 16, 0x7ffffff0, kDeflate, 100), SmallData()),
       "is too large"},
      {MakeTiff(With(RgbTiles(16, 16, 16, 16, kRaw, 768), {322, kLong, {0}}),
                SmallData()),
       "strips or tiles without pixels"},
      {MakeTiff(With(Small(), {278, kLong, {0}}), SmallData()),
       "strips or tiles without pixels"},
      {MakeTiff(With(Small(), {277, kShort, {65535}}), SmallData()),
       "65535 samples a pixel"},
      {MakeTiff(RgbStrips(60'000'000, 1, 1, kLzw, 700), SmallData()),
       "rows of 180000000 bytes"},
  };
  for (const auto& [file, why] : files) {
    const absl::Time start = absl::Now();
    const int64_t peak = PeakSince([&, &file = file, &why = why] {
      if (why.empty()) {
        EXPECT_TRUE(DecodeImage(file).ok());
      } else {
        ExpectRefused(file, why);
      }
    });
    EXPECT_LT(peak, 8 << 20) << why;
    EXPECT_LT(absl::Now() - start, absl::Milliseconds(100)) << why;
  }
}

TEST_F(TiffTest, StripsThatOverlapAreRefused) {
  // 4,000 strips, each of the whole file.
  const std::string data(1 << 20, '\0');
  ExpectRefused(MakeTiff(RgbStrips(4096, 4000, 1, kLzw, 1 << 20), data),
                "its strips or tiles overlap");
  // Equal ones may share what they are.
  EXPECT_TRUE(DecodeAndCrop(FlatTiff(100, 1000, 1), kSize).ok());
}

TEST_F(TiffTest, StripsOutsideOfTheFileAreRefused) {
  for (const uint32_t at : {0x7fffffffu, 0xffffffffu, 1000u}) {
    ExpectRefused(MakeTiff(With(Small(), {273, kLong, {at}}), SmallData()),
                  "the file ends early");
    ExpectRefused(
        MakeTiff(With(Small(kLzw), {273, kLong, {at + 100'000}}), SmallData()),
        at == 0xffffffffu ? "damaged" : "without data");
  }
  ExpectRefused(
      MakeTiff(With(Small(), {273, kLong, {0}, 0x7ffffff0, 5}), SmallData()),
      "its tag 273 holds no numbers");
  std::vector<TiffTag> tags = RgbStrips(16, 16, 4, kRaw, 192);
  tags = With(tags, {273, kLong, {8, 8}});
  ExpectRefused(MakeTiff(tags, SmallData()),
                "offsets of 2 strips or tiles instead of 4");
}

TEST_F(TiffTest, ATagThatCannotBeReadIsNotTakenForOneThatIsMissing) {
  constexpr uint16_t kRational = 5;
  for (const uint16_t number : {256, 258, 259, 262, 266, 273, 277, 278, 284}) {
    for (const TiffTag& tag : {TiffTag{number, kRational, {1}},
                               TiffTag{number, kLong, {1}, 1 << 20, 9},
                               TiffTag{number, kLong, {1}, 8, 0x7fffffff}}) {
      ExpectRefused(MakeTiff(With(Small(), tag), SmallData()),
                    absl::StrCat("its tag ", number, " holds no numbers"));
    }
  }
  const std::string file = MakeTiff(Small(), SmallData());
  ExpectRefused(file.substr(0, kTiffDataAt + SmallData().size() + 50),
                "its directory ends early");
}

TEST_F(TiffTest, SaysWhichKindIsNotRead) {
  const std::vector<std::pair<TiffTag, std::string>> kinds = {
      {{259, kShort, {6}}, "compression JPEG of the old style (6)"},
      {{259, kShort, {34712}}, "JPEG 2000"},
      {{259, kShort, {34925}}, "LZMA"},
      {{259, kShort, {50000}}, "Zstandard"},
      {{259, kShort, {50001}}, "WebP"},
      {{259, kShort, {4242}}, "compression 4242, which is not read: none, LZW"},
      {{258, kShort, {32, 32, 32}}, "samples of 32 bits"},
      {{258, kShort, {8, 16, 8}}, "samples of different bits"},
      {{258, kShort, {12, 12, 12}}, "samples of 12 bits"},
      {{339, kShort, {3, 3, 3}}, "SampleFormat 3"},
      {{262, kShort, {8}}, "photometric interpretation 8"},
      {{262, kShort, {6}}, "YCbCr without JPEG"},
      {{262, kShort, {32803}}, "photometric interpretation 32803"},
      {{258, kShort, {4, 4, 4}}, "3 samples a pixel of 4 bits"},
  };
  for (const auto& [tag, why] : kinds) {
    const std::string file = MakeTiff(With(Small(), tag), SmallData());
    ExpectRefused(file, why);
    ExpectRefused(file, "image is a TIFF file");
  }
}

TEST_F(TiffTest, AJpegInItHasOneScanOfTheStripsSize) {
  // A JPEG file as the only strip.
  const auto with = [](const std::string& jpeg, uint32_t width,
                       uint32_t height) {
    std::vector<TiffTag> tags = RgbStrips(width, height, height, kJpeg,
                                          static_cast<uint32_t>(jpeg.size()));
    return MakeTiff(With(tags, {262, kShort, {6}}), jpeg);
  };
  const std::string jpeg = ReadImage("rgb_420.jpg");
  EXPECT_TRUE(DecodeImage(with(jpeg, 61, 47)).ok());
  EXPECT_EQ(DecodeImage(with(jpeg, 61, 47))->pixels, DecodeImage(jpeg)->pixels);
  ExpectRefused(with(jpeg, 60, 47), "size is not that of its strip");
  ExpectRefused(with(jpeg, 61, 48), "size is not that of its strip");
  ExpectRefused(with(ReadImage("grey.jpg"), 61, 47), "size is not that");
  ExpectRefused(with(ReadImage("progressive.jpg"), 83, 61),
                "JPEG that is not baseline");
  ExpectRefused(with(jpeg.substr(0, jpeg.size() / 2) + "\xff\xd9", 61, 47),
                "a damaged TIFF file");
  ExpectRefused(with("no JPEG", 61, 47), "a JPEG without a beginning");
}

TEST_F(TiffTest, DataThatEndsEarlyIsRefused) {
  for (const char* name :
       {"rgb_lzw_predictor.tif", "rgb_deflate_tiles.tif", "rgb_packbits.tif",
        "ccitt_group4.tif", "ccitt_group3.tif", "jpeg_rgb.tif"}) {
    const std::string file = ReadImage(name);
    ASSERT_TRUE(DecodeImage(file).ok()) << name;
    // Data comes first. Without its middle the strips are others.
    std::string damaged = file;
    for (size_t i = 40; i < file.size() / 3; ++i) damaged[i] = '\0';
    EXPECT_FALSE(DecodeImage(damaged).ok()) << name;
  }
}

// Codes that make no pixels cost time all the same.
TEST_F(TiffTest, DataWithoutPixelsIsNotReadToItsEnd) {
  const std::string clear_codes(20 << 20, '\x80');
  std::vector<TiffTag> tags =
      RgbStrips(2000, 2000, 2000, kLzw, static_cast<uint32_t>(20 << 20));
  const std::string file = MakeTiff(tags, clear_codes);
  const absl::Time start = absl::Now();
  EXPECT_FALSE(DecodeAndCrop(file, kSize).ok());
  EXPECT_LT(absl::Now() - start, absl::Seconds(2));
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ZEROSHOT_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ZEROSHOT_SANITIZED
#endif
#endif
#ifdef ZEROSHOT_SANITIZED
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

TEST_F(TiffTest, WhatItTakesIsAskedOfTheBudgetFirst) {
  for (const auto& [file, low, high] :
       std::vector<std::tuple<std::string, int64_t, int64_t>>{
           {FlatTiff(5'000, 5'000, 5'000), 0, 8 << 20},
           {FlatTiff(5'000, 5'000, 1), 0, 8 << 20},
           {FlatTiledTiff(5'000, 5'000, 256, 256), 3'500'000, 16 << 20},
           // One tile is held as a whole.
           {FlatTiledTiff(4'000, 4'000, 4'000, 4'000), 45'000'000, 64 << 20}}) {
    DecodeBudget budget({.bytes = int64_t{1} << 30, .at_once = 1});
    DecodeOptions options;
    options.budget = &budget;
    int64_t asked = 0;
    base::Caller caller;
    caller.gone = [&] {
      asked = std::max(asked, budget.stats().bytes);
      return false;
    };
    absl::Status status;
    const int64_t peak = PeakSince([&, &file = file] {
      status = DecodeAndCrop(file, kSize, options, nullptr, caller).status();
    });
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_GE(asked, low);
    EXPECT_LT(asked, high);
    // A sanitizer keeps for a while what was freed.
    EXPECT_LT(peak, asked + ((kSanitized ? 64 : 24) << 20));
    DecodeBudget small({.bytes = 1, .at_once = 1});
    options.budget = &small;
    EXPECT_THAT(
        std::string(DecodeAndCrop(file, kSize, options).status().message()),
        HasSubstr("bytes of memory to be decoded"));
  }
}

// Of this thread: other processes may have the cores.
absl::Duration CpuTime() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return absl::DurationFromTimespec(now);
}

TEST_F(TiffTest, ADecodeStopsWhenItsCallerGoes) {
  // A sanitizer multiplies what each pixel costs.
  const absl::Duration most = absl::Milliseconds(kSanitized ? 2'000 : 50);
  for (const std::string& file :
       {FlatTiff(5'000, 5'000, 5'000), FlatTiff(5'000, 5'000, 1),
        FlatTiledTiff(5'000, 5'000, 256, 256),
        FlatTiledTiff(5'000, 5'000, 5'000, 5'000)}) {
    for (const int goes_at : {1, 20}) {
      int looks = 0;
      absl::Duration last = CpuTime(), longest;
      base::Caller caller;
      caller.gone = [&] {
        longest = std::max(longest, CpuTime() - std::exchange(last, CpuTime()));
        return ++looks >= goes_at;
      };
      last = CpuTime();
      const absl::Status status =
          DecodeAndCrop(file, kSize, {}, nullptr, caller).status();
      EXPECT_TRUE(absl::IsCancelled(status)) << status;
      EXPECT_EQ(looks, goes_at);
      EXPECT_LT(longest, most);
    }
  }
}

}  // namespace
}  // namespace clip
