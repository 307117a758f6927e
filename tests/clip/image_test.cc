#include "clip/image.h"

#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace clip {
namespace {

using ::testing::HasSubstr;

const char kTestData[] = ZEROSHOT_SOURCE_DIR "/tests/testdata/";

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string ReadImage(const std::string& name) {
  return ReadFile(absl::StrCat(kTestData, "images/", name));
}

// Of those formats whose libraries were there.
bool IsBuiltImage(const std::string& name) {
  const auto format = FormatOf(ReadImage(name));
  return format.has_value() && IsBuilt(*format);
}

std::vector<std::string> AllImages() {
  std::vector<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(absl::StrCat(kTestData, "images"))) {
    const std::string name = entry.path().filename();
    if (IsBuiltImage(name)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::string_view AsString(const std::vector<uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string Sha256Hex(const std::vector<uint8_t>& bytes) {
  base::Sha256 sha;
  sha.Update(AsString(bytes));
  return sha.HexDigest();
}

Image MakeImage(ImageMode mode, int width, int height, int channels) {
  Image image;
  image.mode = mode;
  image.width = width;
  image.height = height;
  image.channels = channels;
  image.pixels.resize(size_t{1} * width * height * channels);
  return image;
}

template <typename T>
void ExpectInvalid(const absl::StatusOr<T>& image, const std::string& message) {
  ASSERT_EQ(image.status().code(), absl::StatusCode::kInvalidArgument)
      << image.status();
  EXPECT_THAT(std::string(image.status().message()), HasSubstr(message));
}

bool SameImage(const Image& a, const Image& b) {
  return a.mode == b.mode && a.width == b.width && a.height == b.height &&
         a.pixels == b.pixels && a.palette == b.palette;
}

// --- The reference's numbers ---------------------------------------------

TEST(CropForModelTest, EqualsTheReferenceOnEveryTestImage) {
  std::istringstream lines(
      ReadFile(absl::StrCat(kTestData, "golden/crops/crops.tsv")));
  std::string line;
  std::getline(lines, line);  // The heading.
  std::map<std::string, int> cases;
  std::string name, sha256, rgb_hex;
  DecodeOptions options;
  int size = 0;
  while (lines >> name >> options.apply_exif_orientation >> size >> sha256 >>
         rgb_hex) {
    if (!IsBuiltImage(name)) continue;
    ++cases[name];
    const absl::StatusOr<Image> image = DecodeImage(ReadImage(name), options);
    EXPECT_TRUE(image.ok()) << name << ": " << image.status();
    if (!image.ok()) continue;
    const std::vector<uint8_t> crop = CropForModel(*image, size);
    if (rgb_hex != "-") {
      EXPECT_EQ(absl::BytesToHexString(AsString(crop)), rgb_hex) << name;
    }
    EXPECT_EQ(Sha256Hex(crop), sha256)
        << name << " at " << size
        << (options.apply_exif_orientation ? " turned upright" : "");
  }
  EXPECT_EQ(cases.size(), AllImages().size());
}

TEST(CropForModelTest, SquashesAsTheReferenceDoes) {
  std::istringstream lines(
      ReadFile(absl::StrCat(kTestData, "golden/crops/squashed.tsv")));
  std::string line;
  std::getline(lines, line);  // The heading.
  std::string name, sha256;
  int size = 0, cases = 0;
  while (lines >> name >> size >> sha256) {
    if (!IsBuiltImage(name)) continue;
    ++cases;
    const std::string bytes = ReadImage(name);
    const CropShape shape(size, ResizeMode::kSquash);
    const absl::StatusOr<Image> image = DecodeImage(bytes);
    ASSERT_TRUE(image.ok()) << name << ": " << image.status();
    EXPECT_EQ(Sha256Hex(CropForModel(*image, shape)), sha256) << name;
    EXPECT_EQ(Sha256Hex(*DecodeAndCrop(bytes, shape)), sha256) << name;
  }
  EXPECT_EQ(cases, AllImages().size());
}

TEST(CropForModelTest, FillsWhatTheLongestSideLeavesAsTheReferenceDoes) {
  std::istringstream lines(
      ReadFile(absl::StrCat(kTestData, "golden/crops/longest.tsv")));
  std::string line;
  std::getline(lines, line);  // The heading.
  std::string name, sha256;
  int size = 0, fill = 0;
  bool bilinear = false;
  std::map<std::string, int> cases;
  while (lines >> name >> size >> bilinear >> fill >> sha256) {
    if (!IsBuiltImage(name)) continue;
    ++cases[name];
    const std::string bytes = ReadImage(name);
    const CropShape shape(size, ResizeMode::kLongest, bilinear,
                          static_cast<uint8_t>(fill));
    const absl::StatusOr<Image> image = DecodeImage(bytes);
    ASSERT_TRUE(image.ok()) << name << ": " << image.status();
    EXPECT_EQ(Sha256Hex(CropForModel(*image, shape)), sha256) << name;
    EXPECT_EQ(Sha256Hex(*DecodeAndCrop(bytes, shape)), sha256) << name;
  }
  EXPECT_EQ(cases.size(), AllImages().size());
}

TEST(CropForModelTest, MakesAsManyPatchesAsTheReference) {
  std::istringstream lines(
      ReadFile(absl::StrCat(kTestData, "golden/crops/patches.tsv")));
  std::string line;
  std::getline(lines, line);  // The heading.
  std::string name, sha256;
  int patch = 0, most = 0, rows = 0, columns = 0;
  std::map<std::string, int> cases;
  while (lines >> name >> patch >> most >> rows >> columns >> sha256) {
    if (!IsBuiltImage(name)) continue;
    ++cases[name];
    const std::string bytes = ReadImage(name);
    CropShape shape(256, ResizeMode::kPatches, /*bilinear=*/true);
    shape.patch = patch;
    shape.most_patches = most;
    const absl::StatusOr<Image> image = DecodeImage(bytes);
    ASSERT_TRUE(image.ok()) << name << ": " << image.status();
    const std::vector<uint8_t> crop = CropForModel(*image, shape);
    EXPECT_TRUE(CheckCrop(shape, crop).ok()) << CheckCrop(shape, crop);
    EXPECT_EQ(GridOf(crop).rows, rows) << name;
    EXPECT_EQ(GridOf(crop).columns, columns) << name;
    EXPECT_EQ(Sha256Hex(crop), sha256) << name;
    EXPECT_EQ(Sha256Hex(*DecodeAndCrop(bytes, shape)), sha256) << name;
  }
  EXPECT_EQ(cases.size(), AllImages().size());
}

TEST(CropForModelTest, CropsOfPatchesAreCheckedByTheirGrid) {
  CropShape shape(16, ResizeMode::kPatches, /*bilinear=*/true);
  shape.patch = 8;
  shape.most_patches = 6;
  const std::vector<uint8_t> black = BlackCrop(shape);
  EXPECT_TRUE(CheckCrop(shape, black).ok());
  const auto error = [&](std::vector<uint8_t> crop) {
    return std::string(CheckCrop(shape, crop).message());
  };
  const size_t six = 4 + 6 * 8 * 8 * 3;
  std::vector<uint8_t> crop(six);
  crop[0] = 2;
  crop[2] = 3;
  EXPECT_EQ(error(crop), "");
  crop[2] = 4;
  EXPECT_EQ(error(crop), "has 2 x 4 patches; 1 to 6 are allowed");
  crop[2] = 0;
  EXPECT_EQ(error(crop), "has 2 x 0 patches; 1 to 6 are allowed");
  crop[1] = crop[3] = 255;
  EXPECT_EQ(error(crop), "has 65282 x 65280 patches; 1 to 6 are allowed");
  EXPECT_EQ(error({1, 0}), "has no grid of patches");
  EXPECT_EQ(error({1, 0, 1, 0, 7}),
            "has 5 bytes, expected for 1 x 1 patches 196");
}

TEST(CropForModelTest, ResizesBilinearlyAsTheReferenceDoes) {
  std::istringstream lines(
      ReadFile(absl::StrCat(kTestData, "golden/crops/bilinear.tsv")));
  std::string line;
  std::getline(lines, line);  // The heading.
  std::string name, sha256;
  int size = 0;
  bool squash = false;
  std::map<std::string, int> cases;
  while (lines >> name >> size >> squash >> sha256) {
    if (!IsBuiltImage(name)) continue;
    ++cases[name];
    const std::string bytes = ReadImage(name);
    const CropShape shape(size,
                          squash ? ResizeMode::kSquash : ResizeMode::kShortest,
                          /*bilinear=*/true);
    const absl::StatusOr<Image> image = DecodeImage(bytes);
    ASSERT_TRUE(image.ok()) << name << ": " << image.status();
    EXPECT_EQ(Sha256Hex(CropForModel(*image, shape)), sha256) << name;
    EXPECT_EQ(Sha256Hex(*DecodeAndCrop(bytes, shape)), sha256) << name;
  }
  EXPECT_EQ(cases.size(), AllImages().size());
}

TEST(DecodeImageTest, KeepsTheModeThatPillowGives) {
  const std::map<std::string, ImageMode> modes = {
      {"grey.jpg", ImageMode::kL},
      {"rgb_420.jpg", ImageMode::kRGB},
      {"cmyk.jpg", ImageMode::kCMYK},
      {"ycck.jpg", ImageMode::kCMYK},
      {"grey_1.png", ImageMode::k1},
      {"grey_4.png", ImageMode::kL},
      {"grey_16.png", ImageMode::kL},
      {"grey_8_trns.png", ImageMode::kL},
      {"palette_trns.png", ImageMode::kP},
      {"rgb_8_trns.png", ImageMode::kRGB},
      {"grey_alpha_8.png", ImageMode::kLA},
      {"rgba_16.png", ImageMode::kRGBA},
      {"rgb_lossless.webp", ImageMode::kRGB},
      {"rgba_lossy.webp", ImageMode::kRGBA},
      {"palette.gif", ImageMode::kP},
      {"grey.gif", ImageMode::kL},
      {"palette_8.bmp", ImageMode::kP},
      {"grey.bmp", ImageMode::kL},
      {"black_and_white.bmp", ImageMode::k1},
      {"rgba.bmp", ImageMode::kRGBA},
      {"bits.pnm", ImageMode::k1},
  };
  for (const auto& [name, mode] : modes) {
    const absl::StatusOr<Image> image = DecodeImage(ReadImage(name));
    ASSERT_TRUE(image.ok()) << name << ": " << image.status();
    EXPECT_EQ(image->mode, mode) << name;
  }
}

// The reference makes nearly all of it white.
TEST(DecodeImageTest, SixteenBitGreyKeepsTheHighByte) {
  const std::string pixels("\x12\x34\x00\xff\xff\x00\x80\x80", 8);
  const auto pnm = DecodeImage(absl::StrCat("P5\n4 1\n65535\n", pixels));
  ASSERT_TRUE(pnm.ok()) << pnm.status();
  EXPECT_THAT(pnm->pixels, ::testing::ElementsAre(0x12, 0x00, 0xff, 0x80));
}

TEST(DecodeImageTest, TurnsEachExifOrientationUpright) {
  // Checked against EXIF's own wording, besides the goldens. All
  // eight files hold the same pixels and differ in their tag only.
  DecodeOptions upright;
  upright.apply_exif_orientation = true;
  const absl::StatusOr<Image> stored =
      DecodeImage(ReadImage("exif_1.jpg"), upright);
  ASSERT_TRUE(stored.ok());
  const int w = stored->width, h = stored->height;
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const std::string name = absl::StrCat("exif_", orientation, ".jpg");
    const absl::StatusOr<Image> turned = DecodeImage(ReadImage(name), upright);
    ASSERT_TRUE(turned.ok()) << name;
    ASSERT_EQ(turned->width, orientation < 5 ? w : h) << name;
    for (int y = 0; y < h; ++y) {
      for (int x = 0; x < w; ++x) {
        // Where EXIF says that row y and column x of the stored image go.
        const int right = w - 1 - x, bottom = h - 1 - y;
        const int to[8][2] = {{x, y}, {right, y},  {right, bottom}, {x, bottom},
                              {y, x}, {bottom, x}, {bottom, right}, {y, right}};
        const auto [tx, ty] = to[orientation - 1];
        const uint8_t* in = &stored->pixels[(y * w + x) * 3];
        const uint8_t* out = &turned->pixels[(ty * turned->width + tx) * 3];
        ASSERT_TRUE(std::equal(in, in + 3, out))
            << name << " " << x << " " << y;
      }
    }
  }
}

// --- Cost and exactness far from the origin --------------------------------

TEST(CropForModelTest, ComputesOnlyWhatTheCropKeeps) {
  // 256 x 5,120,000,000 pixels if resized whole. The scale is 1/256, so that
  // no rounding depends on the length, and a short image with the same middle
  // gives the same crop.
  for (const bool tall : {true, false}) {
    std::vector<std::vector<uint8_t>> crops;
    for (const int length : {2'000, 20'000'000}) {
      Image image = tall ? MakeImage(ImageMode::kL, 1, length, 1)
                         : MakeImage(ImageMode::kL, length, 1, 1);
      for (int i = 0; i < length; ++i) image.pixels[i] = i % 1000 * 37 % 251;
      crops.push_back(CropForModel(image, 256));
    }
    EXPECT_EQ(crops[0], crops[1]);
  }
}

TEST(CropForModelTest, AddsUpNearestPositionsAsALoopDoes) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    const int length = 1 + random() % 70'000;
    const int shorter = 1 + random() % 3;
    const int size = 1 + random() % 300;
    if (length < shorter) continue;
    Image image = MakeImage(ImageMode::kP, shorter, length, 1);
    image.palette.resize(256);
    for (int i = 0; i < 256; ++i) image.palette[i][0] = i;
    for (int y = 0; y < length; ++y) {
      for (int x = 0; x < shorter; ++x) {
        image.pixels[size_t{1} * y * shorter + x] = y % 253;
      }
    }
    const int64_t out = int64_t{size} * length / shorter;
    if (out == length) continue;
    const double scale = static_cast<double>(length) / out;
    double position = scale * 0.5;
    const int64_t excess = out - size;
    int64_t first = excess / 2;
    if (excess % 2 == 1 && first % 2 == 1) ++first;
    for (int64_t i = 0; i < first; ++i) position += scale;
    const std::vector<uint8_t> crop = CropForModel(image, size);
    for (int y = 0; y < size; ++y, position += scale) {
      ASSERT_EQ(crop[size_t{3} * y * size], static_cast<int>(position) % 253)
          << shorter << " x " << length << " at " << size << " row " << y;
    }
  }
}

// --- Files that must be refused --------------------------------------------

TEST(DecodeImageTest, RefusesOtherFormats) {
  ExpectInvalid(DecodeImage(""), "image is empty");
  ExpectInvalid(
      DecodeImage("RIFFxxxxWAVEfmt "),
      absl::StrCat("image of 16 bytes is not a ", ImageFormats().Names(),
                   " file: it starts with 0x52494646"));
  ExpectInvalid(DecodeImage("\xff"), "not a JPEG, PNG, WebP, GIF, BMP");
}

TEST(DecodeImageTest, SaysWhatAFileIsThatIsNoImageItReads) {
  const std::vector<std::pair<std::string, std::string>> files = {
      {std::string("\0\0\0\x18"
                   "ftypisom",
                   12),
       "a video (MP4 or QuickTime)"},
      {std::string("\0\0\0\xc"
                   "jP  \r\n\x87\n",
                   12),
       "a JPEG 2000 file"},
      {"\xff\x0a\xfa", "a JPEG XL file"},
      {std::string("\0\0\0\xcJXL \r\n\x87\n", 12), "a JPEG XL file"},
      {"II\xbc\1", "a JPEG XR file"},
      {"IIRO", "a camera's raw file"},
      {"\xef\xbb\xbf<!DOCTYPE html>", "an HTML page"},
      {"AAAAGGZ0eXBoZWljAAAAAG1pZjFoZWlj", "base64 text"},
      {"TU0AKgAAAAg", "base64 text"},
      {"%PDF-1.7", "a PDF document"},
      {"<svg xmlns='x'></svg>", "an SVG file"},
      {"<?xml version='1.0'?>\n<svg></svg>", "an SVG file"},
      {"<!DOCTYPE html><html>", "an HTML page"},
      {"{\"error\": 1}", "a JSON text"},
      {"/9j/4AAQSkZJRgABAQ", "base64 text (send the bytes that it stands for)"},
      {"iVBORw0KGgoAAAANSUhEUg", "base64 text"},
      {"data:image/png;base64,iVBORw0KGgo", "a data URI"},
      {"https://example.com/cat.jpg", "a URL (nothing is fetched"},
      {"P3\n1 1\n255\n1 2 3\n", "a plain PNM file"},
      {"8BPS", "a Photoshop file"}};
  for (const auto& [bytes, what] : files) {
    ExpectInvalid(DecodeImage(bytes), what);
    ExpectInvalid(DecodeAndCrop(bytes, 32), what);
  }
}

TEST(DecodeImageTest, SaysWhichKindOfJpegIsNotRead) {
  std::string lossless = ReadImage("grey.jpg");
  lossless[lossless.find("\xff\xc0") + 1] = '\xc3';
  ExpectInvalid(DecodeImage(lossless), "a lossless JPEG file");
  std::string deep = ReadImage("grey.jpg");
  deep[deep.find("\xff\xc0") + 4] = 12;
  ExpectInvalid(DecodeImage(deep), "a 12-bit JPEG file");
}

// Of a header alone, as it comes from a phone under whatever name.
TEST(DecodeImageTest, NamesAFormatThatIsOffOrNotBuilt) {
  const auto box = [](const std::string& brands) {
    return std::string("\0\0\0", 3) + static_cast<char>(8 + brands.size()) +
           "ftyp" + brands;
  };
  const std::string version(4, '\0');
  DecodeOptions options;
  options.formats = ImageFormats::OnByDefault();
  for (const auto& [bytes, what] :
       std::vector<std::pair<std::string, std::string>>{
           {box("heic" + version + "mif1heic"), "a HEIC file, which"},
           {box("mif1" + version + "mif1heic"), "a HEIC file, which"},
           {box("hevc" + version + "msf1hevc"), "a HEIC file, which"},
           {box("avif" + version + "mif1miaf"), "an AVIF file, which"},
           {box("mif1" + version + "miafavif"), "an AVIF file, which"},
           {std::string("II*\0\x8\0\0\0", 8), "a TIFF file, which"},
           {std::string("MM\0*\0\0\0\x8", 8), "a TIFF file, which"},
           {std::string("II+\0\x8\0\0\0", 8), "a TIFF file, which"}}) {
    ExpectInvalid(DecodeImage(bytes, options), what);
    ExpectInvalid(DecodeImage(bytes, options),
                  "; send a JPEG, PNG, WebP, GIF, BMP or PNM file");
  }
  ExpectInvalid(DecodeImage(box("mif1" + version + "miaf"), options),
                "a HEIF file of unknown kind; send a JPEG");
}

TEST(DecodeImageTest, TakesOnlyTheFormatsThatAreOn) {
  DecodeOptions options;
  options.formats = *ImageFormats::Parse("png,webp");
  EXPECT_TRUE(DecodeImage(ReadImage("grey_8.png"), options).ok());
  ExpectInvalid(DecodeImage(ReadImage("grey.jpg"), options),
                "a JPEG file, which this server does not take; send a PNG or "
                "WebP file");
  ExpectInvalid(DecodeImage(ReadImage("grey.gif"), options), "a GIF file");
  ExpectInvalid(ImageFormats::Parse("png,svg"),
                absl::StrCat("'svg' is no format of images; it must be one of ",
                             ImageFormats().List(), ", or all"));
  EXPECT_EQ(ImageFormats::Parse(" ALL ")->List(), ImageFormats().List());
  EXPECT_EQ(ImageFormats::OnByDefault().List(), "jpeg,png,webp,gif,bmp,pnm");
  ExpectInvalid(ImageFormats::Parse(""), "'' is no format");
}

TEST(DecodeImageTest, RefusesTooManyPixelsByTheHeaderAlone) {
  DecodeOptions options;
  for (const std::string name :
       {"rgb_444.jpg", "progressive.jpg", "rgba_8.png", "rgb_lossy.webp",
        "rgb_lossless.webp", "animated.webp"}) {
    const std::string bytes = ReadImage(name);
    const absl::StatusOr<Image> image = DecodeImage(bytes);
    ASSERT_TRUE(image.ok()) << name;
    const int64_t pixels = int64_t{image->width} * image->height;
    options.max_pixels = pixels;
    EXPECT_TRUE(DecodeImage(bytes, options).ok()) << name;
    options.max_pixels = pixels - 1;
    ExpectInvalid(DecodeImage(bytes, options),
                  absl::StrCat("image of ", image->width, " x ", image->height,
                               " pixels is too large: at most ", pixels - 1,
                               " are allowed"));
  }
  // A header that claims 2^31 - 1 squared, and nothing after it.
  std::string bytes = ReadImage("rgba_8.png").substr(0, 33);
  bytes.replace(16, 8, "\x7f\xff\xff\xff\x7f\xff\xff\xff");
  ExpectInvalid(DecodeImage(bytes), "2147483647 x 2147483647 pixels");
}

TEST(DecodeImageTest, RefusesAJpegThatEndsBeforeItsPixelsDo) {
  for (const std::string name : {"rgb_444.jpg", "restart.jpg", "cmyk.jpg"}) {
    const std::string bytes = ReadImage(name);
    // libjpeg would fill the rest with grey in both cases.
    ExpectInvalid(DecodeImage(bytes.substr(0, bytes.size() / 2)),
                  "image is a damaged JPEG file");
    ExpectInvalid(
        DecodeImage(bytes.substr(0, bytes.size() * 3 / 4) + "\xff\xd9"),
        "image is a damaged JPEG file");
  }
}

TEST(DecodeImageTest, ServesAJpegThatLacksOnlyItsEndMarker) {
  for (const std::string name : {"rgb_444.jpg", "rgb_420.jpg", "restart.jpg",
                                 "progressive.jpg", "cmyk.jpg", "photo.jpg"}) {
    const std::string bytes = ReadImage(name);
    const std::string cut = bytes.substr(0, bytes.size() - 2);
    const absl::StatusOr<Image> image = DecodeImage(cut);
    ASSERT_TRUE(image.ok()) << name << ": " << image.status();
    EXPECT_TRUE(SameImage(*image, *DecodeImage(bytes))) << name;
    EXPECT_EQ(*DecodeAndCrop(cut, 32), *DecodeAndCrop(bytes, 32)) << name;
  }
  // Arithmetic decoding does not tell whether pixels were made up.
  const std::string bytes = ReadImage("rgb_arithmetic.jpg");
  ExpectInvalid(DecodeImage(bytes.substr(0, bytes.size() - 2)),
                "image is a damaged JPEG file");
}

TEST(DecodeImageTest, RefusesAJpegThatLacksAnIntervalOfItsData) {
  const std::string bytes = ReadImage("restart.jpg");
  std::vector<size_t> restarts;
  for (size_t at = bytes.find("\xff\xda"); at + 1 < bytes.size(); ++at) {
    const int next = static_cast<uint8_t>(bytes[at + 1]);
    if (bytes[at] == '\xff' && next >= 0xd0 && next <= 0xd7)
      restarts.push_back(at);
  }
  ASSERT_GT(restarts.size(), 4);
  std::string cut = bytes;
  cut.erase(restarts[1], restarts[2] - restarts[1]);
  ExpectInvalid(DecodeImage(cut), "image is a damaged JPEG file");
  ExpectInvalid(DecodeAndCrop(cut, 8), "image is a damaged JPEG file");
}

TEST(DecodeImageTest, RefusesAProgressiveJpegWithoutItsLaterScans) {
  const std::string bytes = ReadImage("progressive.jpg");
  size_t scan = bytes.find("\xff\xda");
  for (int scans = 1; scans <= 5; ++scans) {
    scan = bytes.find("\xff\xda", scan + 2);
    // A scan's Huffman table comes before it.
    const size_t end = bytes.rfind("\xff\xc4", scan);
    ExpectInvalid(DecodeImage(bytes.substr(0, end) + "\xff\xd9"),
                  "its later scans are missing");
  }
}

TEST(DecodeImageTest, RefusesAPngWhosePixelsDoNotMatchTheirChecksum) {
  std::string bytes = ReadImage("rgb_8.png");
  const size_t end = bytes.rfind("IEND") - 4;
  bytes[end - 1] ^= 1;
  ExpectInvalid(DecodeImage(bytes), "image is a damaged PNG file");
}

// A chunk that libpng skips, with what looks like a size where the header's
// would be: the image behind it could have any.
TEST(DecodeImageTest, RefusesAPngThatHidesItsSizeBehindAnotherChunk) {
  const std::string bytes = ReadImage("rgb_8.png");
  std::string chunk("\0\0\0\10vpAg\0\0\0\1\0\0\0\1", 16);
  const uint32_t sum = crc32_z(
      0, reinterpret_cast<const Bytef*>(chunk.data()) + 4, chunk.size() - 4);
  for (const int shift : {24, 16, 8, 0})
    chunk += static_cast<char>(sum >> shift);
  std::string hidden = bytes;
  hidden.insert(8, chunk);
  DecodeOptions options;
  options.max_pixels = 1;
  ExpectInvalid(DecodeImage(hidden, options), "first chunk is not its header");
}

TEST(DecodeImageTest, StopsAJpegOfThousandsOfScans) {
  // The first scan again and again, which is harmless but for its cost. It
  // ends where the next scan's Huffman table begins.
  std::string bytes = ReadImage("progressive.jpg");
  const size_t begin = bytes.find("\xff\xda");
  const size_t end = bytes.find("\xff\xc4", begin);
  ASSERT_LT(end, bytes.size());
  const std::string scan = bytes.substr(begin, end - begin);
  std::string many;
  for (int i = 0; i < 20; ++i) many += scan;
  EXPECT_TRUE(
      DecodeImage(absl::StrCat(bytes.substr(0, end), many, bytes.substr(end)))
          .ok());
  for (int i = 0; i < 5000; ++i) many += scan;
  bytes.insert(end, many);
  ExpectInvalid(DecodeImage(bytes), "more than 100 scans");
}

TEST(DecodeImageTest, LooksAtNoAncillaryPngChunk) {
  const std::string bytes = ReadImage("rgb_8.png");
  const size_t after_header = 8 + 25;
  for (const std::string kind : {"iCCP", "zTXt", "iTXt", "sPLT", "vpAg"}) {
    // Its checksum is wrong and its content is nonsense.
    std::string chunk("\0\0\0\5", 4);
    chunk += kind + "abcde" + "1234";
    std::string changed = bytes;
    changed.insert(after_header, chunk);
    const absl::StatusOr<Image> image = DecodeImage(changed);
    ASSERT_TRUE(image.ok()) << kind << ": " << image.status();
    EXPECT_TRUE(SameImage(*image, *DecodeImage(bytes))) << kind;
  }
}

TEST(DecodeImageTest, RefusesWhatATruncationChanges) {
  for (const std::string& name : AllImages()) {
    const std::string bytes = ReadImage(name);
    const absl::StatusOr<Image> whole = DecodeImage(bytes);
    ASSERT_TRUE(whole.ok()) << name;
    // Every length near the ends, a sample of those between.
    const size_t step = 1 + bytes.size() / 100;
    for (size_t length = 0; length < bytes.size();) {
      const absl::StatusOr<Image> image =
          DecodeImage(absl::string_view(bytes).substr(0, length));
      if (image.ok()) {
        EXPECT_TRUE(SameImage(*image, *whole)) << name << " cut to " << length;
        // Of an animation the later frames are not needed, and of no file what
        // comes after its pixels (IEND and a checksum, EOI, padding).
        // Where libjpeg is out of step with the restart markers it drops the
        // last ones' data.
        EXPECT_TRUE(absl::StartsWith(name, "animated") ||
                    absl::StartsWith(name, "three_pages") ||
                    absl::StartsWith(name, "restart_") ||
                    length + 20 > bytes.size())
            << name << " cut to " << length;
      } else {
        EXPECT_EQ(image.status().code(), absl::StatusCode::kInvalidArgument);
      }
      length += length < 40 || length + 40 > bytes.size() ? 1 : step;
    }
  }
}

TEST(DecodeImageTest, SurvivesDamageSilently) {
  std::mt19937 random(1);
  DecodeOptions options;
  options.apply_exif_orientation = true;
  int refused = 0, decoded = 0;
  ::testing::internal::CaptureStderr();
  for (const std::string& name : AllImages()) {
    // dav1d prints, and libavif has no way to tell it not to.
    if (absl::EndsWith(name, ".avif")) continue;
    const std::string bytes = ReadImage(name);
    options.max_pixels = 300'000;
    for (int round = 0; round < 40; ++round) {
      std::string damaged = bytes;
      // Half of the damage hits the headers.
      const size_t end =
          round % 2 ? bytes.size() : std::min<size_t>(bytes.size(), 200);
      for (int flips = 1 + random() % 4; flips > 0; --flips) {
        damaged[random() % end] ^= 1 << random() % 8;
      }
      if (round % 8 == 0) damaged.resize(random() % damaged.size());
      const absl::StatusOr<Image> image = DecodeImage(damaged, options);
      if (!image.ok()) {
        ++refused;
        EXPECT_EQ(image.status().code(), absl::StatusCode::kInvalidArgument)
            << name << ": " << image.status();
        continue;
      }
      ++decoded;
      EXPECT_LE(int64_t{image->width} * image->height, options.max_pixels);
      ASSERT_EQ(image->pixels.size(),
                size_t{1} * image->width * image->height * image->channels);
      EXPECT_EQ(CropForModel(*image, 16).size(), 16 * 16 * 3);
    }
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_GT(refused, 500);
  EXPECT_GT(decoded, 500);
}

}  // namespace
}  // namespace clip
