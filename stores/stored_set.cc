#include "stores/stored_set.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json_reader.h"
#include "base/little_endian.h"
#include "base/safetensors_header.h"
#include "base/sha256.h"

namespace stores {
namespace {

constexpr absl::string_view kFormat = "zeroshot-weight-set-1";

// Of a list, far more than any build has: each takes memory beyond its bytes.
constexpr int64_t kMaxTexts = 4'000'000;

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("a stored weight set ", what));
}

std::string Sha256Of(absl::string_view bytes) {
  base::Sha256 hash;
  hash.Update(bytes);
  return hash.HexDigest();
}

// Of every metadata field but the checksum itself and its signature, in the
// order of names.
// `text_of` says what a field's value stands for.
template <typename Fields, typename TextOf>
std::string Checksum(const Fields& fields, TextOf text_of) {
  base::Sha256 hash;
  for (const auto& [name, value] : fields) {
    if (name == "checksum" || name == "hmac") continue;
    hash.UpdateField(name);
    hash.UpdateField(text_of(value));
  }
  return hash.HexDigest();
}

// False: there is no such field.
bool ReadText(const Metadata& metadata, absl::string_view name,
              std::string* out) {
  const auto it = metadata.find(name);
  if (it == metadata.end()) return false;
  *out = base::JsonUnescape(it->second);
  return true;
}

// REQUIRES: the metadata matches its checksum.
bool HasSignature(const Metadata& metadata, const StoreKeys& keys) {
  std::string checksum, found;
  return ReadText(metadata, "checksum", &checksum) &&
         ReadText(metadata, "hmac", &found) && IsSigned(keys, checksum, found);
}

bool ReadNumber(const Metadata& metadata, absl::string_view name,
                int64_t* out) {
  std::string text;
  return ReadText(metadata, name, &text) && absl::SimpleAtoi(text, out);
}

// A JSON list of texts; more than `max_count` are none.
bool TakeTexts(base::JsonReader* reader, int64_t max_count,
               std::vector<std::string>* out) {
  return reader->TakeArray([&] {
    absl::string_view text;
    if (static_cast<int64_t>(out->size()) >= max_count ||
        !reader->TakeString(&text)) {
      return false;
    }
    out->push_back(base::JsonUnescape(text));
    return true;
  });
}

bool ReadTexts(const Metadata& metadata, absl::string_view name,
               std::vector<std::string>* out) {
  std::string text;
  return ReadText(metadata, name, &text) && ParseTexts(text, kMaxTexts, out);
}

// [[prompts of class 0], ...], without background, or [] where every class uses
// the templates.
bool ReadPrompts(const Metadata& metadata, WeightSet* set) {
  std::string text;
  if (!ReadText(metadata, "prompts", &text)) return false;
  base::JsonReader reader(text);
  int64_t left = kMaxTexts;
  const bool taken = reader.TakeArray([&] {
    if (set->own_prompts.size() == set->class_names.size()) return false;
    std::vector<std::string>& prompts = set->own_prompts.emplace_back();
    if (!TakeTexts(&reader, left, &prompts)) return false;
    left -= static_cast<int64_t>(prompts.size());
    return true;
  });
  return taken && reader.AtEnd() &&
         (set->own_prompts.empty() ||
          set->own_prompts.size() == set->class_names.size());
}

// A JSON number that a float holds.
bool ParseFloat(absl::string_view json, float* out) {
  return absl::SimpleAtof(json, out) && std::isfinite(*out);
}

// [0.5, null, ...], an item a class.
bool ParseThresholds(absl::string_view text, WeightSet* set) {
  base::JsonReader reader(text);
  const bool taken = reader.TakeArray([&] {
    absl::string_view item;
    if (set->min_probabilities.size() == set->class_names.size() ||
        !reader.TakeScalar(&item)) {
      return false;
    }
    std::optional<float>& threshold = set->min_probabilities.emplace_back();
    return item == "null" || ParseFloat(item, &threshold.emplace());
  });
  return taken && reader.AtEnd() &&
         set->min_probabilities.size() == set->class_names.size();
}

