// AVIF through libavif, as Pillow's AvifImagePlugin reads it: RGB or RGBA of
// 8 bits, the first image of a sequence, cropped by no "clap" property. Whether
// it is turned is DecodeOptions' word: "irot" and "imir" are its orientation.
#include <avif/avif.h>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "clip/image/codecs.h"

namespace clip {
namespace {

constexpr uint32_t kMostImages = 36'000;  // of a sequence: ten minutes

struct DestroyDecoder {
  void operator()(avifDecoder* decoder) const { avifDecoderDestroy(decoder); }
};
using Decoder = std::unique_ptr<avifDecoder, DestroyDecoder>;

absl::Status Damaged(avifResult result) {
  return DamagedImage("AVIF", avifResultToString(result));
}

// A decoder that has read the boxes of a file, but no pixels. Null: `result`
// says why. No image of more than `pixels` will be decoded.
Decoder Open(absl::string_view bytes, uint32_t pixels, avifResult* result) {
  Decoder decoder(avifDecoderCreate());
  *result = AVIF_RESULT_OUT_OF_MEMORY;
  if (decoder == nullptr) return nullptr;
  decoder->maxThreads = 1;
  // The one that keeps to imageSizeLimit.
  decoder->codecChoice = AVIF_CODEC_CHOICE_DAV1D;
  decoder->ignoreExif = AVIF_TRUE;
  decoder->ignoreXMP = AVIF_TRUE;
  decoder->imageSizeLimit = pixels;
  decoder->imageCountLimit = kMostImages;
  // As Pillow.
  decoder->strictFlags &= ~(AVIF_STRICT_CLAP_VALID | AVIF_STRICT_PIXI_REQUIRED);
  *result = avifDecoderSetIOMemory(
      decoder.get(), reinterpret_cast<const uint8_t*>(bytes.data()),
      bytes.size());
  if (*result == AVIF_RESULT_OK) *result = avifDecoderParse(decoder.get());
  return *result == AVIF_RESULT_OK ? std::move(decoder) : nullptr;
}

// As EXIF counts. Mirrored by "imir" after it was turned by "irot".
int OrientationOf(const avifImage& image) {
  const bool mirrored = (image.transformFlags & AVIF_TRANSFORM_IMIR) != 0;
  const int quarters = (image.transformFlags & AVIF_TRANSFORM_IROT) != 0
                           ? image.irot.angle & 3  // against the clock
                           : 0;
#ifdef CLIP_AVIF_MIRROR_HAS_MODE
  const int axis = image.imir.mode;
#else
  const int axis = image.imir.axis;
#endif
  constexpr int kTurned[] = {1, 8, 3, 6};
  constexpr int kUpsideDown[] = {4, 5, 2, 7}, kLeftIsRight[] = {2, 7, 4, 5};
  if (!mirrored) return kTurned[quarters];
  return axis == 0 ? kUpsideDown[quarters] : kLeftIsRight[quarters];
}

ImageMode ModeOf(const avifDecoder& decoder) {
  if (decoder.alphaPresent) return ImageMode::kRGBA;
  return decoder.image->yuvFormat == AVIF_PIXEL_FORMAT_YUV400 ? ImageMode::kL
                                                              : ImageMode::kRGB;
}

// What libavif and its decoder take at their peak, within some tens per cent: a
// frame of the colours and one of alpha, what belongs to their blocks, and for
// a grid the whole beside a part of it.
int64_t BytesForReading(const avifDecoder& decoder) {
  const avifImage& image = *decoder.image;
  const int64_t pixels = int64_t{image.width} * image.height;
  const int64_t samples = (image.yuvFormat == AVIF_PIXEL_FORMAT_YUV400   ? 2
                           : image.yuvFormat == AVIF_PIXEL_FORMAT_YUV420 ? 3
                           : image.yuvFormat == AVIF_PIXEL_FORMAT_YUV422 ? 4
                                                                         : 6) +
                          (decoder.alphaPresent ? 2 : 0);  // halves
  const int64_t grey =
      image.yuvFormat == AVIF_PIXEL_FORMAT_YUV400 ? 3 * pixels : 0;
  return pixels * samples * (image.depth > 8 ? 2 : 1) + grey + (16 << 20);
}

// By libavif, which Pillow uses too: of its own code and of libyuv's, which
// round in different ways, whatever it prefers.
avifResult ConvertToRgb(const avifImage& from, Image* image) {
  avifRGBImage rgb;
  avifRGBImageSetDefaults(&rgb, &from);
  rgb.depth = 8;
  rgb.format = image->mode == ImageMode::kRGBA ? AVIF_RGB_FORMAT_RGBA
                                               : AVIF_RGB_FORMAT_RGB;
  if (image->mode != ImageMode::kL) {
    rgb.pixels = image->pixels.data();
    rgb.rowBytes = static_cast<uint32_t>(image->width * image->channels);
    return avifImageYUVToRGB(&from, &rgb);
  }
  // Not all releases can make grey: three equal samples, of which one is kept.
  std::vector<uint8_t, Uninitialized<uint8_t>> pixels(size_t{3} * image->width *
                                                      image->height);
  rgb.pixels = pixels.data();
  rgb.rowBytes = static_cast<uint32_t>(image->width * 3);
  const avifResult result = avifImageYUVToRGB(&from, &rgb);
  for (size_t i = 0; i < image->pixels.size(); ++i)
    image->pixels[i] = pixels[3 * i];
  return result;
}

}  // namespace

absl::StatusOr<Image> DecodeAvif(absl::string_view bytes, DecodeRun* run) {
  avifResult result = AVIF_RESULT_OK;
  Decoder decoder = Open(bytes, AVIF_DEFAULT_IMAGE_SIZE_LIMIT, &result);
  if (decoder == nullptr) return Damaged(result);
  const int64_t width = decoder->image->width, height = decoder->image->height;
  absl::Status size = run->CheckUnstoppable("AVIF", width, height);
  if (!size.ok()) return size;
  const ImageMode mode = ModeOf(*decoder);
  run->SetOrientation(OrientationOf(*decoder->image));
  absl::Status begun =
      run->Begin(width, height,
                 BytesForReading(*decoder) +
                     run->ImageBytes(width, height, ChannelsOf(mode)));
  if (!begun.ok()) return begun;
  // The boxes may lie about the size: parts of a grid may be larger than it.
  decoder =
      Open(bytes, static_cast<uint32_t>(width * height + (1 << 20)), &result);
  if (decoder == nullptr) return Damaged(result);
  // Nothing is asked while the library decodes.
  if (!run->Continue(DecodeRun::kMostUnstoppablePixels)) return run->stopped();
  result = avifDecoderNextImage(decoder.get());
  if (result != AVIF_RESULT_OK) return Damaged(result);
  if (!run->Continue(DecodeRun::kMostUnstoppablePixels)) return run->stopped();
  if (decoder->image->width != width || decoder->image->height != height ||
      ModeOf(*decoder) != mode) {
    return DamagedImage("AVIF", "its image is not what its header says");
  }
  Image image =
      NewImage(mode, static_cast<int>(width), static_cast<int>(height));
  result = ConvertToRgb(*decoder->image, &image);
  if (result != AVIF_RESULT_OK) return Damaged(result);
  if (!run->Continue(DecodeRun::kMostUnstoppablePixels)) return run->stopped();
  return image;
}

}  // namespace clip
