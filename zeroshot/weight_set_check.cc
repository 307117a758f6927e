#include "zeroshot/weight_set_check.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "base/sha256.h"
#include "stores/stored_set.h"

namespace zeroshot {
namespace {

// What a vector's length may differ from 1 by. bfloat16 that was normalised in
// bfloat16 differs by up to 0.004; what was not normalised, or lies the other
// way round, by far more.
constexpr double kMaxLengthError = 0.005;

absl::Status NotServed(const stores::WeightSet& set, absl::string_view what) {
  return absl::DataLossError(
      absl::StrCat("the stored weight set ", base::Quoted(set.id), " ", what));
}

// The id that a set of this content has; empty if it can have none.
std::string IdOf(const stores::WeightSet& set) {
  // Another server's limits may be wider.
  constexpr int64_t kAny = std::numeric_limits<int64_t>::max();
  const auto spec =
      ResolvedSpec::Resolve(SpecOf(set), {kAny, kAny, kAny, kAny, kAny});
  if (!spec.ok()) return "";
  return stores::IsImported(set.id)
             ? ImportedId(set)
             : spec->Id(set.model_fingerprint, set.precision);
}

}  // namespace

absl::Status CheckUnitRows(const stores::WeightSet& set) {
  for (int row = 0; row < set.num_rows(); ++row) {
    double square = 0;
    for (int d = 0; d < set.embedding_dim; ++d) {
      const double x = set.weights[int64_t{row} * set.embedding_dim + d];
      square += x * x;
    }
    const double length = std::sqrt(square);
    if (std::abs(length - 1) <= kMaxLengthError) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "the vector of ",
        row < set.num_classes()
            ? absl::StrCat("class ", row)
            : absl::StrCat("background[", row - set.num_classes(), "]"),
        ", ", base::Quoted(set.row_name(row)),
        std::isfinite(length)
            ? absl::StrCat(", has length ", length, "; it must be 1 within ",
                           kMaxLengthError, ": divide it by its length")
            : ", holds a number that is not finite"));
  }
  return absl::OkStatus();
}

std::string ImportedId(const stores::WeightSet& set) {
  base::Sha256 hash;
  const std::map<std::string, std::string> decisions =
      stores::DecisionMetadata(set);
  hash.UpdateField(decisions.empty() ? "imported weight set"
                                     : "imported weight set 2");
  hash.UpdateField(set.model_fingerprint);
  if (!decisions.empty()) hash.UpdateField(absl::StrCat(decisions.size()));
  for (const auto& [name, value] : decisions) {
    hash.UpdateField(name);
    hash.UpdateField(value);
  }
  hash.UpdateField(absl::StrCat(set.num_classes()));
  for (const std::string& name : set.class_names) hash.UpdateField(name);
  hash.UpdateField(stores::WeightBytes(set));
  return absl::StrCat(stores::kImportedPrefix, hash.HexDigest());
}

ClassifierSpec SpecOf(const stores::WeightSet& header) {
  ClassifierSpec spec;
  for (int c = 0; c < header.num_classes(); ++c) {
    ClassDefinition definition{header.class_names[c]};
    if (!header.own_prompts.empty()) definition.prompts = header.own_prompts[c];
    if (!header.min_probabilities.empty()) {
      definition.min_probability = header.min_probabilities[c];
    }
    definition.group = std::string(header.group(c));
    if (!header.examples.empty()) definition.shown = header.examples[c];
    spec.classes.push_back(std::move(definition));
  }
  spec.templates = header.templates;
  spec.temperature = header.temperature;
  spec.background = header.background;
  return spec;
}

absl::Status CheckStored(const stores::WeightSet& set,
                         const clip::ModelInfo& model) {
  if (set.model_fingerprint != model.fingerprint) return absl::OkStatus();
  if (set.embedding_dim != model.embedding_dim) {
    return NotServed(
        set, absl::StrCat("has ", set.embedding_dim,
                          " dimensions; the model has ", model.embedding_dim));
  }
  const bool header_only = set.weights.empty();
  if (!header_only) {
    if (set.weights.size() !=
        size_t{1} * set.num_rows() * model.embedding_dim) {
      return NotServed(set, "has not one row a class");
    }
    if (const absl::Status rows = CheckUnitRows(set); !rows.ok()) {
      return NotServed(set, absl::StrCat("is not served: ", rows.message()));
    }
  }
  const size_t classes = set.class_names.size();
  for (const size_t given :
       {set.own_prompts.size(), set.min_probabilities.size(),
        set.group_of.size(), set.examples.size()}) {
    if (given != 0 && given != classes) {
      return NotServed(set,
                       "has not one prompt, threshold, group and example a "
                       "class");
    }
  }
  // The header of an imported set does not tell its id.
  if (!(header_only && stores::IsImported(set.id)) && IdOf(set) != set.id) {
    return NotServed(set, "is not what its id says");
  }
  return absl::OkStatus();
}

}  // namespace zeroshot