// [null, [2, 0.5, "9f86..."], ...], an item a class; or no such field.
bool ReadExamples(const Metadata& metadata, WeightSet* set) {
  std::string text;
  if (!ReadText(metadata, "examples", &text)) return true;
  base::JsonReader reader(text);
  const bool taken = reader.TakeArray([&] {
    if (set->examples.size() == set->class_names.size()) return false;
    std::optional<ClassExamples>& shown = set->examples.emplace_back();
    absl::string_view item;
    base::JsonReader here = reader;
    if (!here.Take('[')) return reader.TakeScalar(&item) && item == "null";
    ClassExamples found;
    int field = 0;
    const bool read = reader.TakeArray([&] {
      switch (field++) {
        case 0:
          return reader.TakeScalar(&item) &&
                 absl::SimpleAtoi(item, &found.count) && found.count > 0;
        case 1:
          return reader.TakeScalar(&item) && ParseFloat(item, &found.weight);
        case 2:
          if (!reader.TakeString(&item)) return false;
          found.sha256 = base::JsonUnescape(item);
          return true;
        default:
          return false;
      }
    });
    shown = std::move(found);
    return read && field == 3;
  });
  return taken && reader.AtEnd() &&
         set->examples.size() == set->class_names.size();
}

bool ReadMetadata(const Metadata& metadata, StoredHeader* out) {
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
      !ReadDecisions(metadata, kMaxTexts, set) ||
      !ReadExamples(metadata, set) || !ReadPrompts(metadata, set)) {
    return false;
  }
  set->create_time = absl::FromUnixNanos(created);
  return true;
}

// The one tensor: [C + B, D] floats, a row a label and background class.
bool ReadShape(const base::SafetensorsHeader& header, StoredHeader* out) {
  constexpr int64_t kMaxDim = 1 << 20;
  const auto found = header.tensors.find("weights");
  if (header.tensors.size() != 1 || found == header.tensors.end()) return false;
  const base::SafetensorsEntry& tensor = found->second;
  const int64_t num_rows = out->set->num_rows();
  if (tensor.dtype != "F32" || tensor.shape.size() != 2 ||
      out->set->num_classes() == 0 || tensor.shape[0] != num_rows ||
      tensor.shape[1] < 1 || tensor.shape[1] > kMaxDim) {
    return false;
  }
  out->set->embedding_dim = static_cast<int>(tensor.shape[1]);
  out->num_weights = num_rows * tensor.shape[1];
  return tensor.begin == 0 &&
         tensor.end == out->num_weights * int64_t{sizeof(float)};
}

// A list of texts, as JSON.
std::string ListText(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) {
    if (out.size() > 1) out.push_back(',');
    base::AppendJsonString(text, &out);
  }
  out.push_back(']');
  return out;
}

std::string ListText(const std::vector<std::vector<std::string>>& lists) {
  std::string out = "[";
  for (const std::vector<std::string>& texts : lists) {
    if (out.size() > 1) out.push_back(',');
    out += ListText(texts);
  }
  out.push_back(']');
  return out;
}

// In JSON; the shortest text that is read as the same float.
std::string FloatText(float number) { return absl::StrFormat("%.9g", number); }

std::string ExamplesText(const WeightSet& set) {
  std::string out = "[";
  for (const std::optional<ClassExamples>& shown : set.examples) {
    if (out.size() > 1) out.push_back(',');
    if (!shown.has_value()) {
      out += "null";
      continue;
    }
    absl::StrAppend(&out, "[", shown->count, ",", FloatText(shown->weight),
                    ",");
    base::AppendJsonString(shown->sha256, &out);
    out.push_back(']');
  }
  return out + "]";
}

}  // namespace

std::map<std::string, std::string> DecisionMetadata(const WeightSet& set) {
  std::map<std::string, std::string> metadata;
  if (!set.background.empty()) {
    metadata["background"] = ListText(set.background);
  }
  if (set.temperature != 1) {
    metadata["temperature"] = FloatText(set.temperature);
  }
  if (!set.min_probabilities.empty()) {
    std::string list = "[";
    for (const std::optional<float>& threshold : set.min_probabilities) {
      absl::StrAppend(&list, list.size() > 1 ? "," : "",
                      threshold.has_value() ? FloatText(*threshold) : "null");
    }
    metadata["min_probabilities"] = list + "]";
  }
  if (!set.group_of.empty()) {
    std::string list = "[";
    for (int c = 0; c < set.num_classes(); ++c) {
      if (c > 0) list.push_back(',');
      base::AppendJsonString(set.group(c), &list);
    }
    metadata["groups"] = list + "]";
  }
  return metadata;
}

