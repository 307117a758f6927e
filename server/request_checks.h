// What is looked at in a request before any work is done for it. Errors are
// InvalidArgument and name the field, what was found and what is allowed.
#ifndef ZEROSHOT_SERVER_REQUEST_CHECKS_H_
#define ZEROSHOT_SERVER_REQUEST_CHECKS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "clip/model.h"
#include "server/options.h"
#include "stores/weight_set.h"
#include "zeroshot/image_classifier.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::server {

// Sets of a page if the request does not say.
inline constexpr int kDefaultPageSize = 100;

// An id is there.
absl::Status RequireWeightSetId(absl::string_view id,
                                absl::string_view field = "weight_set_id");

// One id or a classifier itself, and maybe more ids for the same image, each
// of them once.
absl::Status CheckWeightSetIds(const v1::ClassifyRequest& request,
                               int max_weight_sets);
absl::Status CheckWeightSetIds(const v1::ClassifyBatchRequest& request,
                               int max_weight_sets);

absl::Status CheckTopK(uint32_t top_k, int max_top_k);

// A score function that is known, and a threshold that is a probability.
absl::Status CheckDecisions(const v1::ClassifyRequest& request);
absl::Status CheckDecisions(const v1::ClassifyBatchRequest& request);

// Embeddings that are scored as they are: rows of the model's length, each of
// length 1 within 0.001, no more than --max_batch_items of them, and no images
// beside them.
absl::Status CheckEmbeddings(const ClassifyCall& call,
                             const ServerOptions& options,
                             const clip::ModelInfo& model);

// No more items than --max_batch_items, nor vectors than --max_answer_bytes.
absl::Status CheckBatch(absl::string_view field, int items,
                        const ServerOptions& options,
                        const clip::ModelInfo& model);

// A page token is the last id of the page before: ids are what lists are
// ordered by, so that a token stays good when sets come and go.
absl::Status CheckPage(const v1::ListWeightSetsRequest& request);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_REQUEST_CHECKS_H_
