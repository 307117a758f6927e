#include "clip/checkpoint/zip_directory.h"

#include <zlib.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/little_endian.h"
#include "base/quoted.h"

namespace clip {
namespace {

using Bytes = absl::Span<const uint8_t>;

constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64LocatorSignature = 0x07064b50;
constexpr uint32_t kEnd64Signature = 0x06064b50;
constexpr uint32_t kEntrySignature = 0x02014b50;
constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint64_t kEndSize = 22, kEnd64LocatorSize = 20, kEnd64Size = 56,
                   kEntrySize = 46, kLocalSize = 30;
constexpr uint64_t kMaxComment = 65535;
constexpr uint32_t kIn64 = 0xffffffff;  // "the number is in the zip64 field"

// The part [begin, begin + size) of `bytes`, if it lies inside.
std::optional<Bytes> Part(Bytes bytes, uint64_t begin, uint64_t size) {
  if (begin > bytes.size() || size > bytes.size() - begin) return std::nullopt;
  return bytes.subspan(begin, size);
}

// REQUIRES: offset + size <= bytes.size().
uint64_t Number(Bytes bytes, int offset, int size) {
  return base::LittleEndian(bytes.subspan(offset, size));
}

struct Directory {
  uint64_t entries = 0;
  uint64_t begin = 0;
};

std::optional<Directory> FindDirectory(Bytes file) {
  if (file.size() < kEndSize) return std::nullopt;
  const uint64_t last = file.size() - kEndSize;
  const uint64_t first = last - std::min(last, kMaxComment);
  for (uint64_t at = last + 1; at-- > first;) {
    const Bytes end = file.subspan(at, kEndSize);
    if (Number(end, 0, 4) != kEndSignature) continue;
    if (at >= kEnd64LocatorSize) {
      const Bytes locator =
          file.subspan(at - kEnd64LocatorSize, kEnd64LocatorSize);
      if (Number(locator, 0, 4) == kEnd64LocatorSignature) {
        const std::optional<Bytes> end64 =
            Part(file, Number(locator, 8, 8), kEnd64Size);
        if (!end64 || Number(*end64, 0, 4) != kEnd64Signature)
          return std::nullopt;
        return Directory{Number(*end64, 32, 8), Number(*end64, 48, 8)};
      }
    }
    return Directory{Number(end, 10, 2), Number(end, 16, 4)};
  }
  return std::nullopt;
}

// The zip64 extra field's next number, for each of `numbers` that says so.
void ReadZip64(Bytes extra, std::initializer_list<uint64_t*> numbers) {
  while (extra.size() >= 4) {
    const uint64_t id = Number(extra, 0, 2);
    const std::optional<Bytes> field = Part(extra, 4, Number(extra, 2, 2));
    if (!field) return;
    if (id == 1) {
      Bytes rest = *field;
      for (uint64_t* number : numbers) {
        if (*number != kIn64 || rest.size() < 8) continue;
        *number = Number(rest, 0, 8);
        rest.remove_prefix(8);
      }
      return;
    }
    extra.remove_prefix(4 + field->size());
  }
}

// The bytes behind the local header at `offset`.
std::optional<Bytes> LocalBytes(Bytes file, uint64_t offset, uint64_t size) {
  const std::optional<Bytes> header = Part(file, offset, kLocalSize);
  if (!header || Number(*header, 0, 4) != kLocalSignature) return std::nullopt;
  const uint64_t skip =
      kLocalSize + Number(*header, 26, 2) + Number(*header, 28, 2);
  return Part(file.subspan(offset), skip, size);
}

}  // namespace

uint32_t ZipRecord::Crc32() const {
  return static_cast<uint32_t>(crc32_z(0, bytes.data(), bytes.size()));
}

absl::StatusOr<std::map<std::string, ZipRecord>> ReadZipDirectory(Bytes file) {
  const std::optional<Directory> directory = FindDirectory(file);
  if (!directory) {
    return absl::InvalidArgumentError(
        "no zip directory at the end: not a zip archive, or truncated");
  }
  std::map<std::string, ZipRecord> records;
  uint64_t at = directory->begin;
  for (uint64_t i = 0; i < directory->entries; ++i) {
    const std::optional<Bytes> entry = Part(file, at, kEntrySize);
    if (!entry || Number(*entry, 0, 4) != kEntrySignature) {
      return absl::InvalidArgumentError(
          absl::StrCat("damaged zip directory at entry ", i));
    }
    const uint64_t name_size = Number(*entry, 28, 2);
    const uint64_t extra_size = Number(*entry, 30, 2);
    const std::optional<Bytes> name = Part(file, at + kEntrySize, name_size);
    const std::optional<Bytes> extra =
        Part(file, at + kEntrySize + name_size, extra_size);
    if (!name || !extra) {
      return absl::InvalidArgumentError(
          absl::StrCat("damaged zip directory at entry ", i));
    }
    at += kEntrySize + name_size + extra_size + Number(*entry, 32, 2);

    uint64_t stored_size = Number(*entry, 20, 4);
    uint64_t full_size = Number(*entry, 24, 4);
    uint64_t offset = Number(*entry, 42, 4);
    ReadZip64(*extra, {&full_size, &stored_size, &offset});
    const std::optional<Bytes> bytes = LocalBytes(file, offset, stored_size);
    const std::string text(name->begin(), name->end());
    if (!bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("zip record ", base::Quoted(text),
                       " lies outside the file; is it truncated?"));
    }
    records[text] = {Number(*entry, 10, 2) == 0, *bytes,
                     static_cast<uint32_t>(Number(*entry, 16, 4))};
  }
  return records;
}

}  // namespace clip
