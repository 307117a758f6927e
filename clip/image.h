// Images as the CLIP reference sees them: decoded in the file's own mode
// and resized in that mode, because openai/CLIP's preprocessing (clip/clip.py,
// _transform) resizes and crops a Pillow image first and converts it to RGB
// afterwards.
#ifndef ZEROSHOT_CLIP_IMAGE_H_
#define ZEROSHOT_CLIP_IMAGE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/caller.h"
#include "clip/decode_budget.h"
#include "clip/image_formats.h"

namespace clip {

// Pillow's image modes, those that the files we read decode to.
enum class ImageMode {
  k1,   // 1-bit: 1 channel, 0 or 255
  kP,   // palette: 1 channel of indices
  kL,   // grey
  kLA,  // grey + alpha
  kRGB,
  kRGBA,
  kCMYK,  // as Pillow holds it: Adobe's inversion undone
};

// Bytes that are not set to zero first: for a large image that would take
// longer than much of the decoding, without a look at whether the caller left.
template <typename T>
struct Uninitialized : std::allocator<T> {
  template <typename U>
  struct rebind {
    using other = Uninitialized<U>;
  };
  template <typename U>
  void construct(U* p) noexcept {
    ::new (static_cast<void*>(p)) U;
  }
  template <typename U, typename... Args>
  void construct(U* p, Args&&... args) {
    ::new (static_cast<void*>(p)) U(std::forward<Args>(args)...);
  }
};

// A decoded image. `pixels` is [height, width, channels], uint8, row-major.
struct Image {
  ImageMode mode = ImageMode::kRGB;
  int width = 0;
  int height = 0;
  int channels = 3;
  std::vector<uint8_t, Uninitialized<uint8_t>> pixels;
  std::vector<std::array<uint8_t, 3>> palette;  // kP only: RGB of all 256
};

// How an image becomes what a model sees, by open_clip's names.
enum class ResizeMode {
  kShortest,  // the shorter side becomes the square's; the middle is cut out
  kSquash,    // both sides do; nothing is cut off
  kLongest,   // the longer side does; what is left over is filled
  kPatches,   // no square: both sides become so many patches as together fit in
};

// What a model sees of an image: a square, RGB [side, side, 3]. Of kPatches a
// PatchGrid and RGB [rows * patch, columns * patch, 3].
struct CropShape {
  // On purpose no explicit constructor: a number is the shape of most models.
  CropShape(int side, ResizeMode resize = ResizeMode::kShortest,
            bool bilinear = false, uint8_t fill = 0)
      : side(side), resize(resize), bilinear(bilinear), fill(fill) {}

  int side;
  ResizeMode resize;
  // By Pillow's bilinear filter instead of the bicubic one.
  bool bilinear;
  // Of kLongest: every channel of what is filled, in the image's own mode, as
  // open_clip does it (of a palette the colour of that index; of ink 0 is
  // white).
  uint8_t fill;
  // Of kPatches: the side of one, and how many there are at most. `side` is
  // that of the square for which the model was made.
  int patch = 0, most_patches = 0;
};

// How many patches an image has, down and across: what its crop of kPatches
// begins with, each number in two bytes, the low one first.
struct PatchGrid {
  static constexpr size_t kBytes = 4;

  int rows = 0, columns = 0;
};
PatchGrid GridOf(absl::Span<const uint8_t> crop);

// InvalidArgument unless it has the size of a crop of that shape.
absl::Status CheckCrop(CropShape shape, absl::Span<const uint8_t> crop);

// The crop of a black image.
std::vector<uint8_t> BlackCrop(CropShape shape);

struct DecodeOptions {
  // width x height: a bound on the time of one decode, about a second of one
  // core. Memory is the budget's. (The largest photographs of phones that are
  // not larger than 20 MB have 108 million.)
  int64_t max_pixels = 128'000'000;

  // What all decodes together may take; borrowed. Null: there is no bound.
  DecodeBudget* budget = nullptr;

  bool apply_exif_orientation = false;  // the reference does not

  ImageFormats formats;  // others are refused unread

  // DecodeAndCrop of an image of more than kMostPixelsInPlace, which takes tens
  // of milliseconds and more, runs on a thread of its own at a lower priority:
  // what is quick does not wait for the cores.
  bool large_in_background = false;
  static constexpr int64_t kMostPixelsInPlace = 4'000'000;

  // DecodeAndCrop of a JPEG whose shorter side is at least 4 times the crop's:
  // libjpeg decodes it at 1/2, 1/4 or 1/8 of its size, never below twice the
  // crop's. Not the reference's bits any more: docs/configuration.md.
  bool fast = false;
};

// Decodes a file of a format of image_formats.h (told apart by its first bytes;
// the first frame of an animation). Pixels equal Pillow's; transparency by
// PNG's tRNS or of a GIF is ignored, as the reference drops it. Of 16-bit
// samples the high byte is kept: Pillow's way with colour, our choice for grey,
// where it would clip.
//
// Before memory for pixels is taken, the peak of what the decode will take is
// computed from the header and asked of the budget. The caller is looked at
// while that is waited for and about every 10 ms of work.
//
// InvalidArgument: another format, damaged or truncated data (also where
// libjpeg or Pillow would fill in grey), a JPEG of more scans than any encoder
// writes, a PNG whose pixel data goes on after its last row, more than
// max_pixels, or more memory than the whole budget. DeadlineExceeded,
// Cancelled: the caller has left.
absl::StatusOr<Image> DecodeImage(absl::string_view bytes,
                                  const DecodeOptions& options = {},
                                  const base::Caller& caller = {});

// The reference's Resize(side, BICUBIC), CenterCrop(side) and convert("RGB"),
// to the last bit, or open_clip's Resize((side, side)) of kSquash, or its
// ResizeKeepRatio and CenterCropOrPad of kLongest (whose shorter side has one
// pixel at least, where open_clip fails), or transformers'
// Siglip2ImageProcessorPil of kPatches. The
// reference is Pillow 13, which changed the order of the two passes for
// images over about twice as tall as wide; for those the last bit may differ
// from an older Pillow's. Fixed-point bicubic, nearest for k1 and kP,
// premultiplied alpha for kLA and kRGBA (alpha is then dropped). Only the rows
// and columns that the crop keeps are computed, so that extreme aspect ratios
// cost neither time nor memory.
//
// REQUIRES: shape.side > 0 and an image made by DecodeImage.
std::vector<uint8_t> CropForModel(const Image& image, CropShape shape);

// Where the time of DecodeAndCrop went; it adds to what is there.
struct CropTiming {
  absl::Duration wait;  // for a share of the budget
  absl::Duration decode, crop;
};

// DecodeImage and CropForModel in one, with the same result (but for
// DecodeOptions::fast) and the same errors. A JPEG of one scan, a PNG that is
// not interlaced or a lossless WebP is never held as a whole: its rows are
// resized as they are decoded, so that it takes a few MB whatever its size.
// What the crop does not need is read all the same (damage there is an error as
// well). `timing` may be null.
absl::StatusOr<std::vector<uint8_t>> DecodeAndCrop(
    absl::string_view bytes, CropShape shape, const DecodeOptions& options = {},
    CropTiming* timing = nullptr, const base::Caller& caller = {});

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_H_
