// DecodeAndCrop is DecodeImage and CropForModel, faster: same bytes, same
// errors. What those two do is image_test.cc's.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "clip/image.h"
#include "clip/kernels/resize_kernels.h"
#include "tests/testing/make_jpeg.h"

namespace clip {
namespace {

using testing_images::JpegOptions;
using testing_images::MakeJpeg;
using testing_images::MakePixels;

absl::StatusOr<std::vector<uint8_t>> InTwoSteps(
    absl::string_view bytes, int size, const DecodeOptions& options = {}) {
  absl::StatusOr<Image> image = DecodeImage(bytes, options);
  if (!image.ok()) return image.status();
  return CropForModel(*image, size);
}

// Equal crops or equal refusals. The first damage found may be another one, so
// of messages only the kind is compared.
void ExpectSame(absl::string_view bytes, int size, const std::string& what,
                const DecodeOptions& options = {}) {
  const auto expected = InTwoSteps(bytes, size, options);
  const auto found = DecodeAndCrop(bytes, size, options);
  ASSERT_EQ(found.status().code(), expected.status().code())
      << what << ": " << found.status() << " instead of " << expected.status();
  if (!expected.ok()) return;
  ASSERT_TRUE(*found == *expected) << what;
}

std::vector<std::string> TestImages() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(
           ZEROSHOT_SOURCE_DIR "/tests/testdata/images")) {
    std::ifstream file(entry.path(), std::ios::binary);
    files.emplace_back(std::istreambuf_iterator<char>(file),
                       std::istreambuf_iterator<char>());
  }
  return files;
}

JpegOptions RandomOptions(std::mt19937* random) {
  using Sampling = std::vector<std::array<int, 2>>;
  static const Sampling kSamplings[] = {
      {},
      {{1, 1}, {1, 1}, {1, 1}},
      {{2, 1}, {1, 1}, {1, 1}},
      {{1, 2}, {1, 1}, {1, 1}},
      {{2, 2}, {1, 1}, {1, 1}},
      {{4, 1}, {1, 1}, {1, 1}},
      {{1, 4}, {1, 1}, {1, 1}},
      {{4, 2}, {1, 1}, {1, 1}},
      {{2, 2}, {2, 1}, {1, 2}},
      {{1, 1}, {2, 2}, {2, 2}},
      {{3, 1}, {1, 1}, {1, 1}},
  };
  JpegOptions options;
  options.channels = std::array{1, 3, 3, 3, 3, 4}[(*random)() % 6];
  options.quality = 20 + (*random)() % 80;
  if (options.channels == 3) {
    options.sampling = kSamplings[(*random)() % std::size(kSamplings)];
  }
  options.restart_interval = (*random)() % 3 == 0 ? 1 + (*random)() % 9 : 0;
  const int kind = (*random)() % 6;
  options.progressive = kind == 0;
  options.arithmetic = kind == 1;
  return options;
}

std::string RandomJpeg(std::mt19937* random, int* width, int* height) {
  *width = 1 + (*random)() % 400;
  *height = 1 + (*random)() % 400;
  switch ((*random)() % 4) {
    case 0:  // wide or tall: much is left out
      ((*random)() % 2 ? *width : *height) = 400 + (*random)() % 600;
      break;
    case 1:
      ((*random)() % 2 ? *width : *height) = 1 + (*random)() % 20;
      break;
    default:
      break;
  }
  const JpegOptions options = RandomOptions(random);
  return MakeJpeg(MakePixels(*width, *height, options.channels, (*random)()),
                  *width, *height, options);
}

TEST(DecodeAndCropTest, EqualsTheTwoStepsOnEveryTestImage) {
  for (const std::string& file : TestImages()) {
    for (const int size : {7, 32, 224}) {
      for (const bool upright : {false, true}) {
        DecodeOptions options;
        options.apply_exif_orientation = upright;
        ExpectSame(file, size, absl::StrCat(size), options);
      }
    }
  }
}

TEST(DecodeAndCropTest, EqualsTheTwoStepsOnRandomJpegs) {
  std::mt19937 random(1);
  for (int round = 0; round < 400; ++round) {
    int width = 0, height = 0;
    const std::string file = RandomJpeg(&random, &width, &height);
    const int size = 1 + random() % 250;
    ExpectSame(file, size,
               absl::StrCat("round ", round, ": ", width, " x ", height, " at ",
                            size));
    // The right size already: nothing is resized.
    ExpectSame(file, std::min(width, height),
               absl::StrCat("round ", round, ": ", width, " x ", height));
  }
}

