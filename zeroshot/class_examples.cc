#include "zeroshot/class_examples.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "base/sha256.h"

namespace zeroshot {
namespace {

std::string HashOf(absl::string_view bytes) {
  base::Sha256 hash;
  hash.Update(bytes);
  return hash.HexDigest();
}

double LengthOf(absl::Span<const float> row) {
  double square = 0;
  for (const float x : row) square += double{x} * x;
  return std::sqrt(square);
}

absl::Status CheckEmbeddings(const std::string& field,
                             absl::Span<const float> embeddings, size_t dim) {
  if (dim == 0 || embeddings.size() % dim != 0) {
    return base::InvalidField(
        field, absl::StrCat(field, " has ", embeddings.size(),
                            " floats; vectors of this model have ", dim,
                            ", so that a multiple of that is allowed"));
  }
  for (size_t i = 0; i < embeddings.size() / dim; ++i) {
    const double length = LengthOf(embeddings.subspan(i * dim, dim));
    if (std::isfinite(length) && length > 0) continue;
    return base::InvalidField(
        field,
        absl::StrCat(field, ": vector ", i,
                     length == 0 ? " is all zeros, which shows nothing"
                                 : " holds a number that is not finite"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckExampleWeight(absl::string_view field, float weight) {
  if (weight > 0 && weight <= 1) return absl::OkStatus();  // nor NaN
  return base::InvalidField(
      field, absl::StrCat(field, " is ", weight,
                          "; a number over 0, up to 1, is allowed"));
}

absl::StatusOr<stores::ClassExamples> Summarise(absl::string_view field,
                                                const Examples& examples,
                                                int dim) {
  const std::string weight_field = absl::StrCat(field, ".example_weight");
  if (examples.images.empty() && examples.embeddings.empty()) {
    return base::InvalidField(
        weight_field,
        absl::StrCat(weight_field,
                     " is given and no examples are: give example_images or "
                     "example_embeddings, or leave it out"));
  }
  stores::ClassExamples summary;
  summary.weight = examples.weight.value_or(kExampleWeight);
  absl::Status good = CheckExampleWeight(weight_field, summary.weight);
  if (good.ok()) {
    good = CheckEmbeddings(absl::StrCat(field, ".example_embeddings"),
                           examples.embeddings, dim);
  }
  if (!good.ok()) return good;
  summary.count = static_cast<int32_t>(examples.images.size());
  if (dim > 0) {
    summary.count += static_cast<int32_t>(examples.embeddings.size() / dim);
  }
  base::Sha256 hash;
  hash.UpdateField(absl::StrCat(examples.images.size()));
  for (const absl::string_view image : examples.images) {
    hash.UpdateField(HashOf(image));
  }
  hash.UpdateField(
      HashOf({reinterpret_cast<const char*>(examples.embeddings.data()),
              examples.embeddings.size() * sizeof(float)}));
  summary.sha256 = hash.HexDigest();
  return summary;
}

void AddUnitRows(absl::Span<const float> rows, absl::Span<double> sum) {
  for (size_t at = 0; at < rows.size(); at += sum.size()) {
    const absl::Span<const float> row = rows.subspan(at, sum.size());
    const double scale = 1 / LengthOf(row);
    for (size_t d = 0; d < sum.size(); ++d) sum[d] += row[d] * scale;
  }
}

bool MakeUnit(absl::Span<double> sum) {
  double square = 0;
  for (const double x : sum) square += x * x;
  if (square == 0) return false;
  const double scale = 1 / std::sqrt(square);
  for (double& x : sum) x *= scale;
  return true;
}

}  // namespace zeroshot
