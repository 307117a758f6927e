// Netpbm's binary files: P4 (bits), P5 (grey), P6 (RGB), as Pillow's
// PpmImagePlugin reads them. Programs that hold pixels write these without an
// encoder. Of 16-bit grey the high byte is kept, as of PNG's.
#include <array>
#include <cmath>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "clip/image/codecs.h"
#include "clip/image/raw_rows.h"

namespace clip {
namespace {

// The words of the header. One white space ends it.
class Header {
 public:
  explicit Header(absl::string_view bytes) : bytes_(bytes), at_(2) {}

  // False: the file ends, or the word is no number of at most ten digits.
  bool Next(int64_t* number) {
    std::string word;
    while (at_ < bytes_.size()) {
      const char c = bytes_[at_++];
      if (c == '#') {
        while (at_ < bytes_.size() && bytes_[at_] != '\n' &&
               bytes_[at_] != '\r')
          ++at_;
        ++at_;
      } else if (!absl::ascii_isspace(c)) {
        word += c;
      } else if (!word.empty()) {
        break;
      }
      if (word.size() > 10) return false;
    }
    return absl::SimpleAtoi(word, number) && *number >= 0;
  }

  absl::string_view rest() const {
    return at_ < bytes_.size() ? bytes_.substr(at_) : "";
  }

 private:
  const absl::string_view bytes_;
  size_t at_;
};

// Python's round(value / most * top), no more than `top`.
uint8_t Scaled(int value, int most, int top) {
  const double scaled = std::nearbyint(static_cast<double>(value) / most * top);
  const int whole = static_cast<int>(std::min<double>(scaled, top));
  return static_cast<uint8_t>(top > 255 ? whole >> 8 : whole);
}

absl::StatusOr<RawRows> Open(absl::string_view bytes, const DecodeRun& run) {
  Header header(bytes);
  const char kind = bytes[1];
  int64_t width = 0, height = 0, most = 1;
  if (!header.Next(&width) || !header.Next(&height) ||
      (kind != '4' && !header.Next(&most))) {
    return DamagedImage("PNM", "its header holds no sizes");
  }
  if (most < 1 || most > 65535) {
    return DamagedImage("PNM", absl::StrCat("its highest value is ", most,
                                            "; 1 to 65535 is allowed"));
  }
  absl::Status size = run.CheckSize(width, height);
  if (!size.ok()) return size;
  RawRows rows;
  rows.width = static_cast<int>(width);
  rows.height = static_cast<int>(height);
  rows.mode = kind == '4'   ? ImageMode::k1
              : kind == '5' ? ImageMode::kL
                            : ImageMode::kRGB;
  const int bytes_each = most > 255 ? 2 : 1;
  const int64_t samples = width * ChannelsOf(rows.mode);
  const int64_t stride = kind == '4' ? (width + 7) / 8 : samples * bytes_each;
  const absl::string_view data = header.rest();
  if (static_cast<int64_t>(data.size()) < stride * height)
    return DamagedImage("PNM", "the file ends early");
  const auto* const pixels = reinterpret_cast<const uint8_t*>(data.data());
  if (kind == '4') {
    rows.read = [=](int y, uint8_t* row) {
      const uint8_t* from = pixels + y * stride;
      for (int64_t x = 0; x < width; ++x)
        row[x] = (from[x / 8] >> (7 - x % 8) & 1) != 0 ? 0 : 255;
    };
  } else if (bytes_each == 1) {
    std::array<uint8_t, 256> table;
    for (int value = 0; value < 256; ++value)
      table[value] = Scaled(value, static_cast<int>(most), 255);
    rows.read = [=](int y, uint8_t* row) {
      const uint8_t* from = pixels + y * stride;
      for (int64_t i = 0; i < samples; ++i) row[i] = table[from[i]];
    };
  } else {
    const int top = kind == '5' ? 65535 : 255;
    rows.read = [=](int y, uint8_t* row) {
      const uint8_t* from = pixels + y * stride;
      for (int64_t i = 0; i < samples; ++i) {
        row[i] = Scaled(from[2 * i] << 8 | from[2 * i + 1],
                        static_cast<int>(most), top);
      }
    };
  }
  return rows;
}

}  // namespace

absl::StatusOr<Image> DecodePnm(absl::string_view bytes, DecodeRun* run) {
  absl::StatusOr<RawRows> rows = Open(bytes, *run);
  if (!rows.ok()) return rows.status();
  return DecodeRaw(*std::move(rows), run);
}

absl::StatusOr<std::vector<uint8_t>> CropPnm(absl::string_view bytes,
                                             CropShape shape, DecodeRun* run) {
  const absl::StatusOr<RawRows> rows = Open(bytes, *run);
  if (!rows.ok()) return rows.status();
  return CropRaw(*rows, shape, run);
}

}  // namespace clip