TEST(DecodeAndCropTest, RefusesTheSameDamage) {
  std::mt19937 random(2);
  int refused = 0, taken = 0;
  for (int round = 0; round < 600; ++round) {
    int width = 0, height = 0;
    std::string file = RandomJpeg(&random, &width, &height);
    if (round % 2 == 0) {
      file.resize(random() % file.size());
    } else {
      const size_t after_headers = file.find("\xff\xda");
      for (int flips = 1 + random() % 3; flips > 0; --flips) {
        const size_t at =
            after_headers + random() % (file.size() - after_headers);
        file[at] ^= 1 << random() % 8;
      }
    }
    ExpectSame(file, 32, absl::StrCat("round ", round));
    DecodeAndCrop(file, 32).ok() ? ++taken : ++refused;
  }
  EXPECT_GT(refused, 300);
  EXPECT_GT(taken, 50);
}

// Damage far from what the crop needs: above, below and beside it.
TEST(DecodeAndCropTest, RefusesDamageOutsideOfTheCrop) {
  for (const bool tall : {true, false}) {
    const int width = tall ? 64 : 2000, height = tall ? 2000 : 64;
    const std::string file =
        MakeJpeg(MakePixels(width, height, 3, 3), width, height);
    ASSERT_TRUE(DecodeAndCrop(file, 32).ok());
    for (const double where : {0.1, 0.9, 0.999}) {
      const absl::string_view cut(file.data(), file.size() * where);
      EXPECT_EQ(DecodeAndCrop(cut, 32).status().code(),
                absl::StatusCode::kInvalidArgument)
          << where;
      EXPECT_EQ(
          DecodeAndCrop(absl::StrCat(cut, "\xff\xd9"), 32).status().code(),
          absl::StatusCode::kInvalidArgument)
          << where;
    }
  }
}

// Sum of the absolute differences a sample.
double MeanDifference(const std::vector<uint8_t>& a,
                      const std::vector<uint8_t>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::abs(a[i] - b[i]);
  return sum / a.size();
}

TEST(DecodeAndCropTest, FastChangesLargeJpegsOnlyAndThoseLittle) {
  DecodeOptions fast;
  fast.fast = true;
  for (const auto& [width, height, differs] : {std::tuple{300, 127, false},
                                               {127, 300, false},
                                               {300, 128, true},
                                               {600, 257, true},
                                               {257, 700, true},
                                               {513, 513, true}}) {
    const std::string file =
        MakeJpeg(MakePixels(width, height, 3, 5), width, height);
    const auto exact = DecodeAndCrop(file, 32);
    const auto quick = DecodeAndCrop(file, 32, fast);
    ASSERT_TRUE(exact.ok() && quick.ok());
    EXPECT_EQ(*exact != *quick, differs) << width << " x " << height;
    EXPECT_LT(MeanDifference(*exact, *quick), 2.0) << width << " x " << height;
  }
}

TEST(DecodeAndCropTest, FastRefusesTheSameDamage) {
  std::mt19937 random(6);
  DecodeOptions fast;
  fast.fast = true;
  for (int round = 0; round < 400; ++round) {
    int width = 0, height = 0;
    std::string file = RandomJpeg(&random, &width, &height);
    if (round % 3 == 0) file.resize(random() % file.size());
    if (round % 3 == 1) file[random() % file.size()] ^= 1 << random() % 8;
    const auto exact = DecodeAndCrop(file, 16);
    const auto quick = DecodeAndCrop(file, 16, fast);
    ASSERT_EQ(exact.status().code(), quick.status().code())
        << round << ": " << exact.status() << ", " << quick.status();
    EXPECT_EQ(quick.ok() ? quick->size() : 16 * 16 * 3, 16 * 16 * 3);
  }
}

TEST(DecodeAndCropTest, SaysWhereTheTimeWent) {
  const std::string file = MakeJpeg(MakePixels(500, 375, 3, 4), 500, 375);
  CropTiming timing;
  ASSERT_TRUE(DecodeAndCrop(file, 224, {}, &timing).ok());
  EXPECT_GT(timing.decode, absl::ZeroDuration());
  EXPECT_GT(timing.crop, absl::ZeroDuration());
}

// --- Kernels ---------------------------------------------------------------

