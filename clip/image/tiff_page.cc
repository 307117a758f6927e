#include "clip/image/tiff_page.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "clip/image/tiff_jpeg.h"
#include "clip/image/tiff_tags.h"

namespace clip {
namespace {

enum TagNumber : uint32_t {
  kWidth = 256,
  kHeight = 257,
  kBitsPerSample = 258,
  kCompression = 259,
  kPhotometric = 262,
  kFillOrder = 266,
  kStripOffsets = 273,
  kSamplesPerPixel = 277,
  kRowsPerStrip = 278,
  kStripByteCounts = 279,
  kPlanarConfiguration = 284,
  kT4Options = 292,
  kPredictor = 317,
  kColorMap = 320,
  kTileWidth = 322,
  kTileLength = 323,
  kTileOffsets = 324,
  kTileByteCounts = 325,
  kExtraSamples = 338,
  kSampleFormat = 339,
  kJpegTables = 347,
  kYcbcrSubsampling = 530,
};

// Each strip or tile costs some microseconds beside its pixels.
constexpr int64_t kMostPieces = 131'072;
// As Pillow allows; of those only the colours and one for alpha count.
constexpr uint64_t kMostSamples = 6;
constexpr int64_t kMostRowBytes = 8 << 20;
constexpr size_t kMostJpegTables = 64 << 10;

absl::Status Damaged(absl::string_view what) {
  return DamagedImage("TIFF", what);
}

std::string CompressionName(uint64_t compression) {
  switch (compression) {
    case 6:
      return "JPEG of the old style (6)";
    case 34712:
      return "JPEG 2000 (34712)";
    case 34925:
      return "LZMA (34925)";
    case 50000:
      return "Zstandard (50000)";
    case 50001:
      return "WebP (50001)";
    case 50002:
    case 52546:
      return absl::StrCat("JPEG XL (", compression, ")");
    default:
      return absl::StrCat(compression);
  }
}

class Parser {
 public:
  Parser(absl::string_view bytes, const DecodeRun& run)
      : bytes_(bytes), run_(run), tags_(bytes) {}

  absl::StatusOr<TiffPage> Parse() {
    if (!tags_) return Damaged("it has no directory");
    if (!tags_.complete()) return Damaged("its directory ends early");
    page_.big_endian = tags_.big_endian();
    for (const auto step :
         {&Parser::CheckTags, &Parser::ReadSize, &Parser::ReadSamples,
          &Parser::ReadCompression, &Parser::ReadPalette, &Parser::ReadGrid,
          &Parser::ReadPieces, &Parser::CheckJpegs}) {
      absl::Status status = (this->*step)();
      if (!status.ok()) return status;
    }
    return page_;
  }

 private:
  uint64_t Get(TagNumber number, uint64_t otherwise) const {
    return tags_.Number(number, otherwise);
  }

  // A tag that cannot be read must not pass for one that is not there.
  absl::Status CheckTags() {
    for (const TagNumber number : {kWidth,
                                   kHeight,
                                   kBitsPerSample,
                                   kCompression,
                                   kPhotometric,
                                   kFillOrder,
                                   kStripOffsets,
                                   kSamplesPerPixel,
                                   kRowsPerStrip,
                                   kStripByteCounts,
                                   kPlanarConfiguration,
                                   kT4Options,
                                   kPredictor,
                                   kColorMap,
                                   kTileWidth,
                                   kTileLength,
                                   kTileOffsets,
                                   kTileByteCounts,
                                   kExtraSamples,
                                   kSampleFormat,
                                   kJpegTables,
                                   kYcbcrSubsampling}) {
      const TiffTags::Tag tag = tags_.Find(number);
      if (tag.type == 0) continue;
      const bool is_number =
          tag.type == TiffTags::kByte || tag.type == TiffTags::kShort ||
          tag.type == TiffTags::kLong || tag.type == TiffTags::kLong8;
      if ((!is_number && number != kJpegTables) || tags_.Data(tag).empty())
        return Damaged(absl::StrCat("its tag ", static_cast<int>(number),
                                    " holds no numbers"));
    }
    return absl::OkStatus();
  }