bool ReadDecisions(const Metadata& metadata, int64_t max_background,
                   WeightSet* set) {
  std::string text;
  if (ReadText(metadata, "background", &text) &&
      !ParseTexts(text, max_background, &set->background)) {
    return false;
  }
  if (ReadText(metadata, "temperature", &text) &&
      !ParseFloat(text, &set->temperature)) {
    return false;
  }
  if (ReadText(metadata, "min_probabilities", &text) &&
      !ParseThresholds(text, set)) {
    return false;
  }
  if (!ReadText(metadata, "groups", &text)) return true;
  std::vector<std::string> groups;
  if (!ParseTexts(text, set->num_classes(), &groups) ||
      static_cast<int>(groups.size()) != set->num_classes()) {
    return false;
  }
  set->SetGroups(groups);
  return true;
}

std::string SerializeHeader(const WeightSet& set, const StoreKeys& keys) {
  std::map<std::string, std::string> metadata = {
      {"format", std::string(kFormat)},
      {"id", set.id},
      {"model_fingerprint", set.model_fingerprint},
      {"precision", set.precision},
      {"labels", ListText(set.class_names)},
      {"templates", ListText(set.templates)},
      {"prompts", ListText(set.own_prompts)},
      {"num_prompts", absl::StrCat(set.num_prompts)},
      {"num_tokens", absl::StrCat(set.num_tokens)},
      {"create_time_unix_ns", absl::StrCat(absl::ToUnixNanos(set.create_time))},
      {"weights_sha256", Sha256Of(WeightBytes(set))},
  };
  metadata.merge(DecisionMetadata(set));
  if (!set.examples.empty()) metadata["examples"] = ExamplesText(set);
  metadata["checksum"] =
      Checksum(metadata, [](absl::string_view text) { return text; });
  if (!keys.empty()) {
    metadata["hmac"] = Signature(keys, metadata["checksum"]);
  }
  std::string out(kHeaderPrefixBytes, '\0');
  out += R"({"__metadata__":{)";
  absl::string_view separator;
  for (auto& [name, value] : metadata) {
    absl::StrAppend(&out, separator, "\"", name, "\":");
    base::AppendJsonString(std::exchange(value, {}), &out);
    separator = ",";
  }
  absl::StrAppend(&out, R"(},"weights":{"data_offsets":[0,)",
                  set.weights.size() * sizeof(float),
                  R"(],"dtype":"F32","shape":[)", set.num_rows(), ",",
                  set.embedding_dim, "]}}");
  // The weights begin where a float may.
  out.resize((out.size() + 7) / 8 * 8, ' ');
  const size_t size = out.size() - kHeaderPrefixBytes;
  for (int i = 0; i < kHeaderPrefixBytes; ++i) {
    out[i] = static_cast<char>(size >> (8 * i));
  }
  return out;
}

absl::Status CheckStorable(const WeightSet& set, int64_t header_bytes) {
  int64_t prompts = 0;
  for (const auto& own : set.own_prompts) prompts += own.size();
  if (header_bytes <= kMaxHeaderBytes && prompts <= kMaxTexts &&
      set.num_rows() <= kMaxTexts) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "the names and prompts of the weight set take ", header_bytes,
      " bytes and are ", prompts + set.num_rows(), "; at most ",
      kMaxHeaderBytes, " bytes and ", kMaxTexts, " of each can be stored"));
}

absl::string_view WeightBytes(const WeightSet& set) {
  return absl::string_view(reinterpret_cast<const char*>(set.weights.data()),
                           set.weights.size() * sizeof(float));
}

