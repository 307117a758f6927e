// The JPEG data of a strip or tile. Internal to clip/image/.
#ifndef ZEROSHOT_CLIP_IMAGE_TIFF_JPEG_H_
#define ZEROSHOT_CLIP_IMAGE_TIFF_JPEG_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace clip {

// InvalidArgument unless its header is whole, of that size (it may have more
// rows), and of baseline JPEG in one scan: libjpeg reads a file of several
// scans as a whole before its first row, and cannot be stopped meanwhile.
absl::Status CheckTiffJpeg(absl::string_view jpeg, int width, int rows,
                           int components);

// InvalidArgument: the TIFF file has `what`, which is not read; `instead` is.
absl::Status TiffNotRead(absl::string_view what, absl::string_view instead);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_TIFF_JPEG_H_
