#include "server/request_checks.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error_info.h"
#include "base/quoted.h"

namespace zeroshot::server {

absl::Status RequireWeightSetId(absl::string_view id, absl::string_view field) {
  if (!id.empty()) return absl::OkStatus();
  return base::InvalidField(
      field, absl::StrCat(field,
                          " is empty; expected the id that BuildClassifier or "
                          "ImportWeightSet returned"));
}

absl::Status CheckWeightSetIds(const v1::ClassifyRequest& request,
                               int max_weight_sets) {
  absl::Status named = RequireWeightSetId(request.weight_set_id());
  if (!named.ok()) return named;
  const int more = request.more_weight_set_ids_size();
  if (more > max_weight_sets - 1) {
    return base::InvalidField(
        "more_weight_set_ids",
        absl::StrCat("weight_set_id and more_weight_set_ids name ", more + 1,
                     " weight sets; at most ", max_weight_sets,
                     " are allowed"));
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

absl::Status CheckTopK(uint32_t top_k, int max_top_k) {
  if (top_k <= static_cast<uint32_t>(max_top_k)) return absl::OkStatus();
  return base::InvalidField(
      "top_k", absl::StrCat("top_k is ", top_k, "; at most ", max_top_k,
                            " are allowed (--max_top_k); return_probabilities "
                            "gives all classes"));
}

int64_t DescriptionBytes(const stores::WeightSet& set) {
  constexpr int64_t kNameBytes = 6;  // its tag and length
  int64_t bytes = 0;
  for (const std::string& name : set.class_names) {
    bytes += kNameBytes + static_cast<int64_t>(name.size());
  }
  return bytes;
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
        "page_size", absl::StrCat("page_size is ", request.page_size(),
                                  "; allowed are 0 (meaning ", kDefaultPageSize,
                                  ") and more"));
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
