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

 private:
  // The handlers: each answers one call that Calls has let in.
  absl::Status BuildClassifier(const Call& call,
                               const v1::BuildClassifierRequest& request,
                               v1::BuildClassifierResponse* response);
  absl::Status BuildClassifierStream(
      const Call& call, const v1::BuildClassifierRequest& request,
      grpc::ServerWriter<v1::BuildClassifierStreamResponse>* writer);
  absl::Status Classify(const Call& call, const v1::ClassifyRequest& request,
                        v1::ClassifyResponse* response);
  absl::Status GetWeightSet(const Call& call,
                            const v1::GetWeightSetRequest& request,
                            v1::GetWeightSetResponse* response);
  absl::Status ListWeightSets(const Call& call,
                              const v1::ListWeightSetsRequest& request,
                              v1::ListWeightSetsResponse* response);
  absl::Status DeleteWeightSet(const Call& call,
                               const v1::DeleteWeightSetRequest& request,
                               v1::DeleteWeightSetResponse* response);
  absl::Status ExportWeightSet(
      const Call& call, const v1::ExportWeightSetRequest& request,
      grpc::ServerWriter<v1::ExportWeightSetResponse>* writer);
  absl::Status ImportWeightSet(const Call& call,
                               grpc::ServerReader<grpc::ByteBuffer>* reader,
                               v1::ImportWeightSetResponse* response);
  absl::Status EmbedImages(const Call& call,
                           const v1::EmbedImagesRequest& request,
                           v1::EmbedImagesResponse* response);
  absl::Status EmbedTexts(const Call& call,
                          const v1::EmbedTextsRequest& request,
                          v1::EmbedTextsResponse* response);
  absl::Status GetModel(const Call& call, const v1::GetModelRequest& request,
                        v1::GetModelResponse* response);

  // Tells gRPC of the handlers above. It hands requests over as they came:
  // what is over a limit is refused before it is parsed.
  void AddMethods();
  template <typename Request, typename Response>
  void AddUnary(absl::string_view name,
                absl::Status (Service::*handler)(const Call&, const Request&,
                                                 Response*));
  template <typename Request, typename Response>
  void AddServerStream(
      absl::string_view name,
      absl::Status (Service::*handler)(const Call&, const Request&,
                                       grpc::ServerWriter<Response>*));
  // What gRPC runs for a call of `method`: it parses the request for `handler`.
  // Out: the response, or what takes several of them.
  template <typename Request, typename Out>
  auto TakeRequest(const Method& method,
                   absl::Status (Service::*handler)(const Call&, const Request&,
                                                    Out*));

  // A place for a call of Classify or EmbedImages. ResourceExhausted, with a
  // retry delay: too many calls are inside, or those inside will keep the
  // device busy until after this call's deadline.
  absl::StatusOr<Door::Place> Admit(const Call& call, int images);

  // A place for one of the calls that kMaxAdminCalls is about.
  absl::StatusOr<Door::Place> AdmitAdmin();

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
