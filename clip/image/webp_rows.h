// Stopping libwebp in the middle of a lossy image. Internal to clip/image/.
#ifndef ZEROSHOT_CLIP_IMAGE_WEBP_ROWS_H_
#define ZEROSHOT_CLIP_IMAGE_WEBP_ROWS_H_

#include <webp/decode.h>

#include "clip/image/codecs.h"

namespace clip {

// While one lives, WebPDecode with these options on this thread asks the run
// before each row of blocks of a lossy image whether to go on, and fails once
// it is told no.
//
// libwebp has no callback for that. But it lets a program bring the "worker"
// that finishes a row while the next one is read (WebPSetWorkerInterface, meant
// for thread pools): ours runs the row on the spot, and then says that it
// failed. A flat image of 100 million pixels is 180 KB, all of which is read
// before the first row: feeding the file in pieces would not help.
//
// Thread rule: as DecodeRun. The interface is set once, for the process.
class StoppableRows {
 public:
  StoppableRows(DecodeRun* run, int width, WebPDecoderOptions* options);
  ~StoppableRows();
  StoppableRows(const StoppableRows&) = delete;
  StoppableRows& operator=(const StoppableRows&) = delete;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_WEBP_ROWS_H_
