// The RPCs of proto/zeroshot/v1: admission, proto <-> values, timing. What the
// answers are is decided in zeroshot/.
#ifndef ZEROSHOT_SERVER_SERVICE_H_
#define ZEROSHOT_SERVER_SERVICE_H_

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>
#include <grpcpp/support/sync_stream.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/answer_budget.h"
#include "server/calls.h"
#include "server/methods.h"
#include "server/metrics.h"
#include "server/options.h"
#include "server/request_limits.h"
#include "server/request_memory.h"
#include "zeroshot/door.h"
#include "zeroshot/v1/zeroshot.pb.h"
#include "zeroshot/weight_set_builder.h"

namespace zeroshot::server {

// Thread rule: every method may be called from many threads at once.
class Service final : public grpc::Service {
 public:
  // Build calls that may wait for a build that another call runs.
  static constexpr int kMaxWaitingBuilds = 64;
  // Exports and imports at once: each may take long, and memory for a file.
  static constexpr int kMaxTransfers = 4;
  // Calls that look at weight sets or the model, or delete a set, at once: some
  // read whole headers. They have threads within the server's headroom.
  static constexpr int kMaxAdminCalls = 16;

  // Borrows calls and metrics.
  Service(const ServerOptions& options, Calls* calls, Metrics* metrics);

  // What a scrape of the metrics reads, but for `ready`.
  Readings Read();

  grpc::Status BuildClassifier(grpc::ServerContext* context,
                               const v1::BuildClassifierRequest* request,
                               v1::BuildClassifierResponse* response);
  grpc::Status BuildClassifierStream(
      grpc::ServerContext* context, const v1::BuildClassifierRequest* request,
      grpc::ServerWriter<v1::BuildClassifierStreamResponse>* writer);
  grpc::Status Classify(grpc::ServerContext* context,
                        const v1::ClassifyRequest* request,
                        v1::ClassifyResponse* response);
  grpc::Status GetWeightSet(grpc::ServerContext* context,
                            const v1::GetWeightSetRequest* request,
                            v1::GetWeightSetResponse* response);
  grpc::Status ListWeightSets(grpc::ServerContext* context,
                              const v1::ListWeightSetsRequest* request,
                              v1::ListWeightSetsResponse* response);
  grpc::Status DeleteWeightSet(grpc::ServerContext* context,
                               const v1::DeleteWeightSetRequest* request,
                               v1::DeleteWeightSetResponse* response);
  grpc::Status ExportWeightSet(
      grpc::ServerContext* context, const v1::ExportWeightSetRequest* request,
      grpc::ServerWriter<v1::ExportWeightSetResponse>* writer);
  grpc::Status ImportWeightSet(grpc::ServerContext* context,
                               grpc::ServerReader<grpc::ByteBuffer>* reader,
                               v1::ImportWeightSetResponse* response);
  grpc::Status EmbedImages(grpc::ServerContext* context,
                           const v1::EmbedImagesRequest* request,
                           v1::EmbedImagesResponse* response);
  grpc::Status EmbedTexts(grpc::ServerContext* context,
                          const v1::EmbedTextsRequest* request,
                          v1::EmbedTextsResponse* response);
  grpc::Status GetModel(grpc::ServerContext* context,
                        const v1::GetModelRequest* request,
                        v1::GetModelResponse* response);

 private:
  // Tells gRPC of the methods above. It hands requests over as they came:
  // what is over a limit is refused before it is parsed.
  void AddMethods();
  template <typename Request, typename Response>
  void AddUnary(const Method& method,
                grpc::Status (Service::*handler)(grpc::ServerContext*,
                                                 const Request*, Response*));
  template <typename Request, typename Response>
  void AddServerStream(
      const Method& method,
      grpc::Status (Service::*handler)(grpc::ServerContext*, const Request*,
                                       grpc::ServerWriter<Response>*));

  // A place for a call of Classify or EmbedImages. ResourceExhausted, with a
  // retry delay: too many calls are inside, or those inside will keep the
  // device busy until after this call's deadline.
  absl::StatusOr<Door::Place> Admit(const Call& call, int images);

  // Answers a call of those kMaxAdminCalls is about.
  grpc::Status AnswerAdmin(absl::string_view method, Permission needed,
                           grpc::ServerContext* context,
                           Calls::Handler handler);

  absl::Status Build(const Call& call,
                     const v1::BuildClassifierRequest& request,
                     const WeightSetBuilder::OnProgress& on_progress,
                     v1::BuildClassifierResponse* response);

  const ServerOptions options_;
  Calls* const calls_;
  Metrics* const metrics_;
  Door door_;        // images and EmbedTexts calls
  Door build_door_;  // build calls, waiting ones included
  Door transfer_door_;
  Door admin_door_;
  const RequestLimits limits_;
  RequestMemory memory_;
  AnswerBudget answers_;
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_SERVICE_H_