  absl::Status ReadSize() {
    const auto side = [&](TagNumber number) {
      return static_cast<int64_t>(
          std::min<uint64_t>(Get(number, 0), uint64_t{1} << 40));
    };
    const int64_t width = side(kWidth), height = side(kHeight);
    absl::Status size = run_.CheckSize(width, height);
    page_.width = static_cast<int>(width);
    page_.height = static_cast<int>(height);
    return size;
  }

  absl::Status ReadSamples() {
    const uint64_t samples = Get(kSamplesPerPixel, 1);
    if (samples < 1 || samples > kMostSamples) {
      return TiffNotRead(absl::StrCat(samples, " samples a pixel"),
                         "at most 6 are");
    }
    page_.samples = static_cast<int>(samples);
    const TiffTags::Tag bits = tags_.Find(kBitsPerSample);
    const uint64_t each = tags_.Number(bits, 0, 1);
    if (bits.count > 1 && bits.count < samples)
      return Damaged("the bits of some samples are not said");
    for (uint64_t i = 1; i < std::min<uint64_t>(bits.count, samples); ++i) {
      if (tags_.Number(bits, i) != each)
        return TiffNotRead("samples of different bits", "send them all with 8");
    }
    if (each != 1 && each != 2 && each != 4 && each != 8 && each != 16) {
      return TiffNotRead(absl::StrCat("samples of ", each, " bits"),
                         "1, 2, 4, 8 and 16 are");
    }
    page_.bits = static_cast<int>(each);
    const TiffTags::Tag extra = tags_.Find(kExtraSamples);
    for (uint64_t i = 0; i < std::min<uint64_t>(extra.count, kMostSamples); ++i)
      page_.extra_samples.push_back(
          static_cast<int>(std::min<uint64_t>(tags_.Number(extra, i), 65535)));
    const uint64_t format = Get(kSampleFormat, 1);
    constexpr uint64_t kUnsigned = 1, kSigned = 2;
    if (format != kUnsigned && (format != kSigned || each != 8)) {
      return TiffNotRead(absl::StrCat("samples that are not unsigned whole "
                                      "numbers (SampleFormat ",
                                      format, ")"),
                         "send them as such of 8 or 16 bits");
    }
    page_.photometric = static_cast<TiffPhotometric>(
        std::min<uint64_t>(Get(kPhotometric, kTiffWhiteIsZero), 65535));
    const uint64_t planar = Get(kPlanarConfiguration, 1);
    if (planar != 1 && planar != 2)
      return Damaged(absl::StrCat("PlanarConfiguration ", planar));
    page_.planar = planar == 2 && page_.samples > 1;
    page_.bits_reversed = Get(kFillOrder, 1) == 2;
    return absl::OkStatus();
  }

  absl::Status ReadCompression() {
    const uint64_t compression = Get(kCompression, kTiffRaw);
    switch (compression) {
      case kTiffLzw:
      case kTiffDeflate:
      case kTiffOldDeflate:
        page_.predictor =
            static_cast<int>(std::min<uint64_t>(Get(kPredictor, 1), 65535));
        break;
      case kTiffJpeg:
        return ReadJpeg();
      case kTiffCcittRle:
      case kTiffGroup3:
      case kTiffGroup4:
        if (page_.bits != 1 || page_.samples != 1)
          return Damaged("a compression for 1 bit, and more of them");
        page_.t4_options = static_cast<uint32_t>(Get(kT4Options, 0));
        break;
      case kTiffRaw:
      case kTiffPackBits:
        break;
      default:
        return TiffNotRead(
            absl::StrCat("the compression ", CompressionName(compression)),
            "none, LZW, deflate, PackBits, JPEG and CCITT are");
    }
    page_.compression = static_cast<TiffCompression>(compression);
    if (page_.predictor != 1 && (page_.predictor != 2 || page_.bits < 8)) {
      return TiffNotRead(absl::StrCat("the predictor ", page_.predictor, " of ",
                                      page_.bits, " bits"),
                         "2 of 8 or 16 bits is");
    }
    if (page_.photometric == kTiffYcbcr)
      return TiffNotRead("YCbCr without JPEG", "send RGB");
    return absl::OkStatus();
  }

