#include "clip/image/jpeg_losses.h"

// jerror.h needs jpeglib.h.
#include <jerror.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "clip/image/codecs.h"

namespace clip {
namespace {

constexpr int kFirstRestart = 0xd0, kLastRestart = 0xd7;

bool IsRestart(int marker) {
  return marker >= kFirstRestart && marker <= kLastRestart;
}

// Whether the file, which has one scan, has as many restart markers as belong
// into it.
bool HasAllRestarts(absl::string_view file,
                    const jpeg_decompress_struct& decompress) {
  const int64_t blocks =
      int64_t{decompress.MCUs_per_row} * decompress.MCU_rows_in_scan;
  int64_t expected = (blocks - 1) / decompress.restart_interval;
  for (size_t at = 0; at + 1 < file.size(); ++at) {
    if (file[at] == '\xff' && IsRestart(static_cast<uint8_t>(file[at + 1])))
      --expected;
  }
  return expected <= 0;
}

// What kind of JPEG it is of which libjpeg said that it does not read it; empty
// if that does not show.
std::string UnsupportedJpeg(const jpeg_decompress_struct& decompress) {
  const jpeg_error_mgr& error = *decompress.err;
  if (error.msg_code == JERR_BAD_PRECISION)
    return absl::StrCat(error.msg_parm.i[0], "-bit");
  if (error.msg_code != JERR_SOF_UNSUPPORTED) return "";
  switch (error.msg_parm.i[0]) {
    case 0xc3:
    case 0xcb:
      return "lossless";
    case 0xf7:
      return "JPEG-LS";
    case 0xc5:
    case 0xc6:
    case 0xc7:
    case 0xcd:
    case 0xce:
    case 0xcf:
      return "hierarchical";
    default:
      return "";
  }
}

}  // namespace

bool JpegLosses::MeansLoss(const jpeg_decompress_struct& decompress) {
  const jpeg_error_mgr& error = *decompress.err;
  const int skipped_to = std::exchange(skipped_to_, 0);
  switch (error.msg_code) {
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
      return true;
    case JWRN_EXTRANEOUS_DATA:
      skipped_to_ = error.msg_parm.i[1];
      return false;
    case JWRN_MUST_RESYNC:
      skipped_to_ = skipped_to;
      return ResyncMeansLoss(decompress);
    case JWRN_HIT_MARKER:
      return !std::exchange(waits_, false) ||
             !IsRestart(decompress.unread_marker);
    case JWRN_JPEG_EOF:
      // Arithmetic decoding does not warn when its data ends.
      return !header_read_ || decompress.arith_code != 0;
    default:
      return false;  // stray bytes between segments, say
  }
}

bool JpegLosses::ResyncMeansLoss(const jpeg_decompress_struct& decompress) {
  const int found = decompress.err->msg_parm.i[0];
  const int wanted = kFirstRestart + decompress.err->msg_parm.i[1];
  if (!IsRestart(found) || decompress.arith_code != 0) return true;
  // Either the marker is lost and its data is there, or the number is wrong.
  const bool all_there =
      std::exchange(skipped_to_, 0) == found ||
      (decompress.comps_in_scan == decompress.num_components &&
       !decompress.progressive_mode && HasAllRestarts(file_, decompress));
  if (!all_there) return true;
  // libjpeg takes one that is far off for the one that it wants.
  const int ahead = (found - wanted) & 7;
  waits_ = ahead <= 2 || ahead >= 6;
  return false;
}

const char* MissingScans(const jpeg_decompress_struct& decompress) {
  for (int c = 0; c < decompress.num_components; ++c) {
    if (decompress.comp_info[c].quant_table == nullptr)
      return "the scan of a colour component is missing";
    if (decompress.coef_bits == nullptr) continue;
    // Those by which libjpeg tells whether it has to smooth the blocks: the
    // mean and the nine lowest frequencies, 0 when all of their bits are there.
    for (const int coefficient : {0, 1, 8, 16, 9, 2, 3, 10, 17, 24}) {
      if (decompress.coef_bits[c][coefficient] != 0)
        return "its later scans are missing";
    }
  }
  return "";
}

absl::Status RefusedJpeg(const jpeg_decompress_struct& decompress,
                         absl::string_view reason) {
  const std::string kind = UnsupportedJpeg(decompress);
  if (kind.empty()) return DamagedImage("JPEG", reason);
  return base::WithReason(
      absl::InvalidArgumentError(
          absl::StrCat("image is a ", kind,
                       " JPEG file, which is not read: send a baseline or "
                       "progressive one of 8 bits a sample")),
      base::kImageNotSupported);
}

}  // namespace clip
