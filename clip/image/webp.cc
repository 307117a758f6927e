// WebP through libwebp. Of an animation the first frame is painted on an empty
// canvas, as libwebp's own WebPAnimDecoder does, which Pillow uses: but that
// one takes three canvases more and cannot be stopped.
#include <webp/decode.h>
#include <webp/demux.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/little_endian.h"
#include "base/monotonic.h"
#include "clip/image/codecs.h"
#include "clip/image/row_cropper.h"
#include "clip/image/vp8l.h"
#include "clip/image/webp_rows.h"

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

absl::Status FirstFrameIsBroken() {
  return DamagedImage("WebP", "its first frame is broken or incomplete");
}

absl::Status EndsEarly() { return DamagedImage("WebP", "the file ends early"); }

// What is decoded of a file: a still image, or an animation's first frame.
struct Frame {
  absl::string_view bytes;   // for libwebp
  bool lossless = false;     // then
  absl::string_view pixels;  // what vp8l.h reads
  bool has_alpha = false;
  int x = 0, y = 0;  // on the canvas
  int width = 0, height = 0;
};

// A file that was looked at. Borrows its bytes.
struct File {
  Frame frame;
  int width = 0, height = 0;  // of the canvas
  ImageMode mode = ImageMode::kRGB;
  bool animated = false;
  std::unique_ptr<WebPDemuxer, decltype(&WebPDemuxDelete)> demuxer = {
      nullptr, &WebPDemuxDelete};
};

const uint8_t* Data(absl::string_view bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}

// What follows the header of the frame's lossless chunk; empty if the chunk is
// not there as a whole.
absl::string_view FindLossless(absl::string_view bytes) {
  constexpr size_t kHeader = 8;
  if (absl::ConsumePrefix(&bytes, "RIFF")) bytes.remove_prefix(kHeader);
  while (bytes.size() >= kHeader) {
    const uint64_t size = base::LittleEndian(bytes.substr(4, 4));
    const bool found = absl::StartsWith(bytes, "VP8L");
    bytes.remove_prefix(kHeader);
    if (size > bytes.size()) break;
    if (found) return bytes;  // libwebp reads on behind the chunk, too
    bytes.remove_prefix(std::min<uint64_t>(size + size % 2, bytes.size()));
  }
  return {};
}

// Reads what the headers say, the first frame's included.
absl::Status Open(absl::string_view bytes, const DecodeRun& run, File* file) {
  WebPBitstreamFeatures features;
  const VP8StatusCode code =
      WebPGetFeatures(Data(bytes), bytes.size(), &features);
  if (code != VP8_STATUS_OK) return DamagedImage("WebP", Reason(code));
  // The RIFF header counts the bytes after its first eight.
  if (base::LittleEndian(bytes.substr(4, 4)) > bytes.size() - 8) {
    return DamagedImage(
        "WebP",
        absl::StrCat("it has ", bytes.size(), " of ",
                     base::LittleEndian(bytes.substr(4, 4)) + 8, " bytes"));
  }
  file->width = features.width;
  file->height = features.height;
  if (features.has_alpha) file->mode = ImageMode::kRGBA;
  if (absl::Status size = run.CheckSize(file->width, file->height);
      !size.ok()) {
    return size;
  }
  Frame& frame = file->frame;
  constexpr int kLossless = 2;  // of WebPBitstreamFeatures::format
  if (!features.has_animation) {
    frame = {.bytes = bytes,
             .lossless = features.format == kLossless,
             .pixels = {},
             .has_alpha = features.has_alpha != 0,
             .width = file->width,
             .height = file->height};
  } else {
    file->animated = true;
    // Walks through the whole file and keeps a record of each frame.
    const WebPData data = {Data(bytes), bytes.size()};
    file->demuxer.reset(WebPDemux(&data));
    WebPIterator first = {};
    const absl::Cleanup release = [&] { WebPDemuxReleaseIterator(&first); };
    WebPBitstreamFeatures coded;
    if (file->demuxer == nullptr ||
        !WebPDemuxGetFrame(file->demuxer.get(), 1, &first) || !first.complete ||
        WebPGetFeatures(first.fragment.bytes, first.fragment.size, &coded) !=
            VP8_STATUS_OK ||
        coded.width != first.width || coded.height != first.height ||
        first.x_offset + first.width > file->width ||
        first.y_offset + first.height > file->height) {
      return FirstFrameIsBroken();
    }
    frame = {.bytes = {reinterpret_cast<const char*>(first.fragment.bytes),
                       first.fragment.size},
             .lossless = coded.format == kLossless,
             .pixels = {},
             .has_alpha = coded.has_alpha != 0,
             .x = first.x_offset,
             .y = first.y_offset,
             .width = first.width,
             .height = first.height};
  }
  if (!frame.lossless) return absl::OkStatus();
  frame.pixels = FindLossless(frame.bytes);
  return frame.pixels.empty() ? EndsEarly() : absl::OkStatus();
}

