// GIF's variant of Lempel-Ziv-Welch, code by code as Pillow's GifDecode.c takes
// it. Internal to clip/image/.
#ifndef ZEROSHOT_CLIP_IMAGE_GIF_LZW_H_
#define ZEROSHOT_CLIP_IMAGE_GIF_LZW_H_

#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "clip/image/codecs.h"

namespace clip {

//   GifLzw lzw(data, bits, run);
//   while (...) { span = lzw.Next(); if (span.empty()) break; ... }
//
// Thread rule: use from one thread.
class GifLzw {
 public:
  // `data`: the blocks of a frame, the first one's length first; borrowed.
  // `bits`: of a colour, as the file says. REQUIRES: bits <= 8. `run` is asked
  // about each block and each code; borrowed.
  GifLzw(absl::string_view data, int bits, DecodeRun* run);

  // The next pixels, 1 to 4096, valid until the next call. Empty: the run was
  // stopped, or the data ends, or is damaged (reason() says how).
  absl::Span<const uint8_t> Next();

  const char* reason() const { return reason_; }

 private:
  static constexpr int kMostBits = 12;
  static constexpr int kCodes = 1 << kMostBits;

  // False: the data ends, or the run was stopped.
  bool ReadCode(int* code);
  void Clear();
  absl::Span<const uint8_t> Fail(const char* reason);

  const absl::string_view data_;
  DecodeRun* const run_;
  size_t at_ = 0;
  int block_ = 0;  // bytes left in this one
  uint32_t buffer_ = 0;
  int buffered_ = 0;  // bits

  const int bits_;
  const int clear_, end_;
  int code_bits_ = 0;
  int next_ = 0;       // the code that the next string gets
  int last_ = -1;      // the code before; -1 after a clear code
  uint8_t first_ = 0;  // first colour of its string
  std::array<uint8_t, kCodes> colour_;
  std::array<uint16_t, kCodes> link_;
  std::array<uint8_t, kCodes> string_;
  const char* reason_ = "";
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_GIF_LZW_H_
