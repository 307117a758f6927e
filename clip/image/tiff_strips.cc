#include "clip/image/tiff_strips.h"

#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace clip {
namespace {

// A directory of a classic TIFF file, as it is written.
class DirectoryWriter {
 public:
  explicit DirectoryWriter(bool big_endian) : big_endian_(big_endian) {}

  // REQUIRES: the numbers of tags ascend.
  void Add(uint16_t tag, uint16_t size, const std::vector<uint32_t>& values) {
    constexpr uint16_t kShort = 3, kLong = 4;
    std::string data;
    for (const uint32_t value : values) Put(&data, value, size);
    AddData(tag, size == 2 ? kShort : kLong, values.size(), std::move(data));
  }
  void AddBytes(uint16_t tag, absl::string_view bytes) {
    constexpr uint16_t kUndefined = 7;
    AddData(tag, kUndefined, bytes.size(), std::string(bytes));
  }

  // How long the file's beginning will be, before what is said of where things
  // behind it lie is known.
  size_t size() const {
    size_t size = kHeader + 2 + 12 * entries_.size() + 4;
    for (const Entry& entry : entries_) {
      if (entry.data.size() > 4) size += entry.data.size();
    }
    return size;
  }

  std::string Finish() const {
    std::string file = big_endian_ ? "MM" : "II";
    Put(&file, 42, 2);
    Put(&file, kHeader, 4);
    Put(&file, static_cast<uint32_t>(entries_.size()), 2);
    std::string behind;
    const size_t end = kHeader + 2 + 12 * entries_.size() + 4;
    for (const Entry& entry : entries_) {
      Put(&file, entry.tag, 2);
      Put(&file, entry.type, 2);
      Put(&file, entry.count, 4);
      if (entry.data.size() > 4) {
        Put(&file, static_cast<uint32_t>(end + behind.size()), 4);
        behind += entry.data;
      } else {
        file += entry.data;
        file.append(4 - entry.data.size(), '\0');
      }
    }
    Put(&file, 0, 4);
    return file + behind;
  }

 private:
  static constexpr uint32_t kHeader = 8;
  struct Entry {
    uint16_t tag, type;
    uint32_t count;
    std::string data;
  };

  void AddData(uint16_t tag, uint16_t type, size_t count, std::string data) {
    if (data.size() % 2 != 0) data += '\0';
    entries_.push_back(
        {tag, type, static_cast<uint32_t>(count), std::move(data)});
  }

  void Put(std::string* out, uint32_t value, int size) const {
    for (int i = 0; i < size; ++i) {
      const int shift = 8 * (big_endian_ ? size - 1 - i : i);
      *out += static_cast<char>(value >> shift & 0xff);
    }
  }

  const bool big_endian_;
  std::vector<Entry> entries_;
};

}  // namespace

struct TiffStrips::Libtiff {
  ~Libtiff() {
    if (tiff != nullptr) TIFFClose(tiff);
    if (options != nullptr) TIFFOpenOptionsFree(options);
  }

  // The first error counts.
  static void Say(TiffStrips* self, const char* format, va_list arguments) {
    if (!self->reason_.empty()) return;
    char text[200];
    std::vsnprintf(text, sizeof(text), format, arguments);
    self->reason_ = text;
    if (self->reason_.empty()) self->reason_ = "its data is damaged";
  }

  static int OnError(TIFF*, void* self, const char*, const char* format,
                     va_list arguments) {
    Say(static_cast<TiffStrips*>(self), format, arguments);
    return 1;  // No other handler is asked, such as the one that prints.
  }

  // JPEG and CCITT's decoders go on where data is damaged.
  static int OnWarning(TIFF*, void* self, const char* module,
                       const char* format, va_list arguments) {
    if (module != nullptr && (absl::StartsWith(module, "JPEGLib") ||
                              absl::StartsWith(module, "Fax"))) {
      Say(static_cast<TiffStrips*>(self), format, arguments);
    }
    return 1;
  }

  static tmsize_t Read(thandle_t handle, void* out, tmsize_t size) {
    auto* self = static_cast<TiffStrips*>(handle);
    auto* to = static_cast<char*>(out);
    tmsize_t done = 0;
    const uint64_t front = self->directory_.size();
    while (done < size) {
      const bool in_front = self->at_ < front;
      const absl::string_view from = in_front ? self->directory_ : self->bytes_;
      const uint64_t at = in_front ? self->at_ : self->at_ - front;
      if (at >= from.size()) break;
      const auto fitting = static_cast<tmsize_t>(
          std::min<uint64_t>(from.size() - at, size - done));
      std::memcpy(to + done, from.data() + at, fitting);
      done += fitting;
      self->at_ += fitting;
    }
    return done;
  }
  static tmsize_t Write(thandle_t, void*, tmsize_t) { return 0; }

  static toff_t Seek(thandle_t handle, toff_t offset, int whence) {
    auto* self = static_cast<TiffStrips*>(handle);
    self->at_ = offset + (whence == SEEK_CUR   ? self->at_
                          : whence == SEEK_END ? Size(handle)
                                               : 0);
    return self->at_;
  }
  static int Close(thandle_t) { return 0; }
  static toff_t Size(thandle_t handle) {
    auto* self = static_cast<TiffStrips*>(handle);
    return self->directory_.size() + self->bytes_.size();
  }

  TIFFOpenOptions* options = nullptr;
  TIFF* tiff = nullptr;
};

