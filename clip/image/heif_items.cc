#include "clip/image/heif_items.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "clip/image/bytes.h"
#include "clip/image/codecs.h"
#include "clip/image/hevc_size.h"

namespace clip {
namespace {

constexpr size_t kMostParts = 4'096;

struct Box {
  absl::string_view type, content;
};

// The box at the beginning of `bytes`, which it takes off; none if there is no
// whole one.
std::optional<Box> NextBox(absl::string_view* bytes) {
  const ByteReader number(*bytes, /*big_endian=*/true);
  if (bytes->size() < 8) return std::nullopt;
  size_t head = 8;
  uint64_t size = number.U32(0);
  if (size == 0) size = bytes->size();  // to the end
  if (size == 1) {
    head = 16;
    size = number.U64(8);
  }
  if (size < head || size > bytes->size()) return std::nullopt;
  const Box box = {bytes->substr(4, 4), bytes->substr(head, size - head)};
  bytes->remove_prefix(size);
  return box;
}

class Items {
 public:
  bool Read(absl::string_view file) {
    while (const std::optional<Box> box = NextBox(&file)) {
      // Another would be read instead by some.
      if (box->type == "meta" && std::exchange(has_meta_, true)) return false;
      if (box->type == "meta" && !ReadMeta(box->content)) return false;
    }
    return has_meta_;
  }

  std::string TypeOf(uint32_t id) const {
    const auto found = types_.find(id);
    return found == types_.end() ? "" : found->second;
  }
  const std::map<uint32_t, std::string>& types() const { return types_; }
  uint32_t main() const { return main_; }

  struct Part {
    uint32_t of, item;
  };
  const std::vector<Part>& parts() const { return parts_; }

  // Of those that are in parts only the last is told.
  struct Place {
    uint32_t item = 0;
    int method = 0;  // 0: in the file, 1: in idat()
    uint32_t parts = 0;
    uint64_t offset = 0, size = 0;
  };
  const std::vector<Place>& places() const { return places_; }
  absl::string_view idat() const { return idat_; }
  int64_t largest_frame() const { return largest_frame_; }

 private:
  bool ReadMeta(absl::string_view content) {
    if (content.size() < 4) return false;
    content.remove_prefix(4);  // version and flags
    while (const std::optional<Box> box = NextBox(&content)) {
      const ByteReader number(box->content, /*big_endian=*/true);
      const uint32_t version = number.U8(0);
      if (box->type == "pitm") {
        main_ = version == 0 ? number.U16(4) : number.U32(4);
      } else if (box->type == "iinf") {
        if (box->content.size() < 8) return false;
        absl::string_view entries = box->content.substr(version == 0 ? 6 : 8);
        while (const std::optional<Box> entry = NextBox(&entries))
          ReadEntry(*entry);
      } else if (box->type == "iprp") {
        absl::string_view properties = box->content;
        while (const std::optional<Box> box2 = NextBox(&properties)) {
          absl::string_view list = box2->content;
          if (box2->type != "ipco") continue;
          while (const std::optional<Box> property = NextBox(&list)) {
            if (property->type == "hvcC" && !ReadHeader(property->content))
              return false;
          }
        }
      } else if (box->type == "iloc") {
        if (!ReadPlaces(box->content)) return false;
      } else if (box->type == "idat") {
        idat_ = box->content;
      } else if (box->type == "iref") {
        if (box->content.size() < 4) return false;
        absl::string_view references = box->content.substr(4);
        while (const std::optional<Box> box2 = NextBox(&references))
          ReadReference(*box2, version == 0 ? 2 : 4);
      }
    }
    return true;
  }

  void ReadEntry(const Box& entry) {
    const ByteReader number(entry.content, /*big_endian=*/true);
    const bool wide = number.U8(0) >= 3;
    if (entry.type != "infe" || entry.content.size() < (wide ? 14 : 12)) return;
    types_[wide ? number.U32(4) : number.U16(4)] =
        std::string(entry.content.substr(wide ? 10 : 8, 4));
  }

  void ReadReference(const Box& box, size_t size) {
    if (box.type != "dimg") return;
    const ByteReader number(box.content, /*big_endian=*/true);
    const auto id = [&](size_t at) {
      return size == 2 ? number.U16(at) : number.U32(at);
    };
    const uint32_t count = number.U16(size);
    for (uint32_t i = 0; i < count && parts_.size() <= kMostParts; ++i)
      parts_.push_back({id(0), id(size + 2 + i * size)});
  }

  // HEVC's parameter sets, in front of all items that have this property.
  bool ReadHeader(absl::string_view content) {
    const ByteReader number(content, /*big_endian=*/true);
    // Lengths of units have 4 bytes.
    if (content.size() < 23 || (number.U8(21) & 3) != 3) return false;
    size_t at = 23;
    for (uint32_t lists = number.U8(22); lists > 0; --lists) {
      const uint32_t units = number.U16(at + 1);
      at += 3;
      for (uint32_t i = 0; i < units; ++i) {
        const size_t size = number.U16(at);
        at += 2;
        if (at > content.size() || size > content.size() - at) return false;
        const absl::string_view unit = content.substr(at, size);
        at += size;
        if (HevcUnitType(unit) != kHevcSequence) continue;
        const std::optional<int64_t> pixels = HevcPixels(unit);
        if (!pixels.has_value()) return false;
        largest_frame_ = std::max(largest_frame_, *pixels);
      }
    }
    return true;
  }

