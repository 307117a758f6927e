// Strips of a TIFF file, decoded row by row by libtiff. Internal to
// clip/image/.
#ifndef ZEROSHOT_CLIP_IMAGE_TIFF_STRIPS_H_
#define ZEROSHOT_CLIP_IMAGE_TIFF_STRIPS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "clip/image/tiff_page.h"

namespace clip {

// An image of strips: all those of a plane, or a tile, which is an image of one
// strip. libtiff is shown a file that begins with a directory of ours and goes
// on with the caller's file, so that it reads data where it lies and nothing
// else. It decodes a row at a time, which takes little memory whatever the size
// of a strip, and can be stopped after each.
//
//   TiffStrips strips(bytes, page, 0, width, height, rows, &page.pieces[0], n);
//   std::vector<uint8_t> row(strips.row_bytes());
//   for (int y = 0; y < height; ++y)
//     if (!strips.Read(row.data())) ... strips.reason() ...
//
// Thread rule: use from one thread.
class TiffStrips {
 public:
  // `count` strips of `rows` rows each; borrows the bytes.
  TiffStrips(absl::string_view bytes, const TiffPage& page, int width,
             int height, int rows, const TiffPage::Piece* strips, int count);
  ~TiffStrips();
  TiffStrips(TiffStrips&&) = delete;

  // What one takes while it reads, within a few per cent.
  static int64_t BytesFor(const TiffPage& page, int strips);

  // The next row, as the file has it but for compression: samples packed, those
  // of 16 bits in this machine's order. False: the data is damaged, in which
  // case libtiff would make pixels up.
  bool Read(uint8_t* row);

  const std::string& reason() const { return reason_; }

 private:
  struct Libtiff;

  void WriteDirectory(const TiffPage& page, int width, int height, int rows,
                      const TiffPage::Piece* strips, int count);
  void Open(const TiffPage& page);

  const absl::string_view bytes_;
  std::string directory_;  // in front of the bytes
  uint64_t at_ = 0;        // where libtiff reads next
  int64_t row_bytes_ = 0;
  uint32_t y_ = 0;
  std::string reason_;
  std::unique_ptr<Libtiff> libtiff_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_TIFF_STRIPS_H_
