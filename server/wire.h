// Values of zeroshot <-> messages of proto/zeroshot/v1, field by field.
#ifndef ZEROSHOT_SERVER_WIRE_H_
#define ZEROSHOT_SERVER_WIRE_H_

#include <google/protobuf/duration.pb.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "clip/model.h"
#include "server/options.h"
#include "stores/weight_set.h"
#include "stores/weight_store.h"
#include "zeroshot/classifier_spec.h"
#include "zeroshot/embedder.h"
#include "zeroshot/image_classifier.h"
#include "zeroshot/v1/zeroshot.pb.h"
#include "zeroshot/weight_set_builder.h"

namespace zeroshot::server {

// These borrow the request's images and embeddings.
ClassifierSpec FromProto(const v1::BuildClassifierRequest& request);
ClassifyCall FromProto(const v1::ClassifyRequest& request);
ClassifyCall FromProto(const v1::ClassifyBatchRequest& request);

// `total` is the whole call's time inside the server.
void ToProto(const BuildResult& result, absl::Duration total,
             v1::BuildClassifierResponse* out);
void ToProto(const BuildProgress& progress, v1::BuildProgress* out);
void ToProto(const ClassifyCall& call, const Answer& answer,
             absl::Duration total, v1::ClassifyResponse* out);
void ToProto(const ClassifyCall& call,
             const std::vector<absl::StatusOr<Answer>>& answers,
             absl::Duration total, v1::ClassifyBatchResponse* out);
// With the name that the store has for the set.
void Describe(stores::WeightStore* store, const stores::WeightSetSummary& set,
              v1::WeightSetInfo* out);
// Adds the rows [first, end): classes, with what they decide with, and behind
// them the background.
void RowsToProto(const stores::WeightSet& set, int first, int end,
                 v1::GetWeightSetResponse* out);
// Bytes that a row of a description has at most on the wire, and all else.
int64_t DescriptionBytes(const stores::WeightSet& set, int row);
inline constexpr int64_t kDescriptionBytes = 2048;
// REQUIRES: there is a class set of that name.
void ClassSetToProto(const std::string& name, v1::ClassSet* out);
void ToProto(const Embeddings& embeddings, int embedding_dim,
             v1::EmbedImagesResponse* out);
void ToProto(const Embeddings& embeddings, int embedding_dim,
             v1::EmbedTextsResponse* out);
void ToProto(const clip::ModelInfo& info, const ServerOptions& options,
             v1::GetModelResponse* out);
void ToProto(absl::Duration duration, google::protobuf::Duration* out);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_WIRE_H_