  // Where items lie: an offset and a length each.
  bool ReadPlaces(absl::string_view content) {
    const ByteReader number(content, /*big_endian=*/true);
    const uint32_t version = number.U8(0);
    if (version > 2) return false;
    const int sizes[] = {
        static_cast<int>(number.U8(4) >> 4),
        static_cast<int>(number.U8(4) & 15),
        static_cast<int>(number.U8(5) >> 4),
        version == 0 ? 0 : static_cast<int>(number.U8(5) & 15)};
    for (const int size : sizes) {
      if (size != 0 && size != 4 && size != 8) return false;
    }
    size_t at = 6;
    const auto next = [&](int size) -> uint64_t {
      const uint64_t value = size == 0   ? 0
                             : size == 2 ? number.U16(at)
                             : size == 4 ? number.U32(at)
                                         : number.U64(at);
      at += size;
      return value;
    };
    const int id_size = version < 2 ? 2 : 4;
    for (uint64_t items = next(id_size); items > 0; --items) {
      if (at >= content.size()) return false;
      Place place;
      place.item = static_cast<uint32_t>(next(id_size));
      place.method = version == 0 ? 0 : static_cast<int>(next(2) & 15);
      at += 2;  // of which file: this one
      const uint64_t base = next(sizes[2]);
      place.parts = static_cast<uint32_t>(next(2));
      for (uint32_t i = 0; i < place.parts; ++i) {
        if (at >= content.size()) return false;
        next(sizes[3]);
        place.offset = base + next(sizes[0]);
        place.size = next(sizes[1]);
      }
      places_.push_back(place);
    }
    return true;
  }

  bool has_meta_ = false;
  std::vector<Place> places_;
  absl::string_view idat_;
  int64_t largest_frame_ = 0;
  uint32_t main_ = 0;
  std::map<uint32_t, std::string> types_;
  std::vector<Part> parts_;  // of images that are made of others
};

absl::Status NotRead(absl::string_view what) {
  return base::WithReason(
      absl::InvalidArgumentError(
          absl::StrCat("image is a HEIC file ", what,
                       ", which is not read: send a plain one, or a JPEG")),
      base::kImageNotSupported);
}

// That the units of an image, each behind its length, have no size of their own
// for frames, in place of that in front of them.
absl::Status CheckUnits(absl::string_view data, int64_t* units) {
  constexpr int64_t kMostUnits = 1'000'000;
  while (data.size() > 4) {
    const uint32_t size = ByteReader(data, /*big_endian=*/true).U32(0);
    data.remove_prefix(4);
    if (size > data.size() || ++*units > kMostUnits)
      return DamagedImage("HEIC", "its HEVC data does not fit its lengths");
    if (HevcUnitType(data.substr(0, size)) == kHevcSequence)
      return DamagedImage("HEIC", "its HEVC data says another size");
    data.remove_prefix(size);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int64_t> LargestHeifFrame(absl::string_view bytes) {
  Items items;
  if (!items.Read(bytes))
    return DamagedImage("HEIC", "it has no list of its items, or several");
  const std::string main = items.TypeOf(items.main());
  if (main != "hvc1" && main != "grid") {
    return NotRead(absl::StrCat("whose main image is of the kind '",
                                absl::CHexEscape(main), "'"));
  }
  for (const auto& [id, type] : items.types()) {
    if (type == "iovl" || type == "iden")
      return NotRead(absl::StrCat("with images made of others ('", type, "')"));
  }
  if (items.parts().size() > kMostParts) {
    return NotRead(
        absl::StrCat("of grids with more than ", kMostParts, " parts"));
  }
  for (const Items::Part& part : items.parts()) {
    if (items.TypeOf(part.of) == "grid" && items.TypeOf(part.item) != "hvc1")
      return NotRead("of a grid whose parts are no HEVC images");
  }
  int64_t units = 0;
  for (const Items::Place& place : items.places()) {
    if (items.TypeOf(place.item) != "hvc1") continue;
    const absl::string_view in = place.method == 1 ? items.idat() : bytes;
    if (place.method > 1 || place.parts != 1 || place.offset > in.size() ||
        place.size < 1 || place.size > in.size() - place.offset) {
      return DamagedImage("HEIC",
                          "an image of it is in parts, or outside of the file");
    }
    absl::Status status =
        CheckUnits(in.substr(place.offset, place.size), &units);
    if (!status.ok()) return status;
  }
  if (items.largest_frame() == 0)
    return DamagedImage("HEIC", "it does not say how large its frames are");
  return items.largest_frame();
}

}  // namespace clip
