#include "clip/image/hevc_size.h"

#include <cstddef>

namespace clip {
namespace {

// The bits of a unit, most significant first, without the bytes of 3 that keep
// start codes apart. Zeros behind the end, which past_end() tells.
class Bits {
 public:
  explicit Bits(absl::string_view unit) : unit_(unit) {}

  uint32_t Read(int count) {
    uint32_t value = 0;
    for (; count > 0; --count) value = value << 1 | Bit();
    return value;
  }
  void Skip(int count) {
    for (; count > 0; --count) Bit();
  }

  // An Exp-Golomb code of at most 31 bits behind its zeros.
  uint32_t ReadCode() {
    int zeros = 0;
    while (Bit() == 0) {
      if (++zeros > 31 || past_end_) {
        past_end_ = true;
        return 0;
      }
    }
    return ((uint32_t{1} << zeros) - 1) + Read(zeros);
  }

  bool past_end() const { return past_end_; }

 private:
  uint32_t Bit() {
    if (left_ == 0) {
      if (zeros_ >= 2 && at_ < unit_.size() && unit_[at_] == '\3') {
        ++at_;
        zeros_ = 0;
      }
      if (at_ >= unit_.size()) {
        past_end_ = true;
        return 0;
      }
      byte_ = static_cast<uint8_t>(unit_[at_++]);
      zeros_ = byte_ == 0 ? zeros_ + 1 : 0;
      left_ = 8;
    }
    return byte_ >> --left_ & 1;
  }

  const absl::string_view unit_;
  size_t at_ = 0;
  uint32_t byte_ = 0;
  int left_ = 0;   // bits of it
  int zeros_ = 0;  // bytes before it
  bool past_end_ = false;
};

}  // namespace

std::optional<int64_t> HevcPixels(absl::string_view unit) {
  Bits bits(unit);
  bits.Skip(16 + 4);  // the unit's header, the video parameter set
  const int layers = static_cast<int>(bits.Read(3));
  constexpr int kProfile = 88, kLevel = 8;
  bits.Skip(1 + kProfile + kLevel);
  bool has_profile[8] = {}, has_level[8] = {};
  for (int i = 0; i < layers; ++i) {
    has_profile[i] = bits.Read(1) != 0;
    has_level[i] = bits.Read(1) != 0;
  }
  if (layers > 0) bits.Skip(2 * (8 - layers));
  for (int i = 0; i < layers; ++i)
    bits.Skip((has_profile[i] ? kProfile : 0) + (has_level[i] ? kLevel : 0));
  bits.ReadCode();  // its number
  constexpr uint32_t kFullColours = 3;
  if (bits.ReadCode() == kFullColours) bits.Skip(1);
  const int64_t width = bits.ReadCode(), height = bits.ReadCode();
  if (bits.past_end() || width < 1 || height < 1) return std::nullopt;
  return width > (int64_t{1} << 40) / height ? int64_t{1} << 40
                                             : width * height;
}

}  // namespace clip
