// What the first directory of a TIFF file says of its image, read by us and
// checked. Internal to clip/image/.
//
// libtiff never sees the file's own directory: a hostile one makes it take
// memory for tags that nobody needs, before anything can be asked of a budget.
// tiff_strips.h shows it one that is written from a TiffPage.
#ifndef ZEROSHOT_CLIP_IMAGE_TIFF_PAGE_H_
#define ZEROSHOT_CLIP_IMAGE_TIFF_PAGE_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "clip/image/codecs.h"

namespace clip {

enum TiffCompression : uint16_t {
  kTiffRaw = 1,
  kTiffCcittRle = 2,
  kTiffGroup3 = 3,
  kTiffGroup4 = 4,
  kTiffLzw = 5,
  kTiffJpeg = 7,
  kTiffDeflate = 8,
  kTiffPackBits = 32773,
  kTiffOldDeflate = 32946,
};

enum TiffPhotometric : uint16_t {
  kTiffWhiteIsZero = 0,
  kTiffBlackIsZero = 1,
  kTiffRgb = 2,
  kTiffPalette = 3,
  kTiffSeparated = 5,  // CMYK
  kTiffYcbcr = 6,
};

// A plain value; `jpeg_tables` borrows the file.
struct TiffPage {
  // A strip or a tile: where its data lies in the file.
  struct Piece {
    uint32_t offset = 0;
    uint32_t bytes = 0;
  };

  bool big_endian = false;
  int width = 0, height = 0;
  int bits = 1;     // of a sample: 1, 2, 4, 8 or 16
  int samples = 1;  // of a pixel
  TiffCompression compression = kTiffRaw;
  TiffPhotometric photometric = kTiffWhiteIsZero;
  std::vector<int> extra_samples;  // what the last ones are: 2 is alpha, ...
  bool bits_reversed = false;      // FillOrder 2
  bool planar = false;             // each sample has pieces of its own
  int predictor = 1;
  uint32_t t4_options = 0;
  std::array<int, 2> subsampling = {2, 2};
  absl::string_view jpeg_tables;
  std::vector<std::array<uint8_t, 3>> palette;  // RGB of all 256

  // Strips are as wide as the image, and the last one may be lower.
  bool tiled = false;
  int piece_width = 0, piece_height = 0;
  int across = 1, down = 1;   // pieces of a plane
  std::vector<Piece> pieces;  // [planes, down, across]
  uint32_t largest_piece = 0;

  int planes() const { return planar ? samples : 1; }
  int samples_of_plane() const { return planar ? 1 : samples; }
  const Piece& piece(int plane, int y, int x) const {
    return pieces[(int64_t{plane} * down + y) * across + x];
  }
  // Of a row of a piece, decoded.
  int64_t piece_row_bytes() const {
    return (int64_t{piece_width} * samples_of_plane() * bits + 7) / 8;
  }
};

// InvalidArgument: damaged, or of a kind that is not read, which is named; too
// many pixels for the run, padding of tiles included; pieces that are more than
// any writer makes of such an image, or that add up to more than the file.
//
// Takes 8 bytes for each strip or tile, of which a file has at most 131,072.
absl::StatusOr<TiffPage> ReadTiffPage(absl::string_view bytes,
                                      const DecodeRun& run);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_TIFF_PAGE_H_
