// Stored weight sets, as a disk or Redis may give them back. The first byte
// says how to take the rest:
//
//   f  a file as it is
//   m  a header's JSON, a zero byte, the weights. Whatever the header says, its
//      lengths and checksums are made to fit, so that what lies behind them is
//      reached too
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/sha256.h"
#include "clip/model.h"
#include "nlohmann/json.hpp"
#include "stores/disk_store.h"
#include "stores/stored_set.h"
#include "tests/fuzz/fuzz.h"
#include "zeroshot/image_classifier.h"
#include "zeroshot/weight_set_check.h"

namespace {

using nlohmann::json;

const char kId[] = "set";

std::string WithLength(std::string text) {
  std::string out;
  for (int i = 0; i < stores::kHeaderPrefixBytes; ++i) {
    out.push_back(static_cast<char>(text.size() >> (8 * i)));
  }
  return out + text;
}

// The header with the checksums that make it whole; as it is if it is too
// damaged for that.
std::string Corrected(absl::string_view text, absl::string_view weights) {
  json header = json::parse(text.begin(), text.end(), nullptr, false);
  if (!header.is_object() || !header["__metadata__"].is_object()) {
    return WithLength(std::string(text));
  }
  json& metadata = header["__metadata__"];
  base::Sha256 of_weights, of_metadata;
  of_weights.Update(weights);
  metadata["weights_sha256"] = of_weights.HexDigest();
  for (const auto& [name, value] : metadata.items()) {
    if (name == "checksum" || !value.is_string()) continue;
    of_metadata.UpdateField(name);
    of_metadata.UpdateField(value.get<std::string>());
  }
  metadata["checksum"] = of_metadata.HexDigest();
  return WithLength(header.dump(-1, ' ', false, json::error_handler_t::ignore));
}

void CheckDamage(const absl::Status& status) {
  FUZZ_CHECK(absl::IsDataLoss(status));
  fuzz::CheckMessage(status.message());
}

absl::StatusOr<std::shared_ptr<const stores::WeightSet>> Read(
    const std::string& file) {
  return stores::ReadWeightSet(static_cast<int64_t>(file.size()), kId, {},
                               [&file](int64_t offset, absl::Span<char> out) {
                                 FUZZ_CHECK(offset + out.size() <= file.size());
                                 file.copy(out.data(), out.size(), offset);
                                 return absl::OkStatus();
                               });
}

void CheckSet(const stores::WeightSet& set) {
  FUZZ_CHECK(set.id == kId);
  FUZZ_CHECK(set.num_classes() > 0 && set.embedding_dim > 0);
  FUZZ_CHECK(set.own_prompts.empty() ||
             set.own_prompts.size() == set.class_names.size());
  FUZZ_CHECK(set.weights.size() ==
             size_t{1} * set.num_rows() * set.embedding_dim);
  FUZZ_CHECK(set.min_probabilities.empty() ||
             set.min_probabilities.size() == set.class_names.size());
  FUZZ_CHECK(set.group_of.empty() ||
             set.group_of.size() == set.class_names.size());
  // Stored again it is the same.
  const absl::string_view weights = stores::WeightBytes(set);
  const auto again =
      Read(stores::SerializeHeader(set).append(weights.data(), weights.size()));
  FUZZ_CHECK(again.ok());
  FUZZ_CHECK((*again)->class_names == set.class_names);
  FUZZ_CHECK((*again)->templates == set.templates);
  FUZZ_CHECK((*again)->own_prompts == set.own_prompts);
  FUZZ_CHECK((*again)->background == set.background);
  FUZZ_CHECK((*again)->temperature == set.temperature);
  FUZZ_CHECK((*again)->min_probabilities == set.min_probabilities);
  FUZZ_CHECK((*again)->group_names == set.group_names);
  FUZZ_CHECK((*again)->group_of == set.group_of);
  FUZZ_CHECK((*again)->model_fingerprint == set.model_fingerprint);
  FUZZ_CHECK((*again)->precision == set.precision);
  FUZZ_CHECK((*again)->num_prompts == set.num_prompts);
  FUZZ_CHECK((*again)->num_tokens == set.num_tokens);
  FUZZ_CHECK((*again)->create_time == set.create_time);
  FUZZ_CHECK(stores::WeightBytes(**again) == stores::WeightBytes(set));
}

// What a server does with a set that it read: it is used only if it fits the
// model.
void CheckUse(const stores::WeightSet& set) {
  clip::ModelInfo model;
  model.fingerprint = set.model_fingerprint;
  for (const int dim : {set.embedding_dim, 2}) {
    model.embedding_dim = dim;
    const absl::Status good = zeroshot::CheckStored(set, model);
    if (!good.ok()) CheckDamage(good);
    if (!good.ok() && set.embedding_dim != dim) continue;
    FUZZ_CHECK(set.embedding_dim == dim);
    // Without NaN and infinities, every class has a place in the order.
    if (!zeroshot::CheckUnitRows(set).ok()) continue;
    const std::vector<float> row(dim, 1);
    FUZZ_CHECK(zeroshot::AnswerBytes(set, 3, true) > 0);
    (void)zeroshot::ScoresOf(set, zeroshot::Scorer().Cosines(set, row),
                             {{.scale = 100}, 3, true});
  }
}

// The header, the whole, and the file agree on whether it is sound.
void CheckFile(const std::string& file) {
  static const std::string folder = std::filesystem::temp_directory_path() /
                                    ("fuzz_" + std::to_string(getpid()));
  const auto header_bytes = stores::HeaderBytes(file);
  if (!header_bytes.ok()) CheckDamage(header_bytes.status());
  bool sound = false;
  if (header_bytes.ok() && *header_bytes <= static_cast<int64_t>(file.size())) {
    const absl::string_view header =
        absl::string_view(file).substr(0, *header_bytes);
    const auto parsed = stores::ParseHeader(header, kId);
    const auto set = Read(file);
    if (!parsed.ok()) CheckDamage(parsed.status());
    if (!set.ok()) CheckDamage(set.status());
    if (set.ok()) {
      FUZZ_CHECK(parsed.ok());
      CheckSet(**set);
      CheckUse(**set);
      sound = true;
    }
  }
  std::filesystem::create_directory(folder);
  std::ofstream(folder + "/set.safetensors", std::ios::binary) << file;
  const auto store = stores::DiskStore::Open(folder, 1 << 20);
  FUZZ_CHECK(store.ok());
  const auto listed = (*store)->List("", 10);
  FUZZ_CHECK(listed.ok());
  const auto got = (*store)->Get(kId);
  FUZZ_CHECK(got.ok() == sound);
  if (got.ok()) {
    FUZZ_CHECK(listed->size() == 1);
    CheckSet(**got);
  } else {
    FUZZ_CHECK(absl::IsDataLoss(got.status()) ||
               absl::IsNotFound(got.status()));
    fuzz::CheckMessage(got.status().message());
    // What is damaged does not stay.
    FUZZ_CHECK(!std::filesystem::exists(folder + "/set.safetensors"));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view rest = fuzz::View(data + 1, size - 1);
  if (data[0] == 'f') {
    CheckFile(std::string(rest));
  } else if (data[0] == 'm') {
    const size_t end = std::min(rest.find('\0'), rest.size());
    const absl::string_view weights =
        rest.substr(std::min(end + 1, rest.size()));
    CheckFile(Corrected(rest.substr(0, end), weights) + std::string(weights));
  }
  return 0;
}
