// WebP through libwebp. An animation's first frame is painted on its canvas
// by the library that Pillow uses for it, WebPAnimDecoder.
#include <webp/decode.h>
#include <webp/demux.h>

#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "clip/image/codecs.h"

namespace clip {
namespace {

absl::string_view Reason(VP8StatusCode code) {
  switch (code) {
    case VP8_STATUS_OUT_OF_MEMORY:
      return "out of memory";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "unsupported feature";
    case VP8_STATUS_SUSPENDED:
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return "the file ends early";
    default:
      return "its bit stream is broken";
  }
}

uint32_t LittleEndian32(const uint8_t* p) {
  return p[0] | p[1] << 8 | p[2] << 16 | uint32_t{p[3]} << 24;
}

absl::Status DecodeStill(const uint8_t* data, size_t size, Image* image) {
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) {
    return absl::InternalError("libwebp has another version than its header");
  }
  config.output.colorspace = image->channels == 4 ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = image->pixels.data();
  config.output.u.RGBA.stride = image->width * image->channels;
  config.output.u.RGBA.size = image->pixels.size();
  const VP8StatusCode code = WebPDecode(data, size, &config);
  if (code != VP8_STATUS_OK) return DamagedImage("WebP", Reason(code));
  return absl::OkStatus();
}

absl::Status DecodeFirstFrame(const uint8_t* data, size_t size, Image* image) {
  const WebPData file = {data, size};
  const std::unique_ptr<WebPAnimDecoder, decltype(&WebPAnimDecoderDelete)>
      decoder(WebPAnimDecoderNew(&file, nullptr), &WebPAnimDecoderDelete);
  WebPAnimInfo info;
  uint8_t* canvas = nullptr;  // RGBA, owned by the decoder.
  int timestamp_ms = 0;
  if (decoder == nullptr || !WebPAnimDecoderGetInfo(decoder.get(), &info) ||
      info.canvas_width != image->width ||
      info.canvas_height != image->height ||
      !WebPAnimDecoderGetNext(decoder.get(), &canvas, &timestamp_ms)) {
    return DamagedImage("WebP", "its first frame is broken or incomplete");
  }
  if (image->channels == 4) {
    std::memcpy(image->pixels.data(), canvas, image->pixels.size());
    return absl::OkStatus();
  }
  for (size_t in = 0, out = 0; out < image->pixels.size(); in += 4, out += 3) {
    std::memcpy(&image->pixels[out], canvas + in, 3);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Image> DecodeWebp(absl::string_view bytes, int64_t max_pixels) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  WebPBitstreamFeatures features;
  const VP8StatusCode code = WebPGetFeatures(data, bytes.size(), &features);
  if (code != VP8_STATUS_OK) return DamagedImage("WebP", Reason(code));
  // The RIFF header counts the bytes after its first eight.
  if (LittleEndian32(data + 4) > bytes.size() - 8) {
    return DamagedImage(
        "WebP", absl::StrCat("it has ", bytes.size(), " of ",
                             uint64_t{LittleEndian32(data + 4)} + 8, " bytes"));
  }
  if (absl::Status size =
          CheckImageSize(features.width, features.height, max_pixels);
      !size.ok()) {
    return size;
  }
  Image image =
      NewImage(features.has_alpha ? ImageMode::kRGBA : ImageMode::kRGB,
               features.width, features.height);
  const absl::Status decoded =
      features.has_animation ? DecodeFirstFrame(data, bytes.size(), &image)
                             : DecodeStill(data, bytes.size(), &image);
  if (!decoded.ok()) return decoded;
  return image;
}

}  // namespace clip
