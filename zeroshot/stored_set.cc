#include "zeroshot/stored_set.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "clip/sha256.h"
#include "nlohmann/json.hpp"

namespace zeroshot {
namespace {

using nlohmann::json;

constexpr absl::string_view kFormat = "zeroshot-weight-set-1";

// More than 200,000 classes with long names need; far less than memory.
constexpr int64_t kMaxHeaderBytes = int64_t{1} << 30;

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("a stored weight set ", what));
}

std::string Sha256Of(absl::string_view bytes) {
  clip::Sha256 hash;
  hash.Update(bytes);
  return hash.HexDigest();
}

// Of every metadata field but the checksum itself, in the order of names.
std::string Checksum(const json& metadata) {
  clip::Sha256 hash;
  for (const auto& [name, value] : metadata.items()) {
    if (name == "checksum") continue;
    hash.UpdateField(name);
    hash.UpdateField(value.get_ref<const std::string&>());
  }
  return hash.HexDigest();
}

// Text that is not UTF-8 cannot stand in JSON; the wire lets none in.
std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// The fields are strings, as safetensors demands; false if one is not there
// or not what it should be.
bool ReadText(const json& metadata, const char* name, std::string* out) {
  const auto it = metadata.find(name);
  if (it == metadata.end()) return false;
  *out = it->get<std::string>();
  return true;
}

bool ReadNumber(const json& metadata, const char* name, int64_t* out) {
  std::string text;
  return ReadText(metadata, name, &text) && absl::SimpleAtoi(text, out);
}

bool ToTexts(const json& list, std::vector<std::string>* out) {
  if (!list.is_array()) return false;
  for (const json& item : list) {
    if (!item.is_string()) return false;
    out->push_back(item.get<std::string>());
  }
  return true;
}

bool ReadTexts(const json& metadata, const char* name,
               std::vector<std::string>* out) {
  std::string text;
  return ReadText(metadata, name, &text) && ParseTexts(text, out);
}

// [[prompts of class 0], ...], or [] where every class uses the templates.
bool ReadPrompts(const json& metadata, WeightSet* set) {
  std::string text;
  if (!ReadText(metadata, "prompts", &text)) return false;
  const json lists = json::parse(text, nullptr, false);
  if (!lists.is_array()) return false;
  for (const json& list : lists) {
    if (!ToTexts(list, &set->own_prompts.emplace_back())) return false;
  }
  return set->own_prompts.empty() ||
         set->own_prompts.size() == set->class_names.size();
}

bool ReadMetadata(const json& metadata, StoredHeader* out) {
  WeightSet* set = out->set.get();
  std::string format;
  int64_t created = 0;
  if (!ReadText(metadata, "format", &format) || format != kFormat ||
      !ReadText(metadata, "id", &set->id) ||
      !ReadText(metadata, "model_fingerprint", &set->model_fingerprint) ||
      !ReadText(metadata, "precision", &set->precision) ||
      !ReadText(metadata, "weights_sha256", &out->weights_sha256) ||
      !ReadNumber(metadata, "num_prompts", &set->num_prompts) ||
      !ReadNumber(metadata, "num_tokens", &set->num_tokens) ||
      !ReadNumber(metadata, "create_time_unix_ns", &created) ||
      !ReadTexts(metadata, "labels", &set->class_names) ||
      !ReadTexts(metadata, "templates", &set->templates) ||
      !ReadPrompts(metadata, set)) {
    return false;
  }
  set->create_time = absl::FromUnixNanos(created);
  return true;
}

// The one tensor: [C, D] floats, C as many as labels.
bool ReadShape(const json& header, StoredHeader* out) {
  constexpr int64_t kMaxDim = 1 << 20;
  const auto tensor = header.find("weights");
  if (header.size() != 2 || tensor == header.end() || !tensor->is_object() ||
      tensor->value("dtype", json()) != "F32") {
    return false;
  }
  const json shape = tensor->value("shape", json());
  if (!shape.is_array() || shape.size() != 2 ||
      !shape[0].is_number_unsigned() || !shape[1].is_number_unsigned()) {
    return false;
  }
  const auto dim = shape[1].get<uint64_t>();
  if (shape[0].get<uint64_t>() != out->set->class_names.size() || dim == 0 ||
      dim > kMaxDim || out->set->class_names.empty()) {
    return false;
  }
  out->set->embedding_dim = static_cast<int>(dim);
  out->num_weights = out->set->class_names.size() * static_cast<int64_t>(dim);
  return tensor->value("data_offsets", json()) ==
         json({0, out->num_weights * sizeof(float)});
}

}  // namespace

