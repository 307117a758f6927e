#include "clip/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "clip/checkpoint/mapped_file.h"
#include "clip/quoted.h"
#include "nlohmann/json.hpp"

namespace clip {
namespace {

using nlohmann::json;

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

// A JSON array of counts; nothing if it is anything else.
std::optional<std::vector<int64_t>> ParseCounts(const json& array) {
  if (!array.is_array()) return std::nullopt;
  std::vector<int64_t> counts;
  for (const json& item : array) {
    if (!item.is_number_unsigned()) return std::nullopt;
    const uint64_t count = item.get<uint64_t>();
    if (count > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      return std::nullopt;
    counts.push_back(static_cast<int64_t>(count));
  }
  return counts;
}

absl::Status TensorError(absl::string_view name, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("tensor ", Quoted(name), ": ", what));
}

absl::StatusOr<TensorView> ParseTensor(const std::string& name,
                                       const json& entry,
                                       absl::Span<const uint8_t> data) {
  if (!entry.is_object() || !entry.contains("dtype") ||
      !entry["dtype"].is_string() || !entry.contains("shape") ||
      !entry.contains("data_offsets")) {
    return TensorError(name,
                       "expected an object with dtype, shape and data_offsets");
  }
  const std::string dtype_name = entry["dtype"].get<std::string>();
  const std::optional<DType> dtype = ParseDType(dtype_name);
  if (!dtype)
    return TensorError(name,
                       absl::StrCat("unsupported dtype ", Quoted(dtype_name)));
  const auto shape = ParseCounts(entry["shape"]);
  const auto range = ParseCounts(entry["data_offsets"]);
  if (!shape || !range || range->size() != 2 || (*range)[0] > (*range)[1]) {
    return TensorError(name,
                       "shape or data_offsets are not what the format allows");
  }
  const auto [begin, end] = std::pair((*range)[0], (*range)[1]);
  if (end > static_cast<int64_t>(data.size())) {
    return TensorError(name, absl::StrCat("ends at byte ", end,
                                          " of the data, but the file has ",
                                          data.size(), "; is it truncated?"));
  }
  const std::optional<int64_t> size = TensorByteSize(*dtype, *shape);
  if (!size || *size != end - begin) {
    return TensorError(
        name, absl::StrCat(dtype_name, " ", ShapeText(*shape),
                           " does not fill bytes ", begin, " to ", end));
  }
  return TensorView{*dtype, *shape, data.subspan(begin, end - begin)};
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
  uint64_t header_size = 0;
  for (int i = 0; i < 8; ++i) header_size |= uint64_t{file[i]} << (8 * i);
  if (header_size > kMaxHeaderBytes || header_size > file.size() - 8) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a safetensors file, or truncated: a header of ",
                     header_size, " bytes in a file of ", file.size()));
  }
  const char* text = reinterpret_cast<const char*>(file.data()) + 8;
  const json header = json::parse(text, text + header_size, nullptr,
                                  /*allow_exceptions=*/false);
  if (!header.is_object()) {
    return absl::InvalidArgumentError(
        "not a safetensors file: its header is not a JSON object");
  }
  const absl::Span<const uint8_t> data = file.subspan(8 + header_size);
  TensorMap tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    absl::StatusOr<TensorView> tensor = ParseTensor(name, entry, data);
    if (!tensor.ok()) return tensor.status();
    tensors.emplace(name, *std::move(tensor));
  }
  if (absl::Status status = CheckNoHoles(tensors, data); !status.ok())
    return status;
  return tensors;
}

absl::StatusOr<TensorFile> ReadSafetensors(const std::string& path) {
  auto file = MappedFile::Open(path);
  if (!file.ok()) return file.status();
  absl::StatusOr<TensorMap> tensors = ParseSafetensors((*file)->bytes());
  if (!tensors.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", BaseName(path), "': ", tensors.status().message()));
  }
  return TensorFile{*std::move(tensors), {*std::move(file)}};
}

}  // namespace clip
