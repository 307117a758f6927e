// The formats of encoded images that are read, and which of them a server
// takes. Thread rule: plain values.
#ifndef ZEROSHOT_CLIP_IMAGE_FORMATS_H_
#define ZEROSHOT_CLIP_IMAGE_FORMATS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace clip {

enum class ImageFormat { kJpeg, kPng, kWebp, kGif, kBmp, kPnm };

// "JPEG"; in flags it is "jpeg".
absl::string_view FormatName(ImageFormat format);

// By the first bytes, as Pillow tells them apart; nothing if it is none.
std::optional<ImageFormat> FormatOf(absl::string_view bytes);

class ImageFormats {
 public:
  // All of them.
  ImageFormats() = default;

  // "jpeg,png". InvalidArgument names the unknown one and those that are
  // known; an empty list is none too.
  static absl::StatusOr<ImageFormats> Parse(absl::string_view list);

  bool Has(ImageFormat format) const {
    return (bits_ >> static_cast<int>(format) & 1) != 0;
  }

  // "JPEG, PNG or WebP".
  std::string Names() const;

  // As Parse takes it.
  std::string List() const;

 private:
  uint32_t bits_ = ~uint32_t{0};
};

// What a file is that is none of ImageFormat: "a HEIC file". Empty: nothing
// known.
std::string KindOfImage(absl::string_view bytes);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_FORMATS_H_
