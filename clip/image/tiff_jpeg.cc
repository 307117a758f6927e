#include "clip/image/tiff_jpeg.h"

#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "clip/image/bytes.h"
#include "clip/image/codecs.h"

namespace clip {
namespace {

absl::Status Damaged(absl::string_view what) {
  return DamagedImage("TIFF", what);
}

}  // namespace

absl::Status TiffNotRead(absl::string_view what, absl::string_view instead) {
  return base::WithReason(absl::InvalidArgumentError(
                              absl::StrCat("image is a TIFF file with ", what,
                                           ", which is not read: ", instead)),
                          base::kImageNotSupported);
}

absl::Status CheckTiffJpeg(absl::string_view jpeg, int width, int rows,
                           int components) {
  const ByteReader number(jpeg, /*big_endian=*/true);
  constexpr uint32_t kStart = 0xffd8, kBaseline = 0xffc0, kExtended = 0xffc1,
                     kScan = 0xffda;
  if (number.U16(0) != kStart) return Damaged("a JPEG without a beginning");
  uint32_t found = 0;
  for (size_t at = 2; at + 4 <= jpeg.size();) {
    const uint32_t marker = number.U16(at), length = number.U16(at + 2);
    if (marker == 0xffff) {  // a fill byte
      ++at;
      continue;
    }
    if (marker < 0xffc0 || length < 2)
      return Damaged("a JPEG with a damaged header");
    if (marker == kScan) {
      if (found == 0) return Damaged("a JPEG without a size");
      return number.U8(at + 4) == found
                 ? absl::OkStatus()
                 : TiffNotRead("JPEG of several scans", "send one of one scan");
    }
    const bool is_frame = marker >= 0xffc0 && marker <= 0xffcf &&
                          marker != 0xffc4 && marker != 0xffc8 &&
                          marker != 0xffcc;
    if (is_frame && marker != kBaseline && marker != kExtended) {
      return TiffNotRead("JPEG that is not baseline",
                         "send a baseline one of 8 bits");
    }
    if (is_frame) {
      found = number.U8(at + 9);
      if (number.U16(at + 7) != static_cast<uint32_t>(width) ||
          number.U16(at + 5) < static_cast<uint32_t>(rows) ||
          found != static_cast<uint32_t>(components)) {
        return Damaged("a JPEG whose size is not that of its strip or tile");
      }
    }
    at += 2 + length;
  }
  return Damaged("a JPEG without a scan");
}

}  // namespace clip
