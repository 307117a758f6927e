// The transforms of lossless WebP, undone in place on one row of 0xAARRGGBB.
// `tiles` are those of the row: one word for each 2^bits pixels. Internal to
// clip/image/. The format is RFC 9649, section 3.5.
#ifndef ZEROSHOT_CLIP_IMAGE_VP8L_TRANSFORMS_H_
#define ZEROSHOT_CLIP_IMAGE_VP8L_TRANSFORMS_H_

#include <cstdint>

namespace clip {

// Sums of the four channels, each modulo 256.
inline uint32_t AddPixels(uint32_t a, uint32_t b) {
  return (((a & 0xff00ff00u) + (b & 0xff00ff00u)) & 0xff00ff00u) |
         (((a & 0x00ff00ffu) + (b & 0x00ff00ffu)) & 0x00ff00ffu);
}

// `before` is the row above, [width + 1], and becomes this one.
void UndoPredictor(const uint32_t* tiles, int bits, bool first, int width,
                   uint32_t* before, uint32_t* row);

void UndoCrossColor(const uint32_t* tiles, int bits, int width, uint32_t* row);

void UndoSubtractGreen(int width, uint32_t* row);

// Each of the row's words holds 2^bits indices into `palette`, [256]; there are
// `width` of them all together.
void UndoColorIndexing(const uint32_t* palette, int bits, int width,
                       uint32_t* row);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_VP8L_TRANSFORMS_H_