TiffStrips::TiffStrips(absl::string_view bytes, const TiffPage& page, int width,
                       int height, int rows, const TiffPage::Piece* strips,
                       int count)
    : bytes_(bytes), libtiff_(std::make_unique<Libtiff>()) {
  WriteDirectory(page, width, height, rows, strips, count);
  row_bytes_ = (int64_t{width} * page.samples_of_plane() * page.bits + 7) / 8;
  libtiff_->options = TIFFOpenOptionsAlloc();
  TIFFOpenOptionsSetMaxSingleMemAlloc(libtiff_->options,
                                      BytesFor(page, count) + (4 << 20));
  TIFFOpenOptionsSetErrorHandlerExtR(libtiff_->options, Libtiff::OnError, this);
  TIFFOpenOptionsSetWarningHandlerExtR(libtiff_->options, Libtiff::OnWarning,
                                       this);
  Open(page);
}

TiffStrips::~TiffStrips() = default;

int64_t TiffStrips::BytesFor(const TiffPage& page, int strips) {
  const int64_t row = page.piece_row_bytes();
  // What a decoder keeps of its rows: libjpeg those of several blocks, in
  // several steps; CCITT's where each run ends.
  const int64_t rows = page.compression == kTiffJpeg ? 100 * row
                       : page.bits == 1              ? 100 * row
                                                     : 4 * row;
  // Ours, and libtiff's two arrays with what it reads them from.
  const int64_t directory = int64_t{strips} * 40 + page.jpeg_tables.size();
  constexpr int64_t kTables = 640 << 10;  // of LZW and others
  return page.largest_piece + rows + directory + kTables;
}

void TiffStrips::WriteDirectory(const TiffPage& page, int width, int height,
                                int rows, const TiffPage::Piece* strips,
                                int count) {
  const int samples = page.samples_of_plane();
  // It matters for JPEG's colours only. A palette would be asked for.
  const TiffPhotometric photometric =
      page.compression == kTiffJpeg && !page.planar ? page.photometric
      : samples >= 4                                ? kTiffSeparated
      : samples == 3                                ? kTiffRgb
                                                    : kTiffBlackIsZero;
  std::vector<uint32_t> offsets(count), counts(count);
  const auto write = [&](uint32_t shift) {
    for (int i = 0; i < count; ++i) {
      offsets[i] = strips[i].offset + shift;
      counts[i] = strips[i].bytes;
    }
    constexpr int kShort = 2, kLong = 4;
    DirectoryWriter out(page.big_endian);
    out.Add(TIFFTAG_IMAGEWIDTH, kLong, {static_cast<uint32_t>(width)});
    out.Add(TIFFTAG_IMAGELENGTH, kLong, {static_cast<uint32_t>(height)});
    out.Add(TIFFTAG_BITSPERSAMPLE, kShort,
            std::vector<uint32_t>(samples, static_cast<uint32_t>(page.bits)));
    out.Add(TIFFTAG_COMPRESSION, kShort, {page.compression});
    out.Add(TIFFTAG_PHOTOMETRIC, kShort, {photometric});
    out.Add(TIFFTAG_FILLORDER, kShort, {page.bits_reversed ? 2u : 1u});
    out.Add(TIFFTAG_STRIPOFFSETS, kLong, offsets);
    out.Add(TIFFTAG_SAMPLESPERPIXEL, kShort, {static_cast<uint32_t>(samples)});
    out.Add(TIFFTAG_ROWSPERSTRIP, kLong, {static_cast<uint32_t>(rows)});
    out.Add(TIFFTAG_STRIPBYTECOUNTS, kLong, counts);
    if (page.compression == kTiffGroup3)
      out.Add(TIFFTAG_GROUP3OPTIONS, kLong, {page.t4_options});
    if (page.predictor != 1)
      out.Add(TIFFTAG_PREDICTOR, kShort,
              {static_cast<uint32_t>(page.predictor)});
    const int colours = photometric == kTiffSeparated ? 4
                        : samples >= 3                ? 3
                                                      : 1;
    if (samples > colours)
      out.Add(TIFFTAG_EXTRASAMPLES, kShort,
              std::vector<uint32_t>(samples - colours, 0));
    if (!page.jpeg_tables.empty())
      out.AddBytes(TIFFTAG_JPEGTABLES, page.jpeg_tables);
    if (photometric == kTiffYcbcr) {
      out.Add(TIFFTAG_YCBCRSUBSAMPLING, kShort,
              {static_cast<uint32_t>(page.subsampling[0]),
               static_cast<uint32_t>(page.subsampling[1])});
    }
    return out;
  };
  directory_ = write(static_cast<uint32_t>(write(0).size())).Finish();
}

void TiffStrips::Open(const TiffPage& page) {
  // "c": as the strips are, never cut into smaller ones.
  libtiff_->tiff = TIFFClientOpenExt(
      "", "rmc", this, Libtiff::Read, Libtiff::Write, Libtiff::Seek,
      Libtiff::Close, Libtiff::Size, nullptr, nullptr, libtiff_->options);
  if (libtiff_->tiff == nullptr) {
    if (reason_.empty()) reason_ = "libtiff does not take it";
    return;
  }
  if (page.photometric == kTiffYcbcr)
    TIFFSetField(libtiff_->tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
  if (TIFFIsTiled(libtiff_->tiff) != 0 ||
      TIFFScanlineSize(libtiff_->tiff) != row_bytes_) {
    reason_ = "its rows do not fit its header";
  }
}

bool TiffStrips::Read(uint8_t* row) {
  if (!reason_.empty()) return false;
  if (TIFFReadScanline(libtiff_->tiff, row, y_++, 0) != 1 && reason_.empty())
    reason_ = "its data is damaged";
  return reason_.empty();
}

}  // namespace clip