// What reading takes beside the pixels that come out. A lossy frame: rows on
// their way, and an alpha plane, which is a lossless image too.
int64_t BytesForReading(const File& file) {
  const Frame& frame = file.frame;
  const int64_t size = static_cast<int64_t>(frame.bytes.size());
  const int64_t records = file.animated ? 4 * size : 0;
  if (frame.lossless) {
    return records + Vp8lReader::BytesFor(frame.width, frame.height, size);
  }
  const int64_t pixels = int64_t{frame.width} * frame.height;
  return records + int64_t{frame.width} * 256 + (256 << 10) +
         (frame.has_alpha ? pixels * 5 : 0);
}

// 0xAARRGGBB as the bytes of RGB or RGBA.
void WriteRow(const uint32_t* row, int width, int channels, uint8_t* out) {
  for (int x = 0; x < width; ++x, out += channels) {
    out[0] = static_cast<uint8_t>(row[x] >> 16);
    out[1] = static_cast<uint8_t>(row[x] >> 8);
    out[2] = static_cast<uint8_t>(row[x]);
    if (channels == 4) out[3] = static_cast<uint8_t>(row[x] >> 24);
  }
}

absl::Status Broken(const DecodeRun& run, VP8StatusCode code) {
  return run.stopped().ok() ? DamagedImage("WebP", Reason(code))
                            : run.stopped();
}

absl::Status DecodeLossless(const Frame& frame, Image* image, DecodeRun* run) {
  const size_t stride = size_t{1} * image->width * image->channels;
  uint8_t* out =
      image->pixels.data() + frame.y * stride + frame.x * image->channels;
  Vp8lReader reader(frame.pixels, frame.width, frame.height, run);
  const bool read = reader.Read([&](const uint32_t* row) {
    WriteRow(row, frame.width, image->channels, out);
    out += stride;
  });
  return read ? absl::OkStatus() : Broken(*run, VP8_STATUS_BITSTREAM_ERROR);
}

absl::Status DecodeLossy(const Frame& frame, Image* image, DecodeRun* run) {
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) {
    return absl::InternalError("libwebp has another version than its header");
  }
  const size_t stride = size_t{1} * image->width * image->channels;
  const size_t begin = frame.y * stride + frame.x * image->channels;
  config.output.colorspace = image->channels == 4 ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = image->pixels.data() + begin;
  config.output.u.RGBA.stride = static_cast<int>(stride);
  config.output.u.RGBA.size = image->pixels.size() - begin;
  const StoppableRows rows(run, frame.width, &config.options);
  const VP8StatusCode code =
      WebPDecode(Data(frame.bytes), frame.bytes.size(), &config);
  if (run->stopped().ok() && code == VP8_STATUS_OK) return absl::OkStatus();
  return Broken(*run, code);
}

absl::StatusOr<Image> ReadImage(const File& file, DecodeRun* run) {
  absl::Status begun = run->Begin(
      file.width, file.height,
      BytesForReading(file) +
          run->ImageBytes(file.width, file.height, ChannelsOf(file.mode)));
  if (!begun.ok()) return begun;
  Image image = NewImage(file.mode, file.width, file.height);
  if (file.animated) {  // the first frame may leave some of it empty
    const size_t stride = size_t{1} * file.width * image.channels;
    for (int y = 0; y < file.height; ++y) {
      if (!run->Continue(file.width / 4)) return run->stopped();
      std::memset(&image.pixels[y * stride], 0, stride);
    }
  }
  absl::Status decoded = file.frame.lossless
                             ? DecodeLossless(file.frame, &image, run)
                             : DecodeLossy(file.frame, &image, run);
  if (decoded.ok()) return image;
  if (file.animated && run->stopped().ok()) return FirstFrameIsBroken();
  return decoded;
}

}  // namespace

absl::StatusOr<Image> DecodeWebp(absl::string_view bytes, DecodeRun* run) {
  File file;
  absl::Status opened = Open(bytes, *run, &file);
  if (!opened.ok()) return opened;
  return ReadImage(file, run);
}

absl::StatusOr<std::vector<uint8_t>> CropWebp(absl::string_view bytes,
                                              CropShape shape, DecodeRun* run) {
  File file;
  absl::Status opened = Open(bytes, *run, &file);
  if (!opened.ok()) return opened;
  if (!file.frame.lossless || file.animated) {
    const absl::StatusOr<Image> image = ReadImage(file, run);
    if (!image.ok()) return image.status();
    const absl::Time start = base::MonotonicNow();
    absl::StatusOr<std::vector<uint8_t>> crop = CropImage(*image, shape, run);
    run->timing.crop += base::MonotonicNow() - start;
    return crop;
  }
  absl::Status begun = run->Begin(
      file.width, file.height,
      BytesForReading(file) +
          RowCropper::BytesFor(file.mode, file.width, file.height, shape));
  if (!begun.ok()) return begun;
  RowCropper cropper(file.mode, file.width, file.height, shape);
  Vp8lReader reader(file.frame.pixels, file.width, file.height, run);
  const int channels = ChannelsOf(file.mode);
  const bool read = reader.Read([&](const uint32_t* row) {
    WriteRow(row, file.width, channels, cropper.row());
    cropper.RowDone();
  });
  if (!read) return Broken(*run, VP8_STATUS_BITSTREAM_ERROR);
  std::vector<uint8_t> crop = cropper.Finish({});
  run->timing.crop += cropper.took();
  return crop;
}

}  // namespace clip
