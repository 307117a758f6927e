// The steps behind DecodeImage, one file each. Internal to clip/image/.
//
// The C codecs report errors by longjmp. Rule of these files: a function that
// calls setjmp holds no object with a destructor; memory is owned by an object
// of its caller, which therefore is freed on every path.
#ifndef ZEROSHOT_CLIP_IMAGE_CODECS_H_
#define ZEROSHOT_CLIP_IMAGE_CODECS_H_

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/caller.h"
#include "clip/decode_budget.h"
#include "clip/image.h"

namespace clip {

// One decode as it runs: what it may take and how long it is wanted.
// Thread rule: use from one thread.
class DecodeRun {
 public:
  // Borrows all three.
  DecodeRun(absl::string_view bytes, const DecodeOptions& options,
            const base::Caller& caller);

  const DecodeOptions& options() const { return options_; }

  // How the image will be turned when it is decoded; 1: not at all.
  int orientation() const { return orientation_; }

  // Where the codec finds the orientation: it counts if the options say so.
  void SetOrientation(int orientation) {
    if (options_.apply_exif_orientation) orientation_ = orientation;
  }

  // What an image of that size takes, and the copy that is turned.
  int64_t ImageBytes(int64_t width, int64_t height, int channels) const {
    return width * height * channels * (orientation_ == 1 ? 1 : 2);
  }

  // Each codec calls this once, between reading the header and taking memory:
  // InvalidArgument if width x height is empty or over max_pixels, or if
  // `bytes`, what the decode takes at its peak, are more than the whole budget;
  // else waits for them (DeadlineExceeded, Cancelled: the caller has left).
  absl::Status Begin(int64_t width, int64_t height, int64_t bytes);

  // From now on Begin fails if the image has more pixels than that: another run
  // of the same image is to go on, with this one's share of the budget.
  void LeaveLargerThan(int64_t pixels) { most_here_ = pixels; }
  bool left() const { return left_; }
  void GoOnFrom(DecodeRun* left) {
    share_ = std::move(left->share_);
    timing = left->timing;
    begun_ = true;
  }

  // The same in two steps, where the bytes are known only after a further look.
  absl::Status CheckSize(int64_t width, int64_t height) const;

  // The same for a library that cannot be stopped: at most
  // kMostUnstoppablePixels too, which take a second or two.
  static constexpr int64_t kMostUnstoppablePixels = 50'000'000;
  absl::Status CheckUnstoppable(absl::string_view format, int64_t width,
                                int64_t height) const;

  // That work for so many pixels is next. False: stop, stopped() says why. The
  // caller is looked at every kPixelsBetweenLooks, which take some 10 ms.
  bool Continue(int64_t pixels) {
    pixels_ += pixels;
    return pixels_ < kPixelsBetweenLooks ? stopped_.ok() : Look();
  }
  const absl::Status& stopped() const { return stopped_; }

  // Where the time went. Waiting is neither decoding nor cropping.
  CropTiming timing;

 private:
  static constexpr int64_t kPixelsBetweenLooks = 1'000'000;

  bool Look();

  const DecodeOptions& options_;
  const base::Caller& caller_;
  int orientation_;
  DecodeBudget::Share share_;
  int64_t pixels_ = 0;  // since the last look
  int64_t most_here_ = std::numeric_limits<int64_t>::max();
  bool left_ = false;
  bool begun_ = false;  // by the run that left it
  absl::Status stopped_;
};

// InvalidArgument saying that the file of that format is damaged, and how.
absl::Status DamagedImage(absl::string_view format, absl::string_view reason);

// An image of that mode and size with its pixels allocated, but not set.
Image NewImage(ImageMode mode, int width, int height);

int ChannelsOf(ImageMode mode);

absl::StatusOr<Image> DecodeJpeg(absl::string_view bytes, DecodeRun* run);
absl::StatusOr<Image> DecodePng(absl::string_view bytes, DecodeRun* run);
absl::StatusOr<Image> DecodeWebp(absl::string_view bytes, DecodeRun* run);
absl::StatusOr<Image> DecodeGif(absl::string_view bytes, DecodeRun* run);
absl::StatusOr<Image> DecodeBmp(absl::string_view bytes, DecodeRun* run);
absl::StatusOr<Image> DecodePnm(absl::string_view bytes, DecodeRun* run);
// Internal where it is not built.
absl::StatusOr<Image> DecodeTiff(absl::string_view bytes, DecodeRun* run);
absl::StatusOr<Image> DecodeAvif(absl::string_view bytes, DecodeRun* run);
absl::StatusOr<Image> DecodeHeic(absl::string_view bytes, DecodeRun* run);

// CropForModel of what the function above makes, cropped row by row as it is
// decoded, where the file allows that.
absl::StatusOr<std::vector<uint8_t>> CropJpeg(absl::string_view bytes,
                                              CropShape shape, DecodeRun* run);
absl::StatusOr<std::vector<uint8_t>> CropPng(absl::string_view bytes,
                                             CropShape shape, DecodeRun* run);
absl::StatusOr<std::vector<uint8_t>> CropWebp(absl::string_view bytes,
                                              CropShape shape, DecodeRun* run);
absl::StatusOr<std::vector<uint8_t>> CropBmp(absl::string_view bytes,
                                             CropShape shape, DecodeRun* run);
absl::StatusOr<std::vector<uint8_t>> CropPnm(absl::string_view bytes,
                                             CropShape shape, DecodeRun* run);
absl::StatusOr<std::vector<uint8_t>> CropTiff(absl::string_view bytes,
                                              CropShape shape, DecodeRun* run);

// Orientation (1 to 8) of a TIFF file, or of the EXIF block of a JPEG, PNG or
// WebP file; 1, upright, if there is none or it makes no sense.
int ExifOrientation(absl::string_view bytes);

// The image turned and mirrored as run->orientation() says. Fails as the run
// was stopped.
absl::StatusOr<Image> Upright(Image image, DecodeRun* run);

// InvalidArgument unless the bytes are of a format that the run may read.
absl::StatusOr<ImageFormat> CheckFormat(absl::string_view bytes,
                                        const DecodeRun& run);

// DecodeImage and CropForModel as parts of a run.
absl::StatusOr<Image> DecodeUpright(absl::string_view bytes, DecodeRun* run);
absl::StatusOr<std::vector<uint8_t>> CropImage(const Image& image,
                                               CropShape shape, DecodeRun* run);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_CODECS_H_