int32_t Sample(int32_t sum) {
  return std::clamp(sum >> ResizeKernels::kWeightBits, 0, 255);
}

class ResizeKernelsTest : public ::testing::Test {
 protected:
  static constexpr int kRows = ResizeKernels::kRows;

  std::vector<uint8_t> Bytes(size_t count) {
    std::vector<uint8_t> bytes(count);
    for (uint8_t& byte : bytes) byte = random_() % 4 ? random_() : 255;
    return bytes;
  }

  // Sums reach from below 0 to above 255, but never leave 32 bits.
  std::vector<int32_t> Weights(int count) {
    std::vector<int32_t> weights(count);
    for (int32_t& weight : weights) {
      weight = static_cast<int32_t>(random_() % 4'000'000) - 1'500'000;
      weight /= std::max(count / 2, 1);
    }
    return weights;
  }

  std::mt19937 random_{1};
};

TEST_F(ResizeKernelsTest, EveryInstructionSetTransposes) {
  for (const ResizeKernels* kernels : ResizeKernels::Supported()) {
    for (int length = 1; length < 70; ++length) {
      const std::vector<uint8_t> in = Bytes(length * kRows);
      const uint8_t* rows[kRows];
      for (int r = 0; r < kRows; ++r) rows[r] = &in[r * length];
      std::vector<uint8_t> tile(length * kRows), back(length * kRows);
      kernels->rows_to_tile(rows, length, tile.data());
      for (int r = 0; r < kRows; ++r) {
        for (int i = 0; i < length; ++i) {
          ASSERT_EQ(tile[i * kRows + r], rows[r][i])
              << kernels->instruction_set << " " << length;
        }
      }
      uint8_t* back_rows[kRows];
      for (int r = 0; r < kRows; ++r) back_rows[r] = &back[r * length];
      kernels->tile_to_rows(tile.data(), length, back_rows);
      ASSERT_EQ(back, in) << kernels->instruction_set << " " << length;
    }
  }
}

TEST_F(ResizeKernelsTest, EveryInstructionSetSumsColumnsAlike) {
  constexpr int kColumns = 50;
  for (const ResizeKernels* kernels : ResizeKernels::Supported()) {
    for (int channels = 1; channels <= 4; ++channels) {
      const int pixel = channels * kRows;
      const std::vector<uint8_t> tile = Bytes(kColumns * pixel);
      for (int size = 1; size < 20; ++size) {
        const std::vector<int32_t> weights = Weights(size);
        std::vector<ResizeWindow> windows;
        for (int begin = 0; begin + size <= kColumns; begin += 3) {
          windows.push_back({begin, size, weights.data()});
        }
        std::vector<uint8_t> out(windows.size() * pixel);
        kernels->resample_columns(tile.data(), channels, windows.data(),
                                  windows.size(), out.data());
        for (size_t i = 0; i < out.size(); ++i) {
          int32_t sum = 1 << (ResizeKernels::kWeightBits - 1);
          for (int x = 0; x < size; ++x) {
            const int column = windows[i / pixel].begin + x;
            sum += tile[column * pixel + i % pixel] * weights[x];
          }
          ASSERT_EQ(out[i], Sample(sum)) << kernels->instruction_set;
        }
      }
    }
  }
}

TEST_F(ResizeKernelsTest, EveryInstructionSetSumsRowsAlike) {
  for (const ResizeKernels* kernels : ResizeKernels::Supported()) {
    for (int length = 1; length < 70; ++length) {
      std::vector<int32_t> sums(length, 12345), expected(length);
      const std::vector<int32_t> weights = Weights(5);
      for (int y = 0; y < 5; ++y) {
        const std::vector<uint8_t> row = Bytes(length);
        kernels->add_row(row.data(), length, weights[y], y == 0, sums.data());
        for (int i = 0; i < length; ++i) {
          if (y == 0) expected[i] = 1 << (ResizeKernels::kWeightBits - 1);
          expected[i] += row[i] * weights[y];
        }
      }
      EXPECT_EQ(sums, expected) << kernels->instruction_set;
      std::vector<uint8_t> out(length);
      kernels->round_row(sums.data(), length, out.data());
      for (int i = 0; i < length; ++i) {
        ASSERT_EQ(out[i], Sample(sums[i])) << kernels->instruction_set;
      }
    }
  }
}

}  // namespace
}  // namespace clip
