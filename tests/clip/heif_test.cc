// AVIF and HEIC: what their boxes may ask for. Their pixels are compared with
// the reference's in image_test.cc.
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "clip/image.h"
#include "clip/image/heif_items.h"
#include "clip/image/hevc_size.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace clip {
namespace {

using ::testing::HasSubstr;

constexpr int kSize = 32;

std::string ReadImage(const std::string& name) {
  std::ifstream file(ZEROSHOT_SOURCE_DIR "/tests/testdata/images/" + name,
                     std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string BigEndian(uint32_t value, int size) {
  std::string bytes;
  for (int i = size - 1; i >= 0; --i)
    bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

std::string Box(const std::string& type, const std::string& content) {
  return BigEndian(static_cast<uint32_t>(8 + content.size()), 4) + type +
         content;
}

// The file with that size in all of its "ispe" properties.
std::string OfSize(std::string file, uint32_t width, uint32_t height) {
  for (size_t at = 0; (at = file.find("ispe", at)) != file.npos; ++at)
    file.replace(at + 8, 8, BigEndian(width, 4) + BigEndian(height, 4));
  return file;
}

// Of both formats, those that are built.
class HeifTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    file_ = ReadImage(absl::StrCat("rgb_444.", GetParam()));
    ASSERT_NE(file_, "");
    if (!IsBuilt(*FormatOf(file_))) GTEST_SKIP() << "not built";
  }

  std::string file_;
};
INSTANTIATE_TEST_SUITE_P(Formats, HeifTest, ::testing::Values("avif", "heic"),
                         [](const auto& info) {
                           return std::string(info.param);
                         });

void ExpectRefused(const std::string& file, const std::string& why,
                   const DecodeOptions& options = {}) {
  for (const absl::Status& status :
       {DecodeImage(file, options).status(),
        DecodeAndCrop(file, kSize, options).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(why));
  }
}

TEST_P(HeifTest, SizesAreRefusedByTheBoxesAlone) {
  ASSERT_TRUE(DecodeImage(file_).ok()) << DecodeImage(file_).status();
  ExpectRefused(OfSize(file_, 12'000, 12'000), "image");
  // What cannot be stopped may be less.
  ExpectRefused(OfSize(file_, 9'000, 6'000),
                "9000 x 6000 pixels is too large for");
  for (const auto& [width, height] : std::vector<std::pair<uint32_t, uint32_t>>{
           {1, 0x7fffffff}, {0x7fffffff, 1}, {0xffffffff, 0xffffffff}}) {
    ExpectRefused(OfSize(file_, width, height), "image");
  }
}

// Libavif scales it to the said size, as in Pillow; libheif goes by what HEVC
// says, and cuts it as "clap" says. Neither takes more than it was allowed.
TEST_P(HeifTest, AnImageThatIsNotOfTheSaidSizeIsServedAsTheReferenceDoes) {
  for (const int side : {600, 64, 2'000}) {
    const auto image = DecodeImage(OfSize(file_, side, side));
    if (!image.ok()) continue;
    if (GetParam() == std::string("heic")) {
      EXPECT_EQ(image->pixels, DecodeImage(file_)->pixels);
    } else {
      EXPECT_EQ(image->width, side);
      EXPECT_EQ(image->height, side);
    }
  }
}

TEST_P(HeifTest, WhatItTakesIsAskedOfTheBudgetFirst) {
  DecodeBudget budget({.bytes = 1 << 20, .at_once = 1});
  DecodeOptions options;
  options.budget = &budget;
  ExpectRefused(file_, "bytes of memory to be decoded", options);
}

TEST_P(HeifTest, DataThatEndsEarlyIsRefused) {
  for (size_t size = 12; size < file_.size(); size += 1 + size / 10)
    EXPECT_FALSE(DecodeImage(file_.substr(0, size)).ok()) << size;
}

TEST_P(HeifTest, ACallerWhoHasGoneGetsNoImage) {
  base::Caller caller;
  caller.deadline = absl::InfinitePast();
  DecodeBudget budget({.bytes = int64_t{1} << 30, .at_once = 1});
  DecodeOptions options;
  options.budget = &budget;
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      DecodeAndCrop(file_, kSize, options, nullptr, caller).status()));
}

TEST(AvifTest, IsTurnedWhereThatIsAskedFor) {
  if (!IsBuilt(ImageFormat::kAvif)) GTEST_SKIP() << "not built";
  const std::string file = ReadImage("turned.avif");
  DecodeOptions options;
  EXPECT_EQ(DecodeImage(file, options)->width, 45);
  options.apply_exif_orientation = true;
  EXPECT_EQ(DecodeImage(file, options)->width, 30);
}

TEST(HeicTest, IsTurnedWhateverTheOptionSays) {
  if (!IsBuilt(ImageFormat::kHeic)) GTEST_SKIP() << "not built";
  const std::string file = ReadImage("turned.heic");
  for (const bool option : {false, true}) {
    DecodeOptions options;
    options.apply_exif_orientation = option;
    EXPECT_EQ(DecodeImage(file, options)->width, 30);
  }
}

// Each with a list of items that ends in the main one.
std::string HeicOf(const std::vector<std::string>& types,
                   const std::string& references) {
  std::string entries;
  uint32_t id = 0;
  for (const std::string& type : types) {
    entries += Box("infe", BigEndian(2u << 24, 4) + BigEndian(++id, 2) +
                               BigEndian(0, 2) + type + std::string(1, '\0'));
  }
  const std::string version(4, '\0');
  return Box("ftyp", "heic" + version + "mif1heic") +
         Box("meta", version + Box("pitm", version + BigEndian(id, 2)) +
                         Box("iinf", version + BigEndian(id, 2) + entries) +
                         Box("iref", version + references));
}

// Bits, most significant first.
class BitWriter {
 public:
  void Put(uint32_t value, int count) {
    for (int i = count - 1; i >= 0; --i) {
      if (size_ % 8 == 0) bytes_ += '\0';
      bytes_.back() |= static_cast<char>((value >> i & 1) << (7 - size_++ % 8));
    }
  }
  // An Exp-Golomb code.
  void PutCode(uint32_t value) {
    int bits = 0;
    while ((value + 1) >> (bits + 1) != 0) ++bits;
    Put(0, bits);
    Put(value + 1, bits + 1);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
  int size_ = 0;
};

// A sequence parameter set, as far as the size of frames.
std::string SequenceOf(uint32_t width, uint32_t height, int layers = 0) {
  BitWriter bits;
  bits.Put(kHevcSequence << 9 | 1, 16);
  bits.Put(0, 4);
  bits.Put(layers, 3);
  // No zeros, between which a byte would have to be put.
  const auto filling = [&](int count) {
    for (int i = 0; i < count; ++i) bits.Put(1, 1);
  };
  filling(1 + 88 + 8);
  for (int i = 0; i < layers; ++i) bits.Put(i % 2 == 0 ? 3 : 1, 2);
  if (layers > 0) filling(2 * (8 - layers));
  for (int i = 0; i < layers; ++i) filling(i % 2 == 0 ? 96 : 8);
  bits.PutCode(0);
  bits.PutCode(3);  // with a bit more
  bits.Put(0, 1);
  bits.PutCode(width);
  bits.PutCode(height);
  return bits.bytes();
}

std::string HeaderOf(const std::string& unit) {
  return Box("hvcC", std::string(21, '\1') + "\xff\1" +
                         std::string(1, kHevcSequence) + BigEndian(1, 2) +
                         BigEndian(static_cast<uint32_t>(unit.size()), 2) +
                         unit);
}

TEST(HeicTest, HevcSaysHowLargeItsFramesAre) {
  if (!IsBuilt(ImageFormat::kHeic)) GTEST_SKIP() << "not built";
  for (const int layers : {0, 1, 2, 6}) {
    EXPECT_EQ(HevcPixels(SequenceOf(64, 48, layers)), 64 * 48);
    EXPECT_EQ(HevcPixels(SequenceOf(16'384, 8'192, layers)), 16'384 * 8'192);
  }
  EXPECT_EQ(HevcPixels(SequenceOf(0, 48)), std::nullopt);
  const std::string whole = SequenceOf(64, 48);
  for (size_t size = 0; size + 1 < whole.size(); ++size)
    EXPECT_EQ(HevcPixels(whole.substr(0, size)), std::nullopt) << size;
  const std::string file = ReadImage("rgb_444.heic");
  EXPECT_EQ(*LargestHeifFrame(file), 64 * 64);
  // A header that says more than HEIF does.
  for (const uint32_t side : {20'000u, 0x7ffffff0u}) {
    std::string lies = HeicOf({"hvc1"}, "");
    const std::string property =
        Box("iprp", Box("ipco", HeaderOf(SequenceOf(side, side))));
    const size_t meta = lies.find("meta") - 4;
    lies = lies.substr(0, meta) +
           BigEndian(
               static_cast<uint32_t>(lies.size() - meta + property.size()), 4) +
           lies.substr(meta + 4) + property;
    EXPECT_GT(*LargestHeifFrame(lies), 50'000'000);
  }
  // A second one, where the image's data is.
  std::string second = file;
  const size_t data = second.find("mdat") + 4;
  second[data + 4] = static_cast<char>(kHevcSequence << 1);
  EXPECT_THAT(std::string(LargestHeifFrame(second).status().message()),
              HasSubstr("its HEVC data says another size"));
}

std::string MadeOf(uint32_t item, const std::vector<uint32_t>& parts) {
  std::string content =
      BigEndian(item, 2) + BigEndian(static_cast<uint32_t>(parts.size()), 2);
  for (const uint32_t part : parts) content += BigEndian(part, 2);
  return Box("dimg", content);
}

TEST(HeicTest, AFewBytesMayNotAskForHoursOfWork) {
  if (!IsBuilt(ImageFormat::kHeic)) GTEST_SKIP() << "not built";
  ExpectRefused(
      HeicOf({"hvc1", "iovl"}, MadeOf(2, std::vector<uint32_t>(60'000, 1))),
      "whose main image is of the kind 'iovl'");
  ExpectRefused(HeicOf({"hvc1", "iovl", "hvc1"}, ""),
                "with images made of others ('iovl')");
  ExpectRefused(HeicOf({"hvc1", "iden"}, MadeOf(2, {1})), "'iden'");
  ExpectRefused(HeicOf({"av01"}, ""), "main image is of the kind 'av01'");
  ExpectRefused(
      HeicOf({"hvc1", "grid"}, MadeOf(2, std::vector<uint32_t>(60'000, 1))),
      "of grids with more than 4096 parts");
  ExpectRefused(
      HeicOf({"hvc1", "grid", "grid"}, MadeOf(2, {1}) + MadeOf(3, {2})),
      "of a grid whose parts are no HEVC images");
  ExpectRefused(HeicOf({"grid"}, MadeOf(1, {1})),
                "of a grid whose parts are no HEVC images");
  const std::string file = HeicOf({"hvc1"}, "");
  ExpectRefused(file + file.substr(file.find("meta") - 4), "or several");
  ExpectRefused(file.substr(0, 24), "it has no list of its items");
}

}  // namespace
}  // namespace clip