std::string SerializeHeader(const WeightSet& set) {
  json metadata = {
      {"format", std::string(kFormat)},
      {"id", set.id},
      {"model_fingerprint", set.model_fingerprint},
      {"precision", set.precision},
      {"labels", Dump(set.class_names)},
      {"templates", Dump(set.templates)},
      {"prompts", Dump(set.own_prompts)},
      {"num_prompts", absl::StrCat(set.num_prompts)},
      {"num_tokens", absl::StrCat(set.num_tokens)},
      {"create_time_unix_ns", absl::StrCat(absl::ToUnixNanos(set.create_time))},
      {"weights_sha256", Sha256Of(WeightBytes(set))},
  };
  metadata["checksum"] = Checksum(metadata);
  const json header = {
      {"__metadata__", std::move(metadata)},
      {"weights",
       {{"dtype", "F32"},
        {"shape", {set.class_names.size(), set.embedding_dim}},
        {"data_offsets", {0, set.weights.size() * sizeof(float)}}}}};
  std::string text = Dump(header);
  // The weights begin where a float may.
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string out(kHeaderPrefixBytes, '\0');
  for (int i = 0; i < kHeaderPrefixBytes; ++i) {
    out[i] = static_cast<char>(text.size() >> (8 * i));
  }
  return out + text;
}

absl::string_view WeightBytes(const WeightSet& set) {
  return absl::string_view(reinterpret_cast<const char*>(set.weights.data()),
                           set.weights.size() * sizeof(float));
}

bool ParseTexts(const std::string& text, std::vector<std::string>* out) {
  return ToTexts(json::parse(text, nullptr, false), out);
}

absl::StatusOr<int64_t> HeaderBytes(absl::string_view prefix) {
  if (prefix.size() < kHeaderPrefixBytes) return Damaged("is truncated");
  uint64_t size = 0;
  for (int i = 0; i < kHeaderPrefixBytes; ++i) {
    size |= uint64_t{static_cast<uint8_t>(prefix[i])} << (8 * i);
  }
  if (size > kMaxHeaderBytes) return Damaged("has no header");
  return static_cast<int64_t>(size) + kHeaderPrefixBytes;
}

absl::StatusOr<StoredHeader> ParseHeader(absl::string_view header,
                                         absl::string_view id) {
  const absl::StatusOr<int64_t> size = HeaderBytes(header);
  if (!size.ok()) return size.status();
  if (*size != header.size()) return Damaged("is truncated");
  const absl::string_view text = header.substr(kHeaderPrefixBytes);
  const json parsed =
      json::parse(text.data(), text.data() + text.size(), nullptr, false);
  if (!parsed.is_object()) return Damaged("has no header");
  const auto metadata = parsed.find("__metadata__");
  if (metadata == parsed.end() || !metadata->is_object() ||
      !std::all_of(metadata->begin(), metadata->end(),
                   [](const json& value) { return value.is_string(); }) ||
      metadata->value("checksum", "") != Checksum(*metadata)) {
    return Damaged("does not match its checksum");
  }
  StoredHeader out;
  out.set = std::make_shared<WeightSet>();
  if (!ReadMetadata(*metadata, &out) || !ReadShape(parsed, &out)) {
    return Damaged("has a header of another format");
  }
  if (out.set->id != id) return Damaged("has another's id");
  return out;
}

absl::Status CheckWeights(const StoredHeader& header,
                          absl::string_view weights) {
  if (weights.size() != header.num_weights * sizeof(float)) {
    return Damaged("is truncated");
  }
  return Sha256Of(weights) == header.weights_sha256
             ? absl::OkStatus()
             : Damaged("does not match its checksum");
}

absl::StatusOr<std::shared_ptr<const WeightSet>> ParseWeightSet(
    absl::string_view header, absl::string_view weights, absl::string_view id) {
  absl::StatusOr<StoredHeader> parsed = ParseHeader(header, id);
  if (!parsed.ok()) return parsed.status();
  absl::Status status = CheckWeights(*parsed, weights);
  if (!status.ok()) return status;
  parsed->set->weights = MakeWeights(parsed->num_weights);
  std::memcpy(parsed->set->weights.data(), weights.data(), weights.size());
  return std::shared_ptr<const WeightSet>(std::move(parsed->set));
}

bool IsPlainId(absl::string_view id) {
  constexpr size_t kMaxIdBytes = 128;
  return !id.empty() && id.size() <= kMaxIdBytes &&
         std::all_of(id.begin(), id.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                  c == '-' || c == '_';
         });
}

}  // namespace zeroshot
