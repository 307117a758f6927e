#include "clip/safetensors.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/little_endian.h"
#include "base/quoted.h"
#include "base/safetensors_header.h"

namespace clip {
namespace {

// The reference implementation's limit.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

std::optional<DType> ParseDType(const std::string& name) {
  static constexpr std::pair<absl::string_view, DType> kNames[] = {
      {"F32", DType::kFloat32},   {"F16", DType::kFloat16},
      {"BF16", DType::kBFloat16}, {"F64", DType::kFloat64},
      {"I64", DType::kInt64},     {"I32", DType::kInt32},
      {"I16", DType::kInt16},     {"I8", DType::kInt8},
      {"U8", DType::kUInt8},      {"BOOL", DType::kBool}};
  for (const auto& [known, dtype] : kNames) {
    if (name == known) return dtype;
  }
  return std::nullopt;
}

absl::Status TensorError(absl::string_view name, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("tensor ", base::Quoted(name), ": ", what));
}

absl::StatusOr<TensorView> ParseTensor(const std::string& name,
                                       const base::SafetensorsEntry& entry,
                                       absl::Span<const uint8_t> data) {
  const std::optional<DType> dtype = ParseDType(entry.dtype);
  if (!dtype)
    return TensorError(
        name, absl::StrCat("unsupported dtype ", base::Quoted(entry.dtype)));
  if (entry.end > static_cast<int64_t>(data.size())) {
    return TensorError(name, absl::StrCat("ends at byte ", entry.end,
                                          " of the data, but the file has ",
                                          data.size(), "; is it truncated?"));
  }
  const std::optional<int64_t> size = TensorByteSize(*dtype, entry.shape);
  if (!size || *size != entry.end - entry.begin) {
    return TensorError(
        name,
        absl::StrCat(entry.dtype, " ", ShapeText(entry.shape),
                     " does not fill bytes ", entry.begin, " to ", entry.end));
  }
  return TensorView{*dtype, entry.shape,
                    data.subspan(entry.begin, entry.end - entry.begin)};
}

// Each byte of the data belongs to exactly one tensor.
absl::Status CheckNoHoles(const TensorMap& tensors,
                          absl::Span<const uint8_t> data) {
  std::vector<std::pair<absl::Span<const uint8_t>, absl::string_view>> ranges;
  for (const auto& [name, tensor] : tensors)
    ranges.emplace_back(tensor.bytes, name);
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.data(), a.first.size()) <
           std::pair(b.first.data(), b.first.size());
  });
  const uint8_t* end = data.data();
  for (const auto& [bytes, name] : ranges) {
    if (bytes.data() != end) {
      return TensorError(
          name, absl::StrCat("starts at byte ", bytes.data() - data.data(),
                             " of the data, expected ", end - data.data()));
    }
    end = bytes.data() + bytes.size();
  }
  const int64_t surplus = data.data() + data.size() - end;
  if (surplus > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(surplus, " bytes after the last tensor"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TensorMap> ParseSafetensors(absl::Span<const uint8_t> file) {
  if (file.size() < 8) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a safetensors file: ", file.size(),
                     " bytes, expected at least 8"));
  }
  const uint64_t header_size = base::LittleEndian(file.first(8));
  if (header_size > kMaxHeaderBytes || header_size > file.size() - 8) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a safetensors file, or truncated: a header of ",
                     header_size, " bytes in a file of ", file.size()));
  }
  const absl::string_view text(reinterpret_cast<const char*>(file.data()) + 8,
                               header_size);
  const absl::StatusOr<base::SafetensorsHeader> header =
      base::ParseSafetensorsHeader(text);
  if (!header.ok()) return header.status();
  const absl::Span<const uint8_t> data = file.subspan(8 + header_size);
  TensorMap tensors;
  for (const auto& [name, entry] : header->tensors) {
    absl::StatusOr<TensorView> tensor = ParseTensor(name, entry, data);
    if (!tensor.ok()) return tensor.status();
    tensors.emplace(name, *std::move(tensor));
  }
  if (absl::Status status = CheckNoHoles(tensors, data); !status.ok())
    return status;
  return tensors;
}

}  // namespace clip
