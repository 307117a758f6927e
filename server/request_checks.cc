#include "server/request_checks.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error_info.h"
#include "base/quoted.h"
#include "zeroshot/classifier_spec.h"

namespace zeroshot::server {

absl::Status RequireWeightSetId(absl::string_view id, absl::string_view field) {
  if (!id.empty()) return absl::OkStatus();
  return base::InvalidField(
      field, absl::StrCat(field,
                          " is empty; expected the id that BuildClassifier or "
                          "ImportWeightSet returned"));
}

namespace {

template <typename Request>
absl::Status CheckSets(const Request& request, int max_weight_sets) {
  if (request.has_classifier() && !request.weight_set_id().empty()) {
    return base::InvalidField(
        "classifier",
        "both `weight_set_id` and `classifier` are given: give one of them");
  }
  absl::Status named;
  if (!request.has_classifier()) {
    named = RequireWeightSetId(request.weight_set_id());
    if (!named.ok()) return named;
  }
  const int more = request.more_weight_set_ids_size();
  if (more > max_weight_sets - 1) {
    return base::InvalidField(
        "more_weight_set_ids",
        absl::StrCat("weight_set_id and more_weight_set_ids name ", more + 1,
                     " weight sets; at most ", max_weight_sets,
                     " are allowed (--max_weight_sets)"));
  }
  for (int i = 0; i < more; ++i) {
    named = RequireWeightSetId(request.more_weight_set_ids(i),
                               absl::StrCat("more_weight_set_ids[", i, "]"));
    if (!named.ok()) return named;
  }
  std::set<absl::string_view> ids = {request.weight_set_id()};
  for (const std::string& id : request.more_weight_set_ids()) {
    if (ids.insert(id).second) continue;
    return base::InvalidField(
        "more_weight_set_ids",
        absl::StrCat("weight_set_id and more_weight_set_ids name ",
                     base::Quoted(id), " twice; each id may be named once"));
  }
  return absl::OkStatus();
}

template <typename Request>
absl::Status CheckScoring(const Request& request) {
  if (!v1::ScoreFunction_IsValid(request.score_function())) {
    return base::InvalidField(
        "score_function",
        absl::StrCat("score_function is ",
                     static_cast<int>(request.score_function()), "; 0 to ",
                     v1::ScoreFunction_MAX, " is allowed"));
  }
  if (!request.has_min_probability()) return absl::OkStatus();
  return CheckMinProbability("min_probability", request.min_probability());
}

}  // namespace

absl::Status CheckWeightSetIds(const v1::ClassifyRequest& request,
                               int max_weight_sets) {
  return CheckSets(request, max_weight_sets);
}

absl::Status CheckWeightSetIds(const v1::ClassifyBatchRequest& request,
                               int max_weight_sets) {
  return CheckSets(request, max_weight_sets);
}

absl::Status CheckTopK(uint32_t top_k, int max_top_k) {
  if (top_k <= static_cast<uint32_t>(max_top_k)) return absl::OkStatus();
  return base::InvalidField(
      "top_k", absl::StrCat("top_k is ", top_k, "; at most ", max_top_k,
                            " are allowed (--max_top_k); return_probabilities "
                            "gives all classes"));
}

absl::Status CheckDecisions(const v1::ClassifyRequest& request) {
  return CheckScoring(request);
}

absl::Status CheckDecisions(const v1::ClassifyBatchRequest& request) {
  return CheckScoring(request);
}

absl::Status CheckEmbeddings(const ClassifyCall& call,
                             const ServerOptions& options,
                             const clip::ModelInfo& model) {
  // What float16 leaves of a unit vector's length, and more.
  constexpr double kMaxLengthError = 1e-3;
  constexpr char kField[] = "embeddings";
  if (!call.images.empty()) {
    return base::InvalidField(
        kField, "both `images` and `embeddings` are given: give one of them");
  }
  const size_t dim = model.embedding_dim;
  const absl::Span<const float> all = call.embeddings;
  if (all.size() % dim != 0) {
    return base::InvalidField(
        kField, absl::StrCat("embeddings has ", all.size(),
                             " floats; vectors of this model have ", dim,
                             ", so that a multiple of that is allowed"));
  }
  const size_t count = all.size() / dim;
  if (count > static_cast<size_t>(options.max_batch_items)) {
    return base::InvalidField(
        kField, absl::StrCat("embeddings has ", count, " vectors; at most ",
                             options.max_batch_items,
                             " are allowed (--max_batch_items)"));
  }
  for (size_t i = 0; i < count; ++i) {
    double square = 0;
    for (const float x : all.subspan(i * dim, dim)) square += double{x} * x;
    const double length = std::sqrt(square);
    if (std::abs(length - 1) <= kMaxLengthError) continue;
    return base::InvalidField(
        kField, std::isfinite(length)
                    ? absl::StrCat("vector ", i, " of embeddings has length ",
                                   length, "; 1 within ", kMaxLengthError,
                                   " is allowed: divide it by its length")
                    : absl::StrCat("vector ", i, " of embeddings holds a ",
                                   "number that is not finite"));
  }
  return absl::OkStatus();
}

absl::Status CheckBatch(absl::string_view field, int items,
                        const ServerOptions& options,
                        const clip::ModelInfo& model) {
  if (items > options.max_batch_items) {
    return base::InvalidField(
        field, absl::StrCat(field, " has ", items, " items; at most ",
                            options.max_batch_items, " are allowed"));
  }
  const int64_t bytes =
      int64_t{items} * model.embedding_dim * int64_t{sizeof(float)};
  if (bytes <= options.max_answer_bytes) return absl::OkStatus();
  return base::InvalidField(
      field, absl::StrCat("the vectors of ", items, " ", field, " take ", bytes,
                          " bytes; at most ", options.max_answer_bytes,
                          " are allowed (--max_answer_bytes)"));
}

absl::Status CheckPage(const v1::ListWeightSetsRequest& request) {
  if (request.page_size() < 0) {
    return base::InvalidField(
        "page_size",
        absl::StrCat("page_size is ", request.page_size(), "; 0 (meaning ",
                     kDefaultPageSize, ") and more are allowed"));
  }
  const std::string& token = request.page_token();
  absl::string_view hash = token;
  absl::ConsumePrefix(&hash, stores::kImportedPrefix);
  const bool is_id = hash.size() == 64 && std::all_of(hash.begin(), hash.end(),
                                                      absl::ascii_isxdigit);
  if (token.empty() || is_id) return absl::OkStatus();
  return base::InvalidField(
      "page_token",
      absl::StrCat(
          "page_token of ", token.size(),
          " bytes is none that this server gave; expected a next_page_token"));
}

}  // namespace zeroshot::server
