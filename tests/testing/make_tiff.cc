#include "tests/testing/make_tiff.h"

#include <zlib.h>

#include <algorithm>
#include <cstdlib>

namespace testing_images {
namespace {

void Put(std::string* out, uint32_t value, int size) {
  for (int i = 0; i < size; ++i)
    *out += static_cast<char>(value >> (8 * i) & 0xff);
}

std::string PackedZeros(size_t size) {
  uLongf packed_size = compressBound(size);
  std::string packed(packed_size, '\0');
  const std::string zeros(size, '\0');
  if (compress(reinterpret_cast<Bytef*>(packed.data()), &packed_size,
               reinterpret_cast<const Bytef*>(zeros.data()),
               zeros.size()) != Z_OK) {
    std::abort();
  }
  packed.resize(packed_size);
  return packed;
}

constexpr uint16_t kShort = 3, kLong = 4, kDeflate = 8;

std::vector<TiffTag> Rgb(uint32_t width, uint32_t height,
                         uint16_t compression) {
  return {{256, kLong, {width}},    {257, kLong, {height}},
          {258, kShort, {8, 8, 8}}, {259, kShort, {compression}},
          {262, kShort, {2}},       {277, kShort, {3}}};
}

}  // namespace

std::string MakeTiff(const std::vector<TiffTag>& tags, const std::string& data,
                     uint32_t next) {
  std::string file = "II";
  Put(&file, 42, 2);
  const size_t directory = (kTiffDataAt + data.size() + 1) / 2 * 2;
  Put(&file, static_cast<uint32_t>(directory), 4);
  file += data;
  file.resize(directory, '\0');
  Put(&file, static_cast<uint32_t>(tags.size()), 2);
  const size_t end = directory + 2 + 12 * tags.size() + 4;
  std::string behind;
  for (const TiffTag& tag : tags) {
    std::string values;
    const int size = tag.type == 3 ? 2 : tag.type == 4 ? 4 : 1;
    for (const uint32_t value : tag.values) Put(&values, value, size);
    Put(&file, tag.number, 2);
    Put(&file, tag.type, 2);
    Put(&file,
        tag.count != 0 ? tag.count : static_cast<uint32_t>(tag.values.size()),
        4);
    if (tag.at != 0) {
      Put(&file, tag.at, 4);
    } else if (values.size() > 4) {
      Put(&file, static_cast<uint32_t>(end + behind.size()), 4);
      behind += values;
    } else {
      values.resize(4, '\0');
      file += values;
    }
  }
  Put(&file, next, 4);
  return file + behind;
}

std::vector<TiffTag> RgbStrips(uint32_t width, uint32_t height,
                               uint32_t rows_per_strip, uint16_t compression,
                               uint32_t bytes) {
  std::vector<TiffTag> tags = Rgb(width, height, compression);
  const size_t strips = (size_t{height} + rows_per_strip - 1) / rows_per_strip;
  tags.push_back({273, kLong, std::vector<uint32_t>(strips, kTiffDataAt)});
  tags.push_back({278, kLong, {rows_per_strip}});
  tags.push_back({279, kLong, std::vector<uint32_t>(strips, bytes)});
  return tags;
}

std::vector<TiffTag> RgbTiles(uint32_t width, uint32_t height,
                              uint32_t tile_width, uint32_t tile_height,
                              uint16_t compression, uint32_t bytes) {
  std::vector<TiffTag> tags = Rgb(width, height, compression);
  const size_t tiles = (size_t{width} + tile_width - 1) / tile_width *
                       ((size_t{height} + tile_height - 1) / tile_height);
  tags.push_back({322, kLong, {tile_width}});
  tags.push_back({323, kLong, {tile_height}});
  tags.push_back({324, kLong, std::vector<uint32_t>(tiles, kTiffDataAt)});
  tags.push_back({325, kLong, std::vector<uint32_t>(tiles, bytes)});
  return tags;
}

std::string FlatTiff(uint32_t width, uint32_t height, uint32_t rows_per_strip) {
  const std::string strip = PackedZeros(size_t{3} * width * rows_per_strip);
  return MakeTiff(RgbStrips(width, height, rows_per_strip, kDeflate,
                            static_cast<uint32_t>(strip.size())),
                  strip);
}

std::string FlatTiledTiff(uint32_t width, uint32_t height, uint32_t tile_width,
                          uint32_t tile_height) {
  const std::string tile = PackedZeros(size_t{3} * tile_width * tile_height);
  return MakeTiff(RgbTiles(width, height, tile_width, tile_height, kDeflate,
                           static_cast<uint32_t>(tile.size())),
                  tile);
}

}  // namespace testing_images
