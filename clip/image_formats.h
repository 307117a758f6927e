// The formats of encoded images that are read, and which of them a server
// takes.
#ifndef ZEROSHOT_CLIP_IMAGE_FORMATS_H_
#define ZEROSHOT_CLIP_IMAGE_FORMATS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace clip {

enum class ImageFormat {
  kJpeg,
  kPng,
  kWebp,
  kGif,
  kBmp,
  kPnm,
  kTiff,
  kAvif,
  kHeic
};

// "JPEG"; in flags it is "jpeg".
absl::string_view FormatName(ImageFormat format);

// Whether the library that reads it was there when this was built.
bool IsBuilt(ImageFormat format);

// By the first bytes, as Pillow tells them apart; nothing if it is none.
std::optional<ImageFormat> FormatOf(absl::string_view bytes);

class ImageFormats {
 public:
  // All that are built.
  ImageFormats();

  // Those that a server takes unless it is told otherwise: not TIFF, AVIF and
  // HEIC, for which docs/images.md has the reason.
  static ImageFormats OnByDefault();

  // "jpeg,png", or "all". InvalidArgument names the unknown one and those that
  // are known, or the one that is not built; an empty list is none too.
  static absl::StatusOr<ImageFormats> Parse(absl::string_view list);

  bool Has(ImageFormat format) const {
    return (bits_ >> static_cast<int>(format) & 1) != 0;
  }

  // "JPEG, PNG or WebP".
  std::string Names() const;

  // As Parse takes it.
  std::string List() const;

 private:
  uint32_t bits_ = 0;
};

// What a file is that is none of ImageFormat: "a PDF document". Empty: nothing
// known.
std::string KindOfImage(absl::string_view bytes);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_FORMATS_H_
