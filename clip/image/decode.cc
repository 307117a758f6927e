#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "base/monotonic.h"
#include "clip/image.h"
#include "clip/image/codecs.h"

namespace clip {
namespace {

absl::Status Refused(absl::string_view message, absl::string_view reason) {
  return base::WithReason(absl::InvalidArgumentError(message), reason);
}

// Pillow turns these itself, while it loads them.
bool TurnedByReference(absl::string_view bytes) {
  return FormatOf(bytes) == ImageFormat::kTiff;
}

absl::StatusOr<Image> DecodeAsStored(absl::string_view bytes, DecodeRun* run) {
  const absl::StatusOr<ImageFormat> format = CheckFormat(bytes, *run);
  if (!format.ok()) return format.status();
  switch (*format) {
    case ImageFormat::kJpeg:
      return DecodeJpeg(bytes, run);
    case ImageFormat::kPng:
      return DecodePng(bytes, run);
    case ImageFormat::kWebp:
      return DecodeWebp(bytes, run);
    case ImageFormat::kGif:
      return DecodeGif(bytes, run);
    case ImageFormat::kBmp:
      return DecodeBmp(bytes, run);
    case ImageFormat::kPnm:
      return DecodePnm(bytes, run);
    case ImageFormat::kTiff:
      return DecodeTiff(bytes, run);
    case ImageFormat::kAvif:
      return DecodeAvif(bytes, run);
    case ImageFormat::kHeic:
      return DecodeHeic(bytes, run);
  }
  return absl::InternalError("a format without a decoder");
}

}  // namespace

int ChannelsOf(ImageMode mode) {
  switch (mode) {
    case ImageMode::k1:
    case ImageMode::kP:
    case ImageMode::kL:
      return 1;
    case ImageMode::kLA:
      return 2;
    case ImageMode::kRGB:
      return 3;
    case ImageMode::kRGBA:
    case ImageMode::kCMYK:
      return 4;
  }
  return 0;  // Not reached: the switch names every mode.
}

absl::StatusOr<ImageFormat> CheckFormat(absl::string_view bytes,
                                        const DecodeRun& run) {
  if (bytes.empty()) {
    return Refused("image is empty", base::kImageNotSupported);
  }
  const ImageFormats& allowed = run.options().formats;
  const std::optional<ImageFormat> format = FormatOf(bytes);
  if (format.has_value() && allowed.Has(*format)) return *format;
  const std::string what =
      absl::StrCat("image of ", bytes.size(), " bytes is ");
  if (format.has_value()) {
    return Refused(
        absl::StrCat(what, format == ImageFormat::kAvif ? "an " : "a ",
                     FormatName(*format), " file, which this server ",
                     IsBuilt(*format) ? "does not take" : "was built without",
                     "; send a ", allowed.Names(), " file"),
        base::kImageNotSupported);
  }
  const std::string kind = KindOfImage(bytes);
  return Refused(
      kind.empty()
          ? absl::StrCat(what, "not a ", allowed.Names(),
                         " file: it starts with 0x",
                         absl::BytesToHexString(bytes.substr(0, 4)))
          : absl::StrCat(what, kind, "; send a ", allowed.Names(), " file"),
      base::kImageNotSupported);
}

DecodeRun::DecodeRun(absl::string_view bytes, const DecodeOptions& options,
                     const base::Caller& caller)
    : options_(options),
      caller_(caller),
      orientation_(options.apply_exif_orientation || TurnedByReference(bytes)
                       ? ExifOrientation(bytes)
                       : 1) {}

absl::Status DecodeRun::CheckSize(int64_t width, int64_t height) const {
  if (width < 1 || height < 1) {
    return Refused(absl::StrCat("image has no pixels: ", width, " x ", height),
                   base::kImageDamaged);
  }
  if (width > options_.max_pixels / height) {
    return Refused(absl::StrCat("image of ", width, " x ", height,
                                " pixels is too large: at most ",
                                options_.max_pixels, " are allowed"),
                   base::kImageTooLarge);
  }
  return absl::OkStatus();
}

absl::Status DecodeRun::CheckUnstoppable(absl::string_view format,
                                         int64_t width, int64_t height) const {
  absl::Status size = CheckSize(width, height);
  if (!size.ok() || width * height <= kMostUnstoppablePixels) return size;
  return Refused(absl::StrCat("image of ", width, " x ", height,
                              " pixels is too large for ", format, ": at most ",
                              kMostUnstoppablePixels,
                              " are allowed, whatever the limit of others"),
                 base::kImageTooLarge);
}

absl::Status DecodeRun::Begin(int64_t width, int64_t height, int64_t bytes) {
  absl::Status size = CheckSize(width, height);
  if (!size.ok() || begun_) return size;
  if (options_.budget != nullptr) {
    const absl::Time start = base::MonotonicNow();
    absl::StatusOr<DecodeBudget::Share> share =
        options_.budget->Take(bytes, caller_);
    timing.wait += base::MonotonicNow() - start;
    if (absl::IsInvalidArgument(share.status())) {
      return Refused(absl::StrCat("image of ", width, " x ", height, " pixels ",
                                  share.status().message()),
                     base::kImageTooLarge);
    }
    if (!share.ok()) return share.status();
    share_ = *std::move(share);
  }
  if (width * height <= most_here_) return absl::OkStatus();
  left_ = true;
  return absl::CancelledError("left to another run");
}

bool DecodeRun::Look() {
  pixels_ = 0;
  if (stopped_.ok()) stopped_ = caller_.StillWaiting();
  return stopped_.ok();
}

absl::StatusOr<Image> DecodeUpright(absl::string_view bytes, DecodeRun* run) {
  absl::StatusOr<Image> image = DecodeAsStored(bytes, run);
  if (!image.ok() || run->orientation() == 1) return image;
  return Upright(*std::move(image), run);
}

absl::Status DamagedImage(absl::string_view format, absl::string_view reason) {
  return Refused(absl::StrCat("image is a damaged ", format, " file: ", reason),
                 base::kImageDamaged);
}

Image NewImage(ImageMode mode, int width, int height) {
  Image image;
  image.mode = mode;
  image.width = width;
  image.height = height;
  image.channels = ChannelsOf(mode);
  image.pixels.resize(size_t{1} * width * height * image.channels);
  return image;
}

absl::StatusOr<Image> DecodeImage(absl::string_view bytes,
                                  const DecodeOptions& options,
                                  const base::Caller& caller) {
  DecodeRun run(bytes, options, caller);
  return DecodeUpright(bytes, &run);
}

}  // namespace clip
