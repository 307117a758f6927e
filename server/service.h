// The RPCs of proto/zeroshot/v1: admission, proto <-> values, timing. What the
// answers are is decided in zeroshot/.
#ifndef ZEROSHOT_SERVER_SERVICE_H_
#define ZEROSHOT_SERVER_SERVICE_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/calls.h"
#include "server/metrics.h"
#include "server/options.h"
#include "zeroshot/door.h"
#include "zeroshot/v1/zeroshot.grpc.pb.h"
#include "zeroshot/weight_set_builder.h"

namespace zeroshot::server {

// Thread rule: every method may be called from many threads at once.
class Service final : public v1::ZeroShot::Service {
 public:
  // Build calls that may wait for a build that another call runs.
  static constexpr int kMaxWaitingBuilds = 64;
  // Exports and imports at once: each may take long, and memory for a file.
  static constexpr int kMaxTransfers = 4;

  // Borrows calls and metrics.
  Service(const ServerOptions& options, Calls* calls, Metrics* metrics);

  // What a scrape of the metrics reads, but for `ready`.
  Readings Read();

  grpc::Status BuildClassifier(grpc::ServerContext* context,
                               const v1::BuildClassifierRequest* request,
                               v1::BuildClassifierResponse* response) override;
  grpc::Status BuildClassifierStream(
      grpc::ServerContext* context, const v1::BuildClassifierRequest* request,
      grpc::ServerWriter<v1::BuildClassifierStreamResponse>* writer) override;
  grpc::Status Classify(grpc::ServerContext* context,
                        const v1::ClassifyRequest* request,
                        v1::ClassifyResponse* response) override;
  grpc::Status GetWeightSet(grpc::ServerContext* context,
                            const v1::GetWeightSetRequest* request,
                            v1::GetWeightSetResponse* response) override;
  grpc::Status ListWeightSets(grpc::ServerContext* context,
                              const v1::ListWeightSetsRequest* request,
                              v1::ListWeightSetsResponse* response) override;
  grpc::Status DeleteWeightSet(grpc::ServerContext* context,
                               const v1::DeleteWeightSetRequest* request,
                               v1::DeleteWeightSetResponse* response) override;
  grpc::Status ExportWeightSet(
      grpc::ServerContext* context, const v1::ExportWeightSetRequest* request,
      grpc::ServerWriter<v1::ExportWeightSetResponse>* writer) override;
  grpc::Status ImportWeightSet(
      grpc::ServerContext* context,
      grpc::ServerReader<v1::ImportWeightSetRequest>* reader,
      v1::ImportWeightSetResponse* response) override;
  grpc::Status EmbedImages(grpc::ServerContext* context,
                           const v1::EmbedImagesRequest* request,
                           v1::EmbedImagesResponse* response) override;
  grpc::Status EmbedTexts(grpc::ServerContext* context,
                          const v1::EmbedTextsRequest* request,
                          v1::EmbedTextsResponse* response) override;
  grpc::Status GetModel(grpc::ServerContext* context,
                        const v1::GetModelRequest* request,
                        v1::GetModelResponse* response) override;

 private:
  // A place for a call of Classify or EmbedImages. ResourceExhausted, with a
  // retry delay: too many calls are inside, or those inside will keep the
  // device busy until after this call's deadline.
  absl::StatusOr<Door::Place> Admit(const Call& call);

  absl::Status Build(const Call& call,
                     const v1::BuildClassifierRequest& request,
                     const WeightSetBuilder::OnProgress& on_progress,
                     v1::BuildClassifierResponse* response);

  const ServerOptions options_;
  Calls* const calls_;
  Metrics* const metrics_;
  Door door_;        // Classify and Embed calls
  Door build_door_;  // build calls, waiting ones included
  Door transfer_door_;
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_SERVICE_H_
