// The entropy coding of lossless WebP: bits and prefix codes. Internal to
// clip/image/. The format is RFC 9649, section 3.
#ifndef ZEROSHOT_CLIP_IMAGE_VP8L_CODES_H_
#define ZEROSHOT_CLIP_IMAGE_VP8L_CODES_H_

#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/strings/string_view.h"

namespace clip {

// Bits from the least significant of the first byte on. Behind the last byte
// are zeros, which past_end() tells.
class Vp8lBits {
 public:
  explicit Vp8lBits(absl::string_view bytes)
      : next_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  // From now on kFilled bits can be looked at and skipped.
  static constexpr int kFilled = 56;
  void Fill() {
    if (end_ - next_ >= 8) {
      uint64_t word;
      std::memcpy(&word, next_, sizeof(word));  // x86 is little-endian
      window_ |= word << count_;
      next_ += (63 - count_) >> 3;
      count_ |= 56;
    } else {
      FillAtEnd();
    }
  }
  uint64_t window() const { return window_; }
  void Skip(int count) {
    window_ >>= count;
    count_ -= count;
  }

  // REQUIRES: count <= 24.
  uint32_t Read(int count) {
    Fill();
    const uint32_t value = window_ & ((uint64_t{1} << count) - 1);
    Skip(count);
    return value;
  }

  // Whether bits were used that the bytes do not have.
  bool past_end() const { return count_ < padding_; }

 private:
  void FillAtEnd();

  const char* next_;
  const char* const end_;
  uint64_t window_ = 0;
  int count_ = 0;    // of bits in the window
  int padding_ = 0;  // of them, behind the last byte
};

// A prefix code as a table for the first 8 bits, and tables behind it for those
// of its words that are longer. A code of one word takes no bits.
class Vp8lCode {
 public:
  struct Entry {
    uint8_t bits;    // of the word, or of the table behind
    uint16_t value;  // or where that table begins
  };

  // Adds the code whose words have these lengths, 0 to 15 and 0 for none, to
  // `tables`. False: they are no complete code.
  bool Build(const std::vector<uint8_t>& lengths, std::vector<Entry>* tables);

  // REQUIRES: 15 bits are filled; `tables` are those of Build.
  uint32_t Read(const Entry* tables, Vp8lBits* bits) const {
    const Entry* entry = tables + begin_ + (bits->window() & mask_);
    if (entry->bits > kRootBits) {
      bits->Skip(kRootBits);
      const int more = entry->bits - kRootBits;
      entry = tables + begin_ + entry->value +
              (bits->window() & ((1u << more) - 1));
    }
    bits->Skip(entry->bits);
    return entry->value;
  }

  // Whether there is but one word.
  bool one_word() const { return mask_ == 0; }

 private:
  static constexpr int kRootBits = 8;

  uint32_t begin_ = 0;  // in the tables
  uint32_t mask_ = 0;
};

// Reads the lengths of a code's words, as they are coded in the file. False:
// damaged.
bool ReadVp8lLengths(int alphabet_size, Vp8lBits* bits,
                     std::vector<uint8_t>* lengths);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_IMAGE_VP8L_CODES_H_
