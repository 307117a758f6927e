// Where libjpeg cannot go on it warns and makes up pixels. Which of its
// warnings mean that, and which do not. Internal to clip/image/.
#ifndef ZEROSHOT_CLIP_IMAGE_JPEG_LOSSES_H_
#define ZEROSHOT_CLIP_IMAGE_JPEG_LOSSES_H_

#include <cstddef>
#include <cstdio>

// jpeglib.h needs FILE and size_t declared before it.
#include <jpeglib.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace clip {

// The warnings of one decode. Served as libjpeg decodes them are files that
// lack their end marker, and files of which a restart marker is lost or
// misnumbered while the data around it is there.
// Thread rule: use from one thread.
class JpegLosses {
 public:
  JpegLosses() = default;
  explicit JpegLosses(absl::string_view file) : file_(file) {}

  // Before that, the file may not end.
  void HeaderWasRead() { header_read_ = true; }

  // Whether the warning that libjpeg is giving means that pixels are lost.
  bool MeansLoss(const jpeg_decompress_struct& decompress);

 private:
  bool ResyncMeansLoss(const jpeg_decompress_struct& decompress);

  absl::string_view file_;
  bool header_read_ = false;
  // The marker before which data was just skipped; 0: none.
  int skipped_to_ = 0;
  // libjpeg waits at a restart marker for the interval that is to follow it.
  bool waits_ = false;
};

// Why the scans of a file that has several are not all of its image; "" if they
// are. Call when they were read.
const char* MissingScans(const jpeg_decompress_struct& decompress);

// Why libjpeg did not take the header: damage, for the reason that it gave, or
// a kind of JPEG that it does not read, such as lossless.
absl::Status RefusedJpeg(const jpeg_decompress_struct& decompress,
                         absl::string_view reason);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_JPEG_LOSSES_H_
