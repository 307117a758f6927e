// Lossless WebP, row by row. Internal to clip/image/.
//
// libwebp decodes such an image in one go: 100 million pixels, which may be 32
// bytes of file, take half a second and 800 MB, and nothing stops it. A row
// needs only the one before it and, for copies, the last 2^20 pixels.
#ifndef ZEROSHOT_CLIP_IMAGE_VP8L_H_
#define ZEROSHOT_CLIP_IMAGE_VP8L_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "clip/image/codecs.h"
#include "clip/image/vp8l_codes.h"

namespace clip {

// Thread rule: use from one thread.
class Vp8lReader {
 public:
  // `bytes` are those from the chunk's content on; width and height are what
  // libwebp found there. Borrows both.
  Vp8lReader(absl::string_view bytes, int width, int height, DecodeRun* run)
      : run_(run), width_(width), height_(height), bits_(bytes) {}

  // What reading takes, within a few per cent.
  static int64_t BytesFor(int width, int height, int64_t file_bytes);

  // Calls `on_row` with each row, as 0xAARRGGBB, top to bottom. False: the file
  // is damaged, or the run was stopped.
  bool Read(absl::FunctionRef<void(const uint32_t* row)> on_row);

 private:
  enum Kind { kPredictor, kCrossColor, kSubtractGreen, kColorIndexing };
  struct Transform {
    Kind kind;
    int width = 0;  // of the rows that come out
    int bits = 0;   // tiles of 2^bits; kColorIndexing: pixels in one, as 2^bits
    std::vector<uint32_t> data;    // of tiles, or the palette
    std::vector<uint32_t> before;  // kPredictor: the row before, and a pixel
  };
  struct Group {
    // Of greens, lengths and cached colours; red; blue; alpha; distances.
    std::array<Vp8lCode, 5> codes;
    bool flat = false;  // every pixel is `color`, without a bit of the file
    uint32_t color = 0;
  };
  // An image in the file, with its codes.
  struct Coded {
    int width, height;
    int cache_bits = 0;
    std::vector<uint32_t> cache;
    int tile_bits = 0;  // of `groups_of_tiles`; 0: there is one group
    std::vector<uint32_t> groups_of_tiles;
    std::vector<Group> groups;
    std::vector<Vp8lCode::Entry> tables;
  };
  using OnRow = absl::FunctionRef<bool(const uint32_t* row)>;

  bool ReadTransform(int* width);
  bool ReadCodes(bool tiles_allowed, Coded* coded);
  bool ReadGroups(Coded* coded);
  void SetFlat(const Vp8lCode::Entry* tables, Group* group);
  bool ReadPixels(Coded* coded, OnRow on_row);
  bool ReadSmallImage(int width, int height, std::vector<uint32_t>* pixels);
  void Undo(Transform* transform, int y);

  DecodeRun* const run_;
  const int width_, height_;
  Vp8lBits bits_;
  std::vector<Transform> transforms_;  // as they were read: undone backwards
  std::vector<uint32_t> row_;          // being undone
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_VP8L_H_
