#include "base/safetensors_header.h"

#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/json_reader.h"
#include "base/quoted.h"

namespace base {
namespace {

constexpr absl::string_view kNotAnObject =
    "expected an object with dtype, shape and data_offsets";
constexpr absl::string_view kNotAllowed =
    "shape or data_offsets are not what the format allows";

absl::Status TensorError(absl::string_view name, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("tensor ", Quoted(name), ": ", what));
}

absl::Status NotAHeader(absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("not a safetensors file: ", what));
}

bool TakeCounts(JsonReader* reader, size_t max_count,
                std::vector<int64_t>* out) {
  return reader->TakeArray([&] {
    uint64_t count = 0;
    if (out->size() == max_count || !reader->TakeUnsigned(&count) ||
        count > uint64_t{std::numeric_limits<int64_t>::max()}) {
      return false;
    }
    out->push_back(static_cast<int64_t>(count));
    return true;
  });
}

// The value of a tensor's name. `wrong`: what is wrong with it if this is
// false.
bool TakeEntry(JsonReader* reader, SafetensorsEntry* out,
               absl::string_view* wrong) {
  *wrong = kNotAnObject;
  bool has_dtype = false, has_shape = false;
  std::vector<int64_t> range;
  const bool taken = reader->TakeObject([&](absl::string_view key) {
    if (key == "dtype") {
      absl::string_view dtype;
      if (std::exchange(has_dtype, true) || !reader->TakeString(&dtype) ||
          dtype.size() > SafetensorsHeader::kMaxNameBytes) {
        return false;
      }
      out->dtype = JsonUnescape(dtype);
      return true;
    }
    if (key != "shape" && key != "data_offsets") return reader->SkipScalar();
    *wrong = kNotAllowed;
    const bool counts =
        key == "shape"
            ? !std::exchange(has_shape, true) &&
                  TakeCounts(reader, SafetensorsHeader::kMaxAxes, &out->shape)
            : range.empty() && TakeCounts(reader, 2, &range);
    if (counts) *wrong = kNotAnObject;
    return counts;
  });
  if (!taken || !has_dtype || !has_shape || range.empty()) return false;
  *wrong = kNotAllowed;
  if (range.size() != 2 || range[0] > range[1]) return false;
  out->begin = range[0];
  out->end = range[1];
  return true;
}

absl::Status TakeTensor(absl::string_view raw_name, JsonReader* reader,
                        SafetensorsHeader* out) {
  if (out->tensors.size() == SafetensorsHeader::kMaxTensors) {
    return NotAHeader(absl::StrCat("it has more than ",
                                   SafetensorsHeader::kMaxTensors, " tensors"));
  }
  if (raw_name.size() > SafetensorsHeader::kMaxNameBytes) {
    return NotAHeader(absl::StrCat(
        "a tensor's name has ", raw_name.size(), " bytes; at most ",
        SafetensorsHeader::kMaxNameBytes, " are allowed"));
  }
  const std::string name = JsonUnescape(raw_name);
  SafetensorsEntry entry;
  absl::string_view wrong;
  if (!TakeEntry(reader, &entry, &wrong)) return TensorError(name, wrong);
  if (!out->tensors.emplace(name, std::move(entry)).second) {
    return TensorError(name, "is there twice");
  }
  return absl::OkStatus();
}

absl::Status TakeMetadata(JsonReader* reader, SafetensorsHeader* out) {
  const bool taken = reader->TakeObject([&](absl::string_view key) {
    absl::string_view text;
    return out->metadata.size() < SafetensorsHeader::kMaxMetadata &&
           key.size() <= SafetensorsHeader::kMaxNameBytes &&
           reader->TakeString(&text) &&
           out->metadata.emplace(JsonUnescape(key), text).second;
  });
  if (taken) return absl::OkStatus();
  return NotAHeader(
      absl::StrCat("its __metadata__ is not an object of at most ",
                   SafetensorsHeader::kMaxMetadata, " texts"));
}

}  // namespace

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(
    absl::string_view json) {
  SafetensorsHeader header;
  absl::Status status;
  bool has_metadata = false;
  JsonReader reader(json);
  const bool is_object = reader.TakeObject([&](absl::string_view key) {
    if (key == "__metadata__") {
      status = std::exchange(has_metadata, true)
                   ? NotAHeader("it has __metadata__ twice")
                   : TakeMetadata(&reader, &header);
    } else {
      status = TakeTensor(key, &reader, &header);
    }
    return status.ok();
  });
  if (!status.ok()) return status;
  if (!is_object || !reader.AtEnd()) {
    return NotAHeader("its header is not a JSON object");
  }
  return header;
}

}  // namespace base
