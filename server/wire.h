// Values of zeroshot <-> messages of proto/zeroshot/v1, field by field.
// Thread rule: free functions without state.
#ifndef ZEROSHOT_SERVER_WIRE_H_
#define ZEROSHOT_SERVER_WIRE_H_

#include <google/protobuf/duration.pb.h>

#include "absl/time/time.h"
#include "clip/model.h"
#include "server/options.h"
#include "stores/weight_set.h"
#include "zeroshot/classifier.h"
#include "zeroshot/classifier_spec.h"
#include "zeroshot/embedder.h"
#include "zeroshot/v1/zeroshot.pb.h"
#include "zeroshot/weight_set_builder.h"

namespace zeroshot::server {

ClassifierSpec FromProto(const v1::BuildClassifierRequest& request);

// Borrows the request's picture.
ClassifyCall FromProto(const v1::ClassifyRequest& request);

// `total` is the whole call's time inside the server.
void ToProto(const BuildResult& result, absl::Duration total,
             v1::BuildClassifierResponse* out);
void ToProto(const BuildProgress& progress, v1::BuildProgress* out);
void ToProto(const ClassifyCall& call, const Answer& answer,
             absl::Duration total, v1::ClassifyResponse* out);
void ToProto(const stores::WeightSetSummary& set, v1::WeightSetInfo* out);
void ToProto(const Embeddings& embeddings, int embedding_dim,
             v1::EmbedImagesResponse* out);
void ToProto(const Embeddings& embeddings, int embedding_dim,
             v1::EmbedTextsResponse* out);
void ToProto(const clip::ModelInfo& info, const ServerOptions& options,
             v1::GetModelResponse* out);
void ToProto(absl::Duration duration, google::protobuf::Duration* out);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_WIRE_H_
