#include "tests/testing/hostile_images.h"

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <utility>

namespace testing_images {
namespace {

using Outcome = HostileImage::Outcome;

std::string BigEndian(uint32_t value, int size) {
  std::string bytes;
  for (int i = size - 1; i >= 0; --i) {
    bytes += static_cast<char>(value >> (8 * i));
  }
  return bytes;
}

std::string LittleEndian(uint32_t value, int size) {
  std::string bytes = BigEndian(value, size);
  std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

uint32_t Crc(const std::string& data) {
  return crc32_z(0, reinterpret_cast<const Bytef*>(data.data()), data.size());
}

const char kPngSignature[] = "\x89PNG\r\n\x1a\n";

std::string Chunk(const std::string& kind, const std::string& data) {
  return BigEndian(data.size(), 4) + kind + data +
         BigEndian(Crc(kind + data), 4);
}

std::string Header(uint32_t width, uint32_t height, int depth = 8,
                   int colour = 2) {
  const char rest[] = {static_cast<char>(depth), static_cast<char>(colour), 0,
                       0, 0};
  return Chunk("IHDR", BigEndian(width, 4) + BigEndian(height, 4) +
                           std::string(rest, sizeof(rest)));
}

std::string Compressed(const std::string& data) {
  uLongf size = compressBound(data.size());
  std::string packed(size, '\0');
  if (compress(reinterpret_cast<Bytef*>(packed.data()), &size,
               reinterpret_cast<const Bytef*>(data.data()),
               data.size()) != Z_OK) {
    std::abort();
  }
  packed.resize(size);
  return packed;
}

std::string Png(const std::string& header, const std::string& pixels) {
  return kPngSignature + header + Chunk("IDAT", pixels) + Chunk("IEND", "");
}

// Where the chunk of that kind begins.
size_t ChunkAt(const std::string& png, const std::string& kind) {
  return png.find(kind) - 4;
}

std::string Inserted(std::string file, size_t at, const std::string& what) {
  return file.insert(at, what);
}

std::string Replaced(std::string file, size_t at, const std::string& what) {
  return file.replace(at, what.size(), what);
}

// The frame header of a JPEG, behind its marker and length: precision, height,
// width, components.
size_t FrameAt(const std::string& jpeg) {
  for (const char* marker : {"\xff\xc0", "\xff\xc2", "\xff\xc1"}) {
    const size_t at = jpeg.find(marker);
    if (at != jpeg.npos) return at + 4;
  }
  std::abort();
}

std::string Segment(char marker, const std::string& data) {
  return std::string("\xff") + marker + BigEndian(data.size() + 2, 2) + data;
}

class Corpus {
 public:
  explicit Corpus(const std::string& folder) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      std::ifstream file(entry.path(), std::ios::binary);
      sound_[entry.path().filename()] = {std::istreambuf_iterator<char>(file),
                                         {}};
    }
  }

  void Add(const std::string& name, std::string bytes, Outcome outcome,
           std::string like = {}) {
    images_.push_back({name, std::move(bytes), outcome, std::move(like)});
  }

  const std::string& Sound(const std::string& name) { return sound_.at(name); }

  void AddTruncations() {
    for (const auto& [name, bytes] : sound_) {
      const auto has = [&name = name](const char* part) {
        return name.find(part) != std::string::npos;
      };
      // Of these the end is not always needed: later frames, padding, data that
      // libjpeg drops.
      const bool either = has(".gif") || has(".bmp") || has(".tif") ||
                          (has("animated") && has(".png")) || has("restart_");
      for (int i = 1; i < 16; ++i) {
        const size_t size = bytes.size() * i / 16;
        // An end marker of 20 bytes at most.
        Add(name + " cut to " + std::to_string(i) + "/16",
            bytes.substr(0, size),
            either || size + 20 > bytes.size() ? Outcome::kEither
                                               : Outcome::kRefused);
      }
      // An end marker.
      const bool like =
          (has(".jpg") || has(".png")) && !has("arithmetic") && !has("no_iend");
      Add(name + " without its last byte", bytes.substr(0, bytes.size() - 1),
          like     ? Outcome::kLike
          : either ? Outcome::kEither
                   : Outcome::kRefused,
          like ? name : "");
    }
  }

  void AddImpostors() {
    for (const auto& [name, content] : std::map<std::string, std::string>{
             {"nothing", ""},
             {"one byte", "\x89"},
             {"zip", std::string("PK\3\4\24\0\0\0\10\0", 10)},
             {"html", "<!DOCTYPE html><html><body>404</body></html>"},
             {"svg", "<svg xmlns='http://www.w3.org/2000/svg'/>"},
             {"pdf", "%PDF-1.7\n1 0 obj\n"},
             {"gif", "GIF89a\1\0\1\0\x80\1\0"},
             {"script", "#!/bin/sh\nexit 1\n"}}) {
      Add(name, content, Outcome::kRefused);
      Add(name + " behind a PNG's signature", kPngSignature + content,
          Outcome::kRefused);
      Add(name + " behind a JPEG's signature", "\xff\xd8\xff" + content,
          Outcome::kRefused);
      Add(name + " behind a WebP's signature",
          "RIFF" + LittleEndian(content.size() + 12, 4) + "WEBPVP8 " +
              LittleEndian(content.size(), 4) + content,
          Outcome::kRefused);
    }
  }

