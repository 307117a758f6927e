#include "clip/image/gif_lzw.h"

namespace clip {

GifLzw::GifLzw(absl::string_view data, int bits, DecodeRun* run)
    : data_(data),
      run_(run),
      bits_(bits),
      clear_(1 << bits),
      end_((1 << bits) + 1) {
  Clear();
}

void GifLzw::Clear() {
  code_bits_ = bits_ + 1;
  next_ = clear_ + 2;
  last_ = -1;
}

absl::Span<const uint8_t> GifLzw::Fail(const char* reason) {
  reason_ = reason;
  return {};
}

bool GifLzw::ReadCode(int* code) {
  while (buffered_ < code_bits_) {
    if (block_ > 0) {
      buffer_ |= uint32_t{static_cast<uint8_t>(data_[at_++])} << buffered_;
      buffered_ += 8;
      --block_;
      continue;
    }
    // A block is begun when all of it is there. An empty one, which ends a
    // frame, is passed over: it makes no pixels and takes time.
    if (!run_->Continue(1)) return false;
    if (at_ >= data_.size()) return false;
    const size_t size = static_cast<uint8_t>(data_[at_]);
    if (data_.size() - at_ - 1 < size) return false;
    block_ = static_cast<int>(size);
    ++at_;
  }
  *code = static_cast<int>(buffer_ & ((1u << code_bits_) - 1));
  buffer_ >>= code_bits_;
  buffered_ -= code_bits_;
  return true;
}

absl::Span<const uint8_t> GifLzw::Next() {
  int code = clear_;
  while (code == clear_) {
    // Codes that clear the table make no pixels and take time.
    if (!run_->Continue(4) || !ReadCode(&code))
      return Fail("the file ends early");
    if (code == clear_) Clear();
  }
  if (code == end_) return Fail("its data ends before its last pixel");
  if (last_ < 0) {
    if (code > clear_) return Fail("its data has a code of no meaning");
    first_ = static_cast<uint8_t>(code);
    last_ = code;
    string_[0] = first_;
    return absl::MakeConstSpan(string_.data(), 1);
  }
  if (code > next_) return Fail("its data has a code of no meaning");
  // Strings are made from their ends.
  int begin = kCodes;
  int rest = code;
  if (code == next_) {
    string_[--begin] = first_;
    rest = last_;
  }
  while (rest >= clear_) {
    if (begin == 0 || rest >= kCodes)
      return Fail("its data has a code of no meaning");
    string_[--begin] = colour_[rest];
    rest = link_[rest];
  }
  if (begin == 0) return Fail("its data has a code of no meaning");
  string_[--begin] = first_ = static_cast<uint8_t>(rest);
  if (next_ < kCodes) {
    colour_[next_] = first_;
    link_[next_] = static_cast<uint16_t>(last_);
    if (next_ == (1 << code_bits_) - 1 && code_bits_ < kMostBits) ++code_bits_;
    ++next_;
  }
  last_ = code;
  return absl::MakeConstSpan(&string_[begin], kCodes - begin);
}

}  // namespace clip
