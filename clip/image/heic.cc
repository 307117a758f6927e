// HEIC through libheif and libde265, as pillow-heif reads it: RGB or RGBA of 8
// bits, turned and cropped as its properties say, whatever DecodeOptions says.
#include <libheif/heif.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "clip/image/codecs.h"
#include "clip/image/heif_items.h"

namespace clip {
namespace {

struct Free {
  void operator()(heif_context* context) const { heif_context_free(context); }
  void operator()(heif_image_handle* handle) const {
    heif_image_handle_release(handle);
  }
  void operator()(heif_image* image) const { heif_image_release(image); }
  void operator()(heif_decoding_options* options) const {
    heif_decoding_options_free(options);
  }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

absl::Status Damaged(const heif_error& error) {
  return DamagedImage("HEIC", error.message != nullptr ? error.message : "");
}

// What libheif takes at its peak: the frame, a part of it, and its conversion
// to RGB in steps, each of which is an image of its own.
int64_t BytesForReading(int64_t pixels, int64_t bits, int channels) {
  const int64_t sample = bits > 8 ? 2 : 1;
  return pixels * (3 * sample + 2 * channels * sample) + (32 << 20);
}

}  // namespace

absl::StatusOr<Image> DecodeHeic(absl::string_view bytes, DecodeRun* run) {
  const absl::StatusOr<int64_t> frame = LargestHeifFrame(bytes);
  if (!frame.ok()) return frame.status();
  const Owned<heif_context> context(heif_context_alloc());
#ifdef CLIP_HEIF_HAS_SECURITY_LIMITS
  // Its defaults, but no more memory than a decode may take.
  heif_security_limits limits = *heif_get_global_security_limits();
  limits.max_image_size_pixels = DecodeRun::kMostUnstoppablePixels;
  heif_context_set_security_limits(context.get(), &limits);
#endif
  // No thread but this one for parts of a grid.
  heif_context_set_max_decoding_threads(context.get(), 0);
  heif_error error = heif_context_read_from_memory_without_copy(
      context.get(), bytes.data(), bytes.size(), nullptr);
  if (error.code != heif_error_Ok) return Damaged(error);
  heif_image_handle* opened = nullptr;
  error = heif_context_get_primary_image_handle(context.get(), &opened);
  if (error.code != heif_error_Ok) return Damaged(error);
  const Owned<heif_image_handle> handle(opened);
  const int64_t width = heif_image_handle_get_width(handle.get());
  const int64_t height = heif_image_handle_get_height(handle.get());
  // What is decoded before it is turned and cut.
  const int64_t coded_width =
      std::max<int64_t>(width, heif_image_handle_get_ispe_width(handle.get()));
  const int64_t coded_height = std::max<int64_t>(
      height, heif_image_handle_get_ispe_height(handle.get()));
  absl::Status size = run->CheckSize(width, height);
  if (size.ok())
    size = run->CheckUnstoppable("HEIC", coded_width, coded_height);
  if (!size.ok()) return size;
  if (*frame > DecodeRun::kMostUnstoppablePixels) {
    return DamagedImage(
        "HEIC", absl::StrCat("its HEVC data is of ", *frame, " pixels"));
  }
  const int64_t coded = std::max(coded_width * coded_height, *frame);
  const bool has_alpha = heif_image_handle_has_alpha_channel(handle.get()) != 0;
  const ImageMode mode = has_alpha ? ImageMode::kRGBA : ImageMode::kRGB;
  const int channels = ChannelsOf(mode);
  absl::Status begun = run->Begin(
      width, height,
      BytesForReading(coded,
                      heif_image_handle_get_luma_bits_per_pixel(handle.get()),
                      channels) +
          run->ImageBytes(width, height, channels));
  if (!begun.ok()) return begun;
  const Owned<heif_decoding_options> options(heif_decoding_options_alloc());
  options->convert_hdr_to_8bit = 1;
  options->strict_decoding = 1;
  options->decoder_id = "libde265";
  // Nothing is asked while the library decodes.
  if (!run->Continue(DecodeRun::kMostUnstoppablePixels)) return run->stopped();
  heif_image* decoded = nullptr;
  error = heif_decode_image(
      handle.get(), &decoded, heif_colorspace_RGB,
      has_alpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB,
      options.get());
  if (error.code != heif_error_Ok) return Damaged(error);
  const Owned<heif_image> rgb(decoded);
  if (!run->Continue(DecodeRun::kMostUnstoppablePixels)) return run->stopped();
  int stride = 0;
  const uint8_t* pixels = heif_image_get_plane_readonly(
      rgb.get(), heif_channel_interleaved, &stride);
  if (pixels == nullptr || heif_image_get_primary_width(rgb.get()) != width ||
      heif_image_get_primary_height(rgb.get()) != height ||
      heif_image_get_decoding_warnings(rgb.get(), 0, nullptr, 0) != 0) {
    return DamagedImage("HEIC", "its image is not what its header says");
  }
  Image image =
      NewImage(mode, static_cast<int>(width), static_cast<int>(height));
  const size_t row = size_t{1} * image.width * channels;
  for (int y = 0; y < image.height; ++y) {
    if (!run->Continue(width)) return run->stopped();
    std::memcpy(&image.pixels[y * row], pixels + ptrdiff_t{stride} * y, row);
  }
  return image;
}

}  // namespace clip
