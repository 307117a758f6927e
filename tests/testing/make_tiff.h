// TIFF files tag by tag, for what no writer makes.
#ifndef ZEROSHOT_TESTS_TESTING_MAKE_TIFF_H_
#define ZEROSHOT_TESTS_TESTING_MAKE_TIFF_H_

#include <cstdint>
#include <string>
#include <vector>

namespace testing_images {

struct TiffTag {
  uint16_t number;
  uint16_t type;  // 1: bytes, 3: 16 bits, 4: 32 bits each
  std::vector<uint32_t> values;
  // Where the values are said to lie, and how many; 0: where and as they are.
  uint32_t at = 0, count = 0;
};

constexpr uint32_t kTiffDataAt = 8;

// Little-endian: a header, `data` from kTiffDataAt on, one directory.
// `next`: where the next one is said to lie.
std::string MakeTiff(const std::vector<TiffTag>& tags, const std::string& data,
                     uint32_t next = 0);

// The tags of an RGB image in strips or tiles that all are the same data, of
// `bytes` bytes.
std::vector<TiffTag> RgbStrips(uint32_t width, uint32_t height,
                               uint32_t rows_per_strip, uint16_t compression,
                               uint32_t bytes);
std::vector<TiffTag> RgbTiles(uint32_t width, uint32_t height,
                              uint32_t tile_width, uint32_t tile_height,
                              uint16_t compression, uint32_t bytes);

// Black, in strips or tiles of deflate.
std::string FlatTiff(uint32_t width, uint32_t height, uint32_t rows_per_strip);
std::string FlatTiledTiff(uint32_t width, uint32_t height, uint32_t tile_width,
                          uint32_t tile_height);

}  // namespace testing_images

#endif  // ZEROSHOT_TESTS_TESTING_MAKE_TIFF_H_
