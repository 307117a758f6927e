#include "clip/image_formats.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/quoted.h"
#include "clip/image/bytes.h"

namespace clip {
namespace {

#ifdef CLIP_HAS_TIFF
constexpr bool kHasTiff = true;
#else
constexpr bool kHasTiff = false;
#endif

#ifdef CLIP_HAS_AVIF
constexpr bool kHasAvif = true;
#else
constexpr bool kHasAvif = false;
#endif
#ifdef CLIP_HAS_HEIC
constexpr bool kHasHeic = true;
#else
constexpr bool kHasHeic = false;
#endif

struct Known {
  ImageFormat format;
  absl::string_view name;
  absl::string_view flag;
  bool on_by_default = true;
  bool built = true;
};

constexpr Known kFormats[] = {
    {ImageFormat::kJpeg, "JPEG", "jpeg"},
    {ImageFormat::kPng, "PNG", "png"},
    {ImageFormat::kWebp, "WebP", "webp"},
    {ImageFormat::kGif, "GIF", "gif"},
    {ImageFormat::kBmp, "BMP", "bmp"},
    {ImageFormat::kPnm, "PNM", "pnm"},
    {ImageFormat::kTiff, "TIFF", "tiff", false, kHasTiff},
    {ImageFormat::kAvif, "AVIF", "avif", false, kHasAvif},
    {ImageFormat::kHeic, "HEIC", "heic", false, kHasHeic}};

uint32_t BitOf(const Known& known) {
  return uint32_t{1} << static_cast<int>(known.format);
}

// Windows' bitmaps start with two letters only; the size of the header that
// follows is one of these.
bool IsBmp(absl::string_view bytes) {
  if (!absl::StartsWith(bytes, "BM") || bytes.size() < 18) return false;
  for (const char size : {12, 40, 52, 56, 64, 108, 124}) {
    if (bytes.substr(14, 4) == std::string{size, 0, 0, 0}) return true;
  }
  return false;
}

bool IsPnm(absl::string_view bytes) {
  return bytes.size() > 3 && bytes[0] == 'P' && bytes[1] >= '4' &&
         bytes[1] <= '6' && absl::ascii_isspace(bytes[2]);
}

// BigTIFF included.
bool IsTiff(absl::string_view bytes) {
  const absl::string_view start = bytes.substr(0, 4);
  return start == absl::string_view("II*\0", 4) ||
         start == absl::string_view("II+\0", 4) ||
         start == absl::string_view("MM\0*", 4) ||
         start == absl::string_view("MM\0+", 4);
}

struct KnownStart {
  absl::string_view start;
  absl::string_view what;
};

constexpr KnownStart kBinary[] = {
    {"IIRO", "a camera's raw file (ORF)"},
    {"IIRS", "a camera's raw file (ORF)"},
    {{"IIU\0", 4}, "a camera's raw file (RW2)"},
    {"FUJIFILMCCD-RAW", "a camera's raw file (RAF)"},
    {"II\xbc", "a JPEG XR file"},
    {"BPG\xfb", "a BPG file"},
    {"FLIF", "a FLIF file"},
    {{"\0\0\2\0", 4}, "a cursor (CUR)"},
    {"\xff\x0a", "a JPEG XL file"},
    {{"\0\0\0\x0cJXL ", 8}, "a JPEG XL file"},
    {{"\0\0\0\x0cjP  ", 8}, "a JPEG 2000 file"},
    {"\xff\x4f\xff\x51", "a JPEG 2000 file"},
    {"\xff\xd8", "a JPEG file that is cut off"},
    {"%PDF", "a PDF document"},
    {"%!PS", "a PostScript file"},
    {"8BPS", "a Photoshop file"},
    {{"\0\0\1\0", 4}, "an icon (ICO)"},
    {"qoif", "a QOI file"},
    {"#?RADIANCE", "a Radiance HDR file"},
    {"\x76\x2f\x31\x01", "an OpenEXR file"},
    {"\xab"
     "KTX",
     "a KTX texture"},
    {"DDS ", "a DDS texture"},
    {"SIMPLE  =", "a FITS file"},
    {"\x93NUMPY", "a NumPy array"},
    {"\x80\2", "a Python pickle"},
    {"\x80\3", "a Python pickle"},
    {"\x80\4", "a Python pickle"},
    {"PK\3\4", "a zip archive"},
    {"\x1f\x8b", "a gzip archive"},
    {"\x1a\x45\xdf\xa3", "a Matroska or WebM video"},
    {"OggS", "an Ogg file"},
    {"P1", "a plain PNM file (only the binary P4, P5 and P6 are read)"},
    {"P2", "a plain PNM file (only the binary P4, P5 and P6 are read)"},
    {"P3", "a plain PNM file (only the binary P4, P5 and P6 are read)"},
    {"P7", "a PAM file"},
    {"Pf", "a PFM file"},
    {"PF", "a PFM file"},
};

// ISO's media files: a box of type "ftyp", whose brand says what it is.
std::string KindOfBox(absl::string_view bytes) {
  if (bytes.size() < 12 || bytes.substr(4, 4) != "ftyp") return "";
  const absl::string_view brand = bytes.substr(8, 4);
  if (brand == "mif1" || brand == "msf1") return "a HEIF file of unknown kind";
  if (brand == "crx ") return "a camera's raw file (CR3)";
  return "a video (MP4 or QuickTime)";
}

std::optional<ImageFormat> FormatOfBrand(absl::string_view brand) {
  if (brand == "avif" || brand == "avis") return ImageFormat::kAvif;
  for (const char* heic :
       {"heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs"}) {
    if (brand == heic) return ImageFormat::kHeic;
  }
  return std::nullopt;
}

// HEIF's brand says little where it comes first: those after it tell.
std::optional<ImageFormat> FormatOfBox(absl::string_view bytes) {
  if (bytes.size() < 12 || bytes.substr(4, 4) != "ftyp") return std::nullopt;
  const absl::string_view first = bytes.substr(8, 4);
  if (first != "mif1" && first != "msf1") return FormatOfBrand(first);
  constexpr size_t kMost = 256;
  const size_t size = std::min<size_t>(
      {ByteReader(bytes, /*big_endian=*/true).U32(0), bytes.size(), kMost});
  for (size_t at = 16; at + 4 <= size; at += 4) {
    const std::optional<ImageFormat> format =
        FormatOfBrand(bytes.substr(at, 4));
    if (format.has_value()) return format;
  }
  return std::nullopt;
}

// What base64 makes of the first bytes of images.
constexpr absl::string_view kBase64Starts[] = {
    "/9j/",       "iVBORw0KGgo", "R0lGOD",     "UklGR",      "Qk0",
    "SUkqA",      "TU0AKg",      "AAAAFGZ0eX", "AAAAGGZ0eX", "AAAAHGZ0eX",
    "AAAAIGZ0eX", "AAAAJGZ0eX",  "AAAAKGZ0eX", "AAAADGpQ",   "AAAADEpY"};

std::string KindOfText(absl::string_view bytes) {
  absl::ConsumePrefix(&bytes, "\xef\xbb\xbf");
  const absl::string_view text =
      absl::StripLeadingAsciiWhitespace(bytes.substr(0, 512));
  if (absl::StartsWithIgnoreCase(text, "data:"))
    return "a data URI (send the bytes that its base64 stands for)";
  for (const absl::string_view start : kBase64Starts) {
    if (absl::StartsWith(text, start))
      return "base64 text (send the bytes that it stands for)";
  }
  if (absl::StartsWith(text, "http://") || absl::StartsWith(text, "https://"))
    return "a URL (nothing is fetched: send the image itself)";
  if (absl::StartsWith(text, "version https://git-lfs"))
    return "a git-lfs pointer (git lfs pull fetches the file)";
  const bool markup = absl::StartsWith(text, "<");
  if (markup && absl::StrContains(text, "<svg")) return "an SVG file";
  if (absl::StartsWithIgnoreCase(text, "<!doctype html") ||
      absl::StartsWithIgnoreCase(text, "<html")) {
    return "an HTML page";
  }
  if (markup) return "an XML or HTML text";
  if (absl::StartsWith(text, "{") || absl::StartsWith(text, "["))
    return "a JSON text";
  return "";
}

}  // namespace

absl::string_view FormatName(ImageFormat format) {
  return kFormats[static_cast<int>(format)].name;
}

bool IsBuilt(ImageFormat format) {
  return kFormats[static_cast<int>(format)].built;
}

std::optional<ImageFormat> FormatOf(absl::string_view bytes) {
  if (absl::StartsWith(bytes, "\xff\xd8\xff")) return ImageFormat::kJpeg;
  if (absl::StartsWith(bytes, "\x89PNG\r\n\x1a\n")) return ImageFormat::kPng;
  if (bytes.size() >= 16 && absl::StartsWith(bytes, "RIFF") &&
      absl::StartsWith(bytes.substr(8), "WEBPVP8")) {
    return ImageFormat::kWebp;
  }
  if (absl::StartsWith(bytes, "GIF87a") || absl::StartsWith(bytes, "GIF89a"))
    return ImageFormat::kGif;
  if (IsBmp(bytes)) return ImageFormat::kBmp;
  if (IsPnm(bytes)) return ImageFormat::kPnm;
  if (IsTiff(bytes)) return ImageFormat::kTiff;
  return FormatOfBox(bytes);
}

ImageFormats::ImageFormats() {
  for (const Known& known : kFormats) {
    if (known.built) bits_ |= BitOf(known);
  }
}

ImageFormats ImageFormats::OnByDefault() {
  ImageFormats formats;
  formats.bits_ = 0;
  for (const Known& known : kFormats) {
    if (known.on_by_default) formats.bits_ |= BitOf(known);
  }
  return formats;
}

absl::StatusOr<ImageFormats> ImageFormats::Parse(absl::string_view list) {
  if (absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(list), "all"))
    return ImageFormats();
  ImageFormats formats;
  formats.bits_ = 0;
  for (absl::string_view name : absl::StrSplit(list, ',')) {
    name = absl::StripAsciiWhitespace(name);
    const auto* known = std::find_if(
        std::begin(kFormats), std::end(kFormats), [&](const Known& format) {
          return absl::EqualsIgnoreCase(format.flag, name);
        });
    if (known == std::end(kFormats)) {
      return absl::InvalidArgumentError(absl::StrCat(
          base::Quoted(name), " is no format of images; it must be one of ",
          ImageFormats().List(), ", or all"));
    }
    if (!known->built) {
      return absl::InvalidArgumentError(absl::StrCat(
          base::Quoted(name), " was left out of this build; built are ",
          ImageFormats().List()));
    }
    formats.bits_ |= BitOf(*known);
  }
  return formats;
}

std::string ImageFormats::Names() const {
  std::vector<absl::string_view> names;
  for (const Known& known : kFormats) {
    if (Has(known.format)) names.push_back(known.name);
  }
  const std::string last(names.back());
  names.pop_back();
  return names.empty() ? last
                       : absl::StrCat(absl::StrJoin(names, ", "), " or ", last);
}

std::string ImageFormats::List() const {
  std::vector<absl::string_view> flags;
  for (const Known& known : kFormats) {
    if (Has(known.format)) flags.push_back(known.flag);
  }
  return absl::StrJoin(flags, ",");
}

std::string KindOfImage(absl::string_view bytes) {
  for (const KnownStart& known : kBinary) {
    if (absl::StartsWith(bytes, known.start)) return std::string(known.what);
  }
  const std::string box = KindOfBox(bytes);
  return box.empty() ? KindOfText(bytes) : box;
}

}  // namespace clip