  void AddSizes() {
    const std::string pixels = Compressed(std::string(1000, '\0'));
    for (const auto& [width, height] :
         std::vector<std::pair<uint32_t, uint32_t>>{{0, 5},
                                                    {5, 0},
                                                    {0, 0},
                                                    {65'500, 65'500},
                                                    {12'801, 10'000},
                                                    {1, 0x7fffffff},
                                                    {0x7fffffff, 1},
                                                    {0x7fffffff, 0x7fffffff},
                                                    {0xffffffff, 0xffffffff},
                                                    {0x80000001, 1}}) {
      const std::string size =
          std::to_string(width) + " x " + std::to_string(height);
      Add("PNG of " + size, Png(Header(width, height), pixels),
          Outcome::kRefusedByHeader);
      const std::string sides = BigEndian(height, 2) + BigEndian(width, 2);
      const bool fits = width <= 0xffff && height <= 0xffff;
      for (const char* name : {"rgb_444.jpg", "progressive.jpg"}) {
        const std::string& jpeg = Sound(name);
        if (fits) {
          Add(std::string(name) + " as " + size,
              Replaced(jpeg, FrameAt(jpeg) + 1, sides),
              Outcome::kRefusedByHeader);
        }
      }
    }
    // Images that are larger or smaller than their data.
    const std::string& png = Sound("rgb_8.png");
    const std::string body = png.substr(ChunkAt(png, "IDAT"));
    const uint32_t side = static_cast<uint8_t>(png[19]);
    const uint32_t height = static_cast<uint8_t>(png[23]);
    Add("PNG with a row too few",
        kPngSignature + Header(side, height + 1) + body, Outcome::kRefused);
    Add("PNG with a row too many",
        kPngSignature + Header(side, height - 1) + body, Outcome::kEither);
    Add("PNG with pixels for one row of 9,000",
        Png(Header(9'000, 9'000, 1, 0), pixels), Outcome::kRefused);
    const std::string& jpeg = Sound("rgb_444.jpg");
    Add("JPEG with rows too few",
        Replaced(jpeg, FrameAt(jpeg) + 1, BigEndian(9'000, 2)),
        Outcome::kRefused);
    // 14 bits a side: more than the limit on pixels.
    std::string webp = Sound("rgb_lossless.webp");
    Add("WebP of 16384 x 16384", Replaced(webp, 21, "\xff\xff\xff\x0f"),
        Outcome::kRefusedByHeader);
    webp = Sound("rgb_lossy.webp");
    Add("WebP of 16383 x 16383", Replaced(webp, 26, "\xff\x3f\xff\x3f"),
        Outcome::kRefusedByHeader);
    webp = Sound("animated.webp");
    Add("animated WebP on a canvas of 2^24 x 1",
        Replaced(webp, 24, std::string("\xff\xff\xff\0\0\0", 6)),
        Outcome::kRefused);
    Add("animated WebP on a canvas of 2^24 x 2^24",
        Replaced(webp, 24, std::string(6, '\xff')), Outcome::kRefusedByHeader);
  }

  void AddPngChunks() {
    const std::string name = "rgb_8.png";
    const std::string& png = Sound(name);
    const size_t after_header = 8 + 25, at_pixels = ChunkAt(png, "IDAT");
    const auto with = [&](const std::string& what, size_t at,
                          const std::string& chunk, Outcome outcome) {
      Add("PNG with " + what, Inserted(png, at, chunk), outcome,
          outcome == Outcome::kLike ? name : "");
    };
    const std::string bomb =
        Compressed(std::string(64 << 20, '\0'));  // some 64 KB
    with("a profile of 64 MB", after_header,
         Chunk("iCCP", std::string("x\0\0", 3) + bomb), Outcome::kLike);
    with("a text of 64 MB", after_header,
         Chunk("zTXt", std::string("x\0\0", 3) + bomb), Outcome::kLike);
    with("2 MB of EXIF", after_header, Chunk("eXIf", std::string(2 << 20, 'M')),
         Outcome::kLike);
    std::string many;
    for (int i = 0; i < 20'000; ++i) many += Chunk("tEXt", "a");
    with("20,000 texts", after_header, many, Outcome::kLike);
    std::string empty;
    for (int i = 0; i < 1'000; ++i) empty += Chunk("IDAT", "");
    with("1,000 empty parts", at_pixels, empty, Outcome::kLike);
    with("a chunk in front", 8, Chunk("tEXt", "a"), Outcome::kRefused);
    with("a second header", after_header, Header(60'000, 60'000),
         Outcome::kRefused);
    with("an unknown critical chunk", after_header, Chunk("ABCD", "x"),
         Outcome::kRefused);
    with("a chunk of 2 GB", after_header, "\x7f\xff\xff\xfftEXt",
         Outcome::kRefused);
    const std::string& palette = Sound("palette_8.png");
    const size_t begin = ChunkAt(palette, "PLTE");
    std::string without = palette;
    without.erase(begin, ChunkAt(palette, "IDAT") - begin);
    Add("PNG without its palette", without, Outcome::kRefused);
    Add("PNG with a palette of 3 bytes too many",
        Inserted(without, begin, Chunk("PLTE", std::string(771, 'x'))),
        Outcome::kRefused);
    Add("PNG whose last checksum is wrong",
        Replaced(png, png.size() - 13,
                 std::string(1, png[png.size() - 13] ^ 1)),
        Outcome::kRefused);
    Add("PNG whose pixels are no zlib stream",
        Png(Header(4, 4), std::string(60, 'x')), Outcome::kRefused);
    for (int depth = 0; depth <= 32; ++depth) {
      for (int colour = 0; colour <= 7; ++colour) {
        const bool known = (colour == 2 || colour == 4 || colour == 6) &&
                           (depth == 8 || depth == 16);
        const bool low = (colour == 0 || colour == 3) &&
                         (depth == 1 || depth == 2 || depth == 4 ||
                          depth == 8 || (depth == 16 && colour == 0));
        if (known || low) continue;
        Add("PNG of colour type " + std::to_string(colour) + " and " +
                std::to_string(depth) + " bits",
            Png(Header(4, 4, depth, colour), Compressed(std::string(200, 1))),
            Outcome::kRefused);
      }
    }
  }

  void AddJpegSegments() {
    const std::string name = "rgb_420.jpg";
    const std::string& jpeg = Sound(name);
    std::string exif;
    for (int i = 0; i < 40; ++i) {
      exif += Segment('\xe1',
                      std::string("Exif\0\0", 6) + std::string(65'000, 'x'));
    }
    Add("JPEG with 2.6 MB of EXIF", Inserted(jpeg, 2, exif), Outcome::kLike,
        name);
    std::string profile;
    for (int i = 0; i < 40; ++i) {
      profile += Segment('\xe2', std::string("ICC_PROFILE\0\1\1", 14) +
                                     std::string(65'000, 'x'));
    }
    Add("JPEG with 2.6 MB of profile", Inserted(jpeg, 2, profile),
        Outcome::kLike, name);
    Add("JPEG with text behind its end", jpeg + std::string(100'000, 'x'),
        Outcome::kLike, name);
    Add("JPEG with fill bytes", Inserted(jpeg, 2, std::string(1000, '\xff')),
        Outcome::kLike, name);
    const size_t frame = FrameAt(jpeg);
    Add("JPEG of 12 bits", Replaced(jpeg, frame, "\xc"), Outcome::kRefused);
    Add("JPEG of 2 components", Replaced(jpeg, frame + 5, "\2"),
        Outcome::kRefused);
    Add("JPEG of 255 components", Replaced(jpeg, frame + 5, "\xff"),
        Outcome::kRefused);
    Add("JPEG with sampling 15 x 15", Replaced(jpeg, frame + 7, "\xff"),
        Outcome::kRefused);
    // Adobe's word on what the four inks are.
    for (const char* inks : {"cmyk.jpg", "ycck.jpg", "cmyk_progressive.jpg"}) {
      const std::string& file = Sound(inks);
      const size_t adobe = file.find("Adobe");
      for (const char transform : {0, 1, 2, 3, 127}) {
        Add(std::string(inks) + " with transform " + std::to_string(transform),
            Replaced(file, adobe + 11, std::string(1, transform)),
            Outcome::kEither);
      }
    }
    const std::string& inks = Sound("cmyk.jpg");
    Add("three components said to be YCCK",
        Inserted(jpeg, 2, inks.substr(inks.find("Adobe") - 4, 16)),
        Outcome::kEither);
  }

  void AddFlips() {
    std::mt19937 random(1);
    for (const auto& [name, bytes] : sound_) {
      for (int i = 0; i < 8; ++i) {
        std::string flipped = bytes;
        const size_t reach =
            i % 2 == 0 ? bytes.size() : std::min<size_t>(bytes.size(), 100);
        flipped[random() % reach] ^= static_cast<char>(1 << random() % 8);
        Add(name + " with a bit flipped", flipped, Outcome::kEither);
      }
    }
  }

  std::vector<HostileImage> Take() { return std::move(images_); }

 private:
  std::map<std::string, std::string> sound_;
  std::vector<HostileImage> images_;
};

}  // namespace

std::vector<HostileImage> HostileImages(const std::string& folder) {
  Corpus corpus(folder);
  corpus.AddTruncations();
  corpus.AddImpostors();
  corpus.AddSizes();
  corpus.AddPngChunks();
  corpus.AddJpegSegments();
  corpus.AddFlips();
  return corpus.Take();
}

}  // namespace testing_images