  absl::Status ReadJpeg() {
    page_.compression = kTiffJpeg;
    if (page_.bits != 8)
      return TiffNotRead("JPEG of other than 8 bits", "8 are");
    if (page_.photometric == kTiffYcbcr &&
        (page_.planar || page_.samples != 3)) {
      return TiffNotRead("YCbCr in planes", "send it in one");
    }
    const TiffTags::Tag tables = tags_.Find(kJpegTables);
    page_.jpeg_tables = tags_.Data(tables);
    if (tables.count != page_.jpeg_tables.size() ||
        tables.count > kMostJpegTables) {
      return Damaged(absl::StrCat("JPEG tables of ", tables.count, " bytes"));
    }
    const TiffTags::Tag subsampling = tags_.Find(kYcbcrSubsampling);
    for (int axis = 0; axis < 2; ++axis) {
      const uint64_t factor = tags_.Number(subsampling, axis, 2);
      if (factor != 1 && factor != 2 && factor != 4)
        return Damaged(absl::StrCat("YCbCrSubsampling ", factor));
      page_.subsampling[axis] = static_cast<int>(factor);
    }
    return absl::OkStatus();
  }

  absl::Status ReadPalette() {
    if (page_.photometric != kTiffPalette) return absl::OkStatus();
    const TiffTags::Tag map = tags_.Find(kColorMap);
    const uint64_t colours = map.count / 3;
    if (page_.bits > 8) return TiffNotRead("a palette of 16 bits", "8 are");
    if (map.type != TiffTags::kShort || tags_.Data(map).empty() ||
        colours < uint64_t{1} << page_.bits) {
      return Damaged(absl::StrCat("a palette of ", colours, " colours for ",
                                  page_.bits, " bits"));
    }
    page_.palette.resize(256);
    for (int i = 0; i < 1 << page_.bits; ++i) {
      for (int c = 0; c < 3; ++c)
        page_.palette[i][c] =
            static_cast<uint8_t>(tags_.Number(map, c * colours + i) >> 8);
    }
    return absl::OkStatus();
  }

  absl::Status ReadGrid() {
    page_.tiled = tags_.Find(kTileWidth).type != 0;
    const uint64_t height = page_.height;
    const uint64_t piece_width = page_.tiled ? Get(kTileWidth, 0) : page_.width;
    const uint64_t piece_height =
        page_.tiled ? Get(kTileLength, 0)
                    : std::min<uint64_t>(Get(kRowsPerStrip, height), height);
    // The padding of the last tiles is decoded too.
    constexpr uint64_t kMost = std::numeric_limits<int32_t>::max();
    if (piece_width < 1 || piece_height < 1)
      return Damaged("strips or tiles without pixels");
    if (piece_width > kMost || piece_height > kMost)
      return TooLargeTiles(piece_width, piece_height);
    page_.piece_width = static_cast<int>(piece_width);
    page_.piece_height = static_cast<int>(piece_height);
    const int64_t across =
        (page_.width + int64_t{page_.piece_width} - 1) / page_.piece_width;
    const int64_t down =
        (page_.height + int64_t{page_.piece_height} - 1) / page_.piece_height;
    if (page_.tiled &&
        !run_.CheckSize(across * page_.piece_width, down * page_.piece_height)
             .ok()) {
      return TooLargeTiles(piece_width, piece_height);
    }
    if (across * down * page_.planes() > kMostPieces) {
      return TiffNotRead(
          absl::StrCat(across * down * page_.planes(), " strips or tiles"),
          absl::StrCat("at most ", kMostPieces, " are"));
    }
    // libtiff cannot be stopped within a row.
    if (page_.piece_row_bytes() > kMostRowBytes) {
      return TiffNotRead(
          absl::StrCat("rows of ", page_.piece_row_bytes(), " bytes"),
          absl::StrCat("at most ", kMostRowBytes, " are"));
    }
    page_.across = static_cast<int>(across);
    page_.down = static_cast<int>(down);
    return absl::OkStatus();
  }

