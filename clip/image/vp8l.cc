#include "clip/image/vp8l.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "clip/image/vp8l_transforms.h"

namespace clip {
namespace {

constexpr int kLiterals = 256, kLengths = 24, kDistances = 40;
constexpr int kMaxDistance = 1 << 20;
// Pixels held; those that copies may reach are kept.
constexpr int64_t kWindow = 2 * kMaxDistance;
// Of the tables of all codes. libwebp's encoder writes 2,600 groups at most, of
// some 5 KB each.
constexpr int64_t kMaxTableBytes = int64_t{32} << 20;

int Tiles(int size, int bits) { return (size + (1 << bits) - 1) >> bits; }

// Lengths and distances: a prefix, and bits that follow it.
uint32_t ReadCopied(uint32_t prefix, Vp8lBits* bits) {
  if (prefix < 4) return prefix + 1;
  const int more = static_cast<int>(prefix - 2) >> 1;
  return ((2 + (prefix & 1)) << more) + bits->Read(more) + 1;
}

// The first 120 distances are neighbours: 16 x rows above + 8 - columns right.
constexpr uint8_t kNeighbours[120] = {
    0x18, 0x07, 0x17, 0x19, 0x28, 0x06, 0x27, 0x29, 0x16, 0x1a, 0x26, 0x2a,
    0x38, 0x05, 0x37, 0x39, 0x15, 0x1b, 0x36, 0x3a, 0x25, 0x2b, 0x48, 0x04,
    0x47, 0x49, 0x14, 0x1c, 0x35, 0x3b, 0x46, 0x4a, 0x24, 0x2c, 0x58, 0x45,
    0x4b, 0x34, 0x3c, 0x03, 0x57, 0x59, 0x13, 0x1d, 0x56, 0x5a, 0x23, 0x2d,
    0x44, 0x4c, 0x55, 0x5b, 0x33, 0x3d, 0x68, 0x02, 0x67, 0x69, 0x12, 0x1e,
    0x66, 0x6a, 0x22, 0x2e, 0x54, 0x5c, 0x43, 0x4d, 0x65, 0x6b, 0x32, 0x3e,
    0x78, 0x01, 0x77, 0x79, 0x53, 0x5d, 0x11, 0x1f, 0x64, 0x6c, 0x42, 0x4e,
    0x76, 0x7a, 0x21, 0x2f, 0x75, 0x7b, 0x31, 0x3f, 0x63, 0x6d, 0x52, 0x5e,
    0x00, 0x74, 0x7c, 0x41, 0x4f, 0x10, 0x20, 0x62, 0x6e, 0x30, 0x73, 0x7d,
    0x51, 0x5f, 0x40, 0x72, 0x7e, 0x61, 0x6f, 0x50, 0x71, 0x7f, 0x60, 0x70};

int64_t Distance(uint32_t code, int width) {
  if (code > 120) return code - 120;
  const int neighbour = kNeighbours[code - 1];
  return std::max<int64_t>(
      1, int64_t{neighbour >> 4} * width + 8 - (neighbour & 15));
}

}  // namespace

int64_t Vp8lReader::BytesFor(int width, int height, int64_t file_bytes) {
  const int64_t pixels = int64_t{width} * height;
  // Transforms' images and tiles' groups: one of 16 pixels has a word in each.
  return 4 * std::min(pixels, kWindow + width) + pixels * 3 / 4 +
         16 * int64_t{width} +
         // A group takes 20 bits of the file at least.
         std::min({128 * file_bytes, 1280 * pixels, kMaxTableBytes}) +
         (64 << 10);
}

bool Vp8lReader::Read(absl::FunctionRef<void(const uint32_t*)> on_row) {
  constexpr uint32_t kSignature = 0x2f;
  if (bits_.Read(8) != kSignature) return false;
  bits_.Read(14);  // width and height are known
  bits_.Read(14);
  bits_.Read(1);  // a hint whether there is alpha
  if (bits_.Read(3) != 0) return false;
  int width = width_;
  unsigned seen = 0;
  while (bits_.Read(1) == 1) {
    const unsigned kind = bits_.Read(2);
    if (seen & 1u << kind) return false;
    seen |= 1u << kind;
    transforms_.push_back(
        {.kind = static_cast<Kind>(kind), .data = {}, .before = {}});
    if (!ReadTransform(&width)) return false;
  }
  Coded coded{.width = width,
              .height = height_,
              .cache = {},
              .groups_of_tiles = {},
              .groups = {},
              .tables = {}};
  if (!ReadCodes(/*tiles_allowed=*/true, &coded)) return false;
  row_.resize(width_);
  int y = 0;
  return ReadPixels(&coded, [&](const uint32_t* pixels) {
    if (!run_->Continue(width_)) return false;
    std::copy_n(pixels, width, row_.begin());
    for (size_t i = transforms_.size(); i > 0; --i)
      Undo(&transforms_[i - 1], y);
    ++y;
    on_row(row_.data());
    return true;
  });
}

bool Vp8lReader::ReadTransform(int* width) {
  Transform& transform = transforms_.back();
  transform.width = *width;
  switch (transform.kind) {
    case kPredictor:
      transform.before.resize(*width + 1);
      [[fallthrough]];
    case kCrossColor:
      transform.bits = 2 + static_cast<int>(bits_.Read(3));
      return ReadSmallImage(Tiles(*width, transform.bits),
                            Tiles(height_, transform.bits), &transform.data);
    case kSubtractGreen:
      return true;
    case kColorIndexing:
      break;
  }
  const int colors = 1 + static_cast<int>(bits_.Read(8));
  transform.bits = colors > 16 ? 0 : colors > 4 ? 1 : colors > 2 ? 2 : 3;
  *width = Tiles(*width, transform.bits);
  if (!ReadSmallImage(colors, 1, &transform.data)) return false;
  // Each colour is what it adds to the one before; those beyond are empty.
  for (int i = 1; i < colors; ++i) {
    transform.data[i] = AddPixels(transform.data[i], transform.data[i - 1]);
  }
  transform.data.resize(256);
  return true;
}

bool Vp8lReader::ReadSmallImage(int width, int height,
                                std::vector<uint32_t>* pixels) {
  Coded coded{.width = width,
              .height = height,
              .cache = {},
              .groups_of_tiles = {},
              .groups = {},
              .tables = {}};
  if (!ReadCodes(/*tiles_allowed=*/false, &coded)) return false;
  pixels->reserve(size_t{1} * width * height);
  return ReadPixels(&coded, [&](const uint32_t* row) {
    if (!run_->Continue(width)) return false;
    pixels->insert(pixels->end(), row, row + width);
    return true;
  });
}

bool Vp8lReader::ReadCodes(bool tiles_allowed, Coded* coded) {
  if (bits_.Read(1) == 1) {
    coded->cache_bits = static_cast<int>(bits_.Read(4));
    if (coded->cache_bits < 1 || coded->cache_bits > 11) return false;
    coded->cache.resize(size_t{1} << coded->cache_bits);
  }
  if (tiles_allowed && bits_.Read(1) == 1) {
    coded->tile_bits = 2 + static_cast<int>(bits_.Read(3));
    if (!ReadSmallImage(Tiles(coded->width, coded->tile_bits),
                        Tiles(coded->height, coded->tile_bits),
                        &coded->groups_of_tiles)) {
      return false;
    }
  }
  return ReadGroups(coded);
}

bool Vp8lReader::ReadGroups(Coded* coded) {
  // Only groups that a tile names are kept; the others are read all the same.
  uint32_t count = 1;
  for (uint32_t& tile : coded->groups_of_tiles) {
    tile = tile >> 8 & 0xffff;
    count = std::max(count, tile + 1);
  }
  constexpr uint32_t kUnused = ~uint32_t{0};
  std::vector<uint32_t> places(count, kUnused);
  if (coded->groups_of_tiles.empty()) places[0] = 0;
  for (const uint32_t tile : coded->groups_of_tiles) places[tile] = 0;
  const int sizes[5] = {
      kLiterals + kLengths + static_cast<int>(coded->cache.size()), kLiterals,
      kLiterals, kLiterals, kDistances};
  std::vector<uint8_t> lengths;
  std::vector<Vp8lCode::Entry> dropped;
  for (uint32_t& place : places) {
    if (!run_->Continue(2'000)) return false;
    const bool used = place != kUnused;
    Group group;
    for (int i = 0; i < 5; ++i) {
      dropped.clear();
      if (!ReadVp8lLengths(sizes[i], &bits_, &lengths) ||
          !group.codes[i].Build(lengths, used ? &coded->tables : &dropped) ||
          coded->tables.size() * sizeof(Vp8lCode::Entry) > kMaxTableBytes) {
        return false;
      }
    }
    if (!used) continue;
    SetFlat(coded->tables.data(), &group);
    place = static_cast<uint32_t>(coded->groups.size());
    coded->groups.push_back(group);
  }
  for (uint32_t& tile : coded->groups_of_tiles) tile = places[tile];
  return true;
}

void Vp8lReader::SetFlat(const Vp8lCode::Entry* tables, Group* group) {
  uint32_t words[4];
  for (int i = 0; i < 4; ++i) {
    if (!group->codes[i].one_word()) return;
    words[i] = group->codes[i].Read(tables, &bits_);  // takes no bits
  }
  group->flat = words[0] < kLiterals;
  group->color = words[3] << 24 | words[1] << 16 | words[0] << 8 | words[2];
}

bool Vp8lReader::ReadPixels(Coded* coded, OnRow on_row) {
  const int width = coded->width;
  const int64_t total = int64_t{width} * coded->height;
  const Vp8lCode::Entry* const tables = coded->tables.data();
  uint32_t* const cache = coded->cache_bits > 0 ? coded->cache.data() : nullptr;
  const int shift = 32 - coded->cache_bits;
  const auto remember = [&](uint32_t pixel) {
    if (cache != nullptr) cache[0x1e35a7bdu * pixel >> shift] = pixel;
  };
  const int tiles_across = Tiles(width, coded->tile_bits);
  const int tile_mask =
      coded->tile_bits == 0 ? ~0 : (1 << coded->tile_bits) - 1;
  // The pixels from number `begin` on, a whole number of rows of them done.
  std::vector<uint32_t> window(std::min(total, kWindow + width));
  int64_t at = 0, shown = 0;  // in the window
  int64_t left = total;
  int x = 0, y = 0;
  const Group* group = coded->groups.data();
  const auto find_group = [&] {
    if (coded->tile_bits == 0 || y >= coded->height) return;
    const size_t tile = size_t{1} * (y >> coded->tile_bits) * tiles_across +
                        (x >> coded->tile_bits);
    group = &coded->groups[coded->groups_of_tiles[tile]];
  };
  // Shows what rows are complete, and makes room for another.
  const auto end_rows = [&] {
    for (; x >= width; x -= width, ++y, shown += width) {
      if (bits_.past_end() || !on_row(&window[shown])) return false;
    }
    const int64_t size = static_cast<int64_t>(window.size());
    if (size - at < std::min<int64_t>(left, width) && at > kMaxDistance) {
      const int64_t keep = std::max<int64_t>(kMaxDistance, at - shown);
      std::copy(window.begin() + (at - keep), window.begin() + at,
                window.begin());
      shown -= at - keep;
      at = keep;
    }
    return true;
  };
  find_group();
  while (left > 0) {
    if (group->flat) {  // to the end of the row or tile
      const int end =
          coded->tile_bits == 0 ? width : std::min(width, (x | tile_mask) + 1);
      std::fill_n(window.begin() + at, end - x, group->color);
      remember(group->color);
      at += end - x;
      left -= end - x;
      x = end;
      if (x == width && !end_rows()) return false;
      find_group();
      continue;
    }
    bits_.Fill();
    const uint32_t code = group->codes[0].Read(tables, &bits_);
    if (code < kLiterals + kLengths && code >= kLiterals) {
      int64_t length = ReadCopied(code - kLiterals, &bits_);
      bits_.Fill();
      const uint32_t prefix = group->codes[4].Read(tables, &bits_);
      const int64_t distance = Distance(ReadCopied(prefix, &bits_), width);
      if (distance > total - left || length > left || distance > at) {
        return false;
      }
      left -= length;
      while (length > 0) {
        const int64_t room =
            std::min<int64_t>(length, static_cast<int64_t>(window.size()) - at);
        for (int64_t i = 0; i < room; ++i, ++at) {
          window[at] = window[at - distance];
          remember(window[at]);
        }
        length -= room;
        x += static_cast<int>(room);
        if (x >= width || room == 0) {
          left += length;  // what is still to come wants room
          if (!end_rows()) return false;
          left -= length;
        }
      }
      find_group();
      continue;
    }
    uint32_t pixel;
    if (code < kLiterals) {
      const uint32_t red = group->codes[1].Read(tables, &bits_);
      bits_.Fill();
      const uint32_t blue = group->codes[2].Read(tables, &bits_);
      const uint32_t alpha = group->codes[3].Read(tables, &bits_);
      pixel = alpha << 24 | red << 16 | code << 8 | blue;
    } else {
      const uint32_t key = code - kLiterals - kLengths;
      if (key >= coded->cache.size()) return false;
      pixel = cache[key];
    }
    remember(pixel);
    window[at++] = pixel;
    --left;
    ++x;
    if (x == width && !end_rows()) return false;
    if ((x & tile_mask) == 0) find_group();
  }
  return !bits_.past_end();
}

void Vp8lReader::Undo(Transform* transform, int y) {
  uint32_t* const row = row_.data();
  const int width = transform->width, bits = transform->bits;
  const auto tiles = [&] {
    return &transform->data[size_t{1} * (y >> bits) * Tiles(width, bits)];
  };
  switch (transform->kind) {
    case kPredictor:
      UndoPredictor(tiles(), bits, y == 0, width, transform->before.data(),
                    row);
      break;
    case kCrossColor:
      UndoCrossColor(tiles(), bits, width, row);
      break;
    case kSubtractGreen:
      UndoSubtractGreen(width, row);
      break;
    case kColorIndexing:
      UndoColorIndexing(transform->data.data(), bits, width, row);
      break;
  }
}

}  // namespace clip