bool ParseTexts(absl::string_view text, int64_t max_count,
                std::vector<std::string>* out) {
  base::JsonReader reader(text);
  return TakeTexts(&reader, max_count, out) && reader.AtEnd();
}

absl::Status CheckMetadata(const Metadata& metadata) {
  std::string checksum;
  return ReadText(metadata, "checksum", &checksum) &&
                 checksum == Checksum(metadata, &base::JsonUnescape)
             ? absl::OkStatus()
             : Damaged("does not match its checksum");
}

absl::StatusOr<int64_t> HeaderBytes(absl::string_view prefix) {
  if (prefix.size() < kHeaderPrefixBytes) return Damaged("is truncated");
  const uint64_t size =
      base::LittleEndian(prefix.substr(0, kHeaderPrefixBytes));
  if (size > uint64_t{kMaxHeaderBytes}) return Damaged("has no header");
  return static_cast<int64_t>(size) + kHeaderPrefixBytes;
}

absl::StatusOr<StoredHeader> ParseHeader(absl::string_view header,
                                         absl::string_view id,
                                         const StoreKeys& keys) {
  const absl::StatusOr<int64_t> size = HeaderBytes(header);
  if (!size.ok()) return size.status();
  if (*size != header.size()) return Damaged("is truncated");
  const auto parsed =
      base::ParseSafetensorsHeader(header.substr(kHeaderPrefixBytes));
  if (!parsed.ok()) return Damaged("has no header");
  absl::Status intact = CheckMetadata(parsed->metadata);
  if (!intact.ok()) return intact;
  if (!keys.empty() && !HasSignature(parsed->metadata, keys)) {
    return Damaged("is not signed with the store key");
  }
  StoredHeader out;
  out.set = std::make_shared<WeightSet>();
  if (!ReadMetadata(parsed->metadata, &out) || !ReadShape(*parsed, &out)) {
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

absl::StatusOr<StoredHeader> ReadHeader(int64_t size, absl::string_view id,
                                        const StoreKeys& keys, ReadBytes read) {
  if (size < kHeaderPrefixBytes) return Damaged("is truncated");
  std::string bytes(kHeaderPrefixBytes, '\0');
  absl::Status status = read(0, absl::MakeSpan(bytes));
  if (!status.ok()) return status;
  const absl::StatusOr<int64_t> header_size = HeaderBytes(bytes);
  if (!header_size.ok()) return header_size.status();
  if (*header_size > size) return Damaged("is truncated");
  // Memory is taken for what is there, not for what a length claims.
  constexpr int64_t kStep = 1 << 20;
  while (static_cast<int64_t>(bytes.size()) < *header_size) {
    const auto at = static_cast<int64_t>(bytes.size());
    bytes.resize(std::min(*header_size, at + kStep));
    status = read(at, absl::MakeSpan(bytes).subspan(at));
    if (!status.ok()) return status;
  }
  absl::StatusOr<StoredHeader> header = ParseHeader(bytes, id, keys);
  if (!header.ok()) return header;
  header->weights_offset = *header_size;
  if (header->num_weights * int64_t{sizeof(float)} != size - *header_size) {
    return Damaged("is truncated");
  }
  return header;
}

absl::StatusOr<std::shared_ptr<const WeightSet>> ReadWeightSet(
    int64_t size, absl::string_view id, const StoreKeys& keys, ReadBytes read) {
  const absl::StatusOr<StoredHeader> header = ReadHeader(size, id, keys, read);
  if (!header.ok()) return header.status();
  WeightSet& set = *header->set;
  set.weights = MakeWeights(header->num_weights);
  absl::Status status =
      read(header->weights_offset,
           absl::MakeSpan(reinterpret_cast<char*>(set.weights.data()),
                          set.weights.size() * sizeof(float)));
  if (status.ok()) status = CheckWeights(*header, WeightBytes(set));
  if (!status.ok()) return status;
  return std::shared_ptr<const WeightSet>(header->set);
}

bool IsPlainId(absl::string_view id) {
  constexpr size_t kMaxIdBytes = 128;
  return !id.empty() && id.size() <= kMaxIdBytes &&
         std::all_of(id.begin(), id.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                  c == '-' || c == '_';
         });
}

}  // namespace stores