  absl::Status TooLargeTiles(uint64_t width, uint64_t height) const {
    return base::WithReason(
        absl::InvalidArgumentError(
            absl::StrCat("image of ", page_.width, " x ", page_.height,
                         " pixels in tiles of ", width, " x ", height,
                         " is too large: at most ", run_.options().max_pixels,
                         " are allowed, those of its tiles included")),
        base::kImageTooLarge);
  }

  // How many rows of a piece in that row of pieces are of the image.
  int RowsOf(int y) const {
    return page_.tiled ? page_.piece_height
                       : std::min(page_.piece_height,
                                  page_.height - y * page_.piece_height);
  }

  absl::Status ReadPieces() {
    TiffTags::Tag offsets =
        tags_.Find(page_.tiled ? kTileOffsets : kStripOffsets);
    TiffTags::Tag counts =
        tags_.Find(page_.tiled ? kTileByteCounts : kStripByteCounts);
    // Some writers of tiles store theirs under the names of strips.
    if (offsets.type == 0) offsets = tags_.Find(kStripOffsets);
    if (counts.type == 0) counts = tags_.Find(kStripByteCounts);
    const int64_t pieces = int64_t{page_.across} * page_.down * page_.planes();
    if (static_cast<int64_t>(offsets.count) < pieces) {
      return Damaged(absl::StrCat("offsets of ", offsets.count,
                                  " strips or tiles instead of ", pieces));
    }
    uint64_t total = 0;
    page_.pieces.resize(pieces);
    for (int64_t i = 0; i < pieces; ++i) {
      const int y = static_cast<int>(i / page_.across % page_.down);
      const int64_t decoded = page_.piece_row_bytes() * RowsOf(y);
      const uint64_t offset = tags_.Number(offsets, i, bytes_.size());
      const uint64_t left =
          bytes_.size() - std::min<uint64_t>(offset, bytes_.size());
      uint64_t count = left;
      if (page_.compression == kTiffRaw) {
        count = decoded;  // writers lie about it, and Pillow does not look
        if (count > left) return Damaged("the file ends early");
      } else if (counts.type != 0 || pieces > 1) {
        count = std::min(count, tags_.Number(counts, i, 0));
      }
      // No compression makes that much of noise. What is behind is not looked
      // at, so that no work hides there.
      count = std::min<uint64_t>(count, 8 * decoded + (64 << 10));
      if (count == 0) return Damaged("a strip or tile without data");
      page_.pieces[i] = {static_cast<uint32_t>(offset),
                         static_cast<uint32_t>(count)};
      total += count;
      page_.largest_piece =
          std::max(page_.largest_piece, static_cast<uint32_t>(count));
    }
    // Equal tiles may share their data.
    if (total > std::max<uint64_t>(2 * bytes_.size(), 64 << 20))
      return Damaged("its strips or tiles overlap");
    return absl::OkStatus();
  }

  absl::Status CheckJpegs() {
    if (page_.compression != kTiffJpeg) return absl::OkStatus();
    for (size_t i = 0; i < page_.pieces.size(); ++i) {
      const TiffPage::Piece& piece = page_.pieces[i];
      const int y = static_cast<int>(i / page_.across % page_.down);
      absl::Status status =
          CheckTiffJpeg(bytes_.substr(piece.offset, piece.bytes),
                        page_.piece_width, RowsOf(y), page_.samples_of_plane());
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  const absl::string_view bytes_;
  const DecodeRun& run_;
  const TiffTags tags_;
  TiffPage page_;
};

}  // namespace

absl::StatusOr<TiffPage> ReadTiffPage(absl::string_view bytes,
                                      const DecodeRun& run) {
  return Parser(bytes, run).Parse();
}

}  // namespace clip
