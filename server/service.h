// The RPCs of proto/zeroshot/v1: admission, proto <-> values, timing. What the
// answers are is decided in zeroshot/.
#ifndef ZEROSHOT_SERVER_SERVICE_H_
#define ZEROSHOT_SERVER_SERVICE_H_

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>
#include <grpcpp/support/sync_stream.h>

#include <vector>

#include "absl/functional/function_ref.h"
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
#include "zeroshot/admission.h"
#include "zeroshot/image_classifier.h"
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
  // Calls that score embeddings, which no device is needed for, at once.
  static constexpr int kMaxScoringCalls = 16;

  // Borrows calls and metrics.
  Service(const ServerOptions& options, Calls* calls, Metrics* metrics);

  // What a scrape of the metrics reads, but for `ready`.
  Readings Read();

  // --- for calls of another protocol (server/inference/inference_service.h),
  // which become these: the same admission, limits and budgets are theirs ---

  // Answers a call of `method`: lets it in, takes memory for its request and
  // parses it within the limits, then runs `handler`, which may take things out
  // of the request.
  template <typename Request>
  grpc::Status AnswerRequest(
      const Method& method, grpc::ServerContext* context,
      const grpc::ByteBuffer* bytes,
      absl::FunctionRef<absl::Status(const Call&, Request*)> handler) {
    return calls_->Answer(
        method, context, [&](const Call& call) -> absl::Status {
          const auto share = memory_.Take(bytes->Length());
          if (!share.ok()) return share.status();
          Request request;
          // gRPC gives the handler's own bytes as const, and destroys them
          // afterwards.
          absl::Status parsed =
              limits_.Parse(const_cast<grpc::ByteBuffer*>(bytes), &request);
          return parsed.ok() ? handler(call, &request) : parsed;
        });
  }

  // A place for one of the calls that kMaxAdminCalls is about.
  absl::StatusOr<Admission::Place> AdmitAdmin();

  const RequestLimits& limits() const { return limits_; }
  RequestMemory& memory() { return memory_; }
  AnswerBudget& answers() { return answers_; }

  // Handlers within a call that Calls has let in.
  absl::Status ClassifyBatch(const Call& call,
                             const v1::ClassifyBatchRequest& request,
                             v1::ClassifyBatchResponse* response);
  absl::Status EmbedImages(const Call& call,
                           const v1::EmbedImagesRequest& request,
                           v1::EmbedImagesResponse* response);
  absl::Status EmbedTexts(const Call& call,
                          const v1::EmbedTextsRequest& request,
                          v1::EmbedTextsResponse* response);

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
  absl::Status ListTemplateSets(const Call& call,
                                const v1::ListTemplateSetsRequest& request,
                                v1::ListTemplateSetsResponse* response);
  absl::Status ListClassSets(const Call& call,
                             const v1::ListClassSetsRequest& request,
                             v1::ListClassSetsResponse* response);
  absl::Status GetClassSet(const Call& call,
                           const v1::GetClassSetRequest& request,
                           v1::GetClassSetResponse* response);
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

  // A place for a call of Classify, ClassifyBatch or EmbedImages, for each of
  // its images. ResourceExhausted, with a
  // retry delay: too many calls are inside, or those inside will keep the
  // device busy until after this call's deadline.
  absl::StatusOr<Admission::Place> Admit(const Call& call, int images);
  // A place for what Classify or ClassifyBatch has: images, or embeddings.
  absl::StatusOr<Admission::Place> Admit(const Call& call,
                                         const ClassifyCall& classify);

  // A place for a call that builds, or waits for another's build.
  absl::StatusOr<Admission::Place> AdmitBuild();

  absl::Status Build(const Call& call,
                     const v1::BuildClassifierRequest& request,
                     const WeightSetBuilder::OnProgress& on_progress,
                     v1::BuildClassifierResponse* response);
  // REQUIRES: AdmitBuild let the call in.
  absl::StatusOr<BuildResult> RunBuild(
      const Call& call, const WeightSetBuilder::Named& named,
      const WeightSetBuilder::OnProgress& on_progress);

  // What Classify and ClassifyBatch have alike: from the request but for its
  // images to the answers. Fills `classify`, and in the response what the
  // request's `classifier` became.
  template <typename Request, typename Response>
  absl::StatusOr<std::vector<absl::StatusOr<Answer>>> ClassifyImages(
      const Call& call, const Request& request, ClassifyCall* classify,
      Response* response);
  // Finds or builds the weight set of a classifier that stands in a call of
  // Classify. `place`, of the call's images, is others' while it is built.
  absl::Status FindOrBuild(const Call& call,
                           const v1::BuildClassifierRequest& classifier,
                           ClassifyCall* classify, Admission::Place* place,
                           v1::BuildClassifierResponse* response);

  const ServerOptions options_;
  Calls* const calls_;
  Metrics* const metrics_;
  Admission admission_;        // images and EmbedTexts calls
  Admission build_admission_;  // build calls, waiting ones included
  Admission transfer_admission_;
  Admission admin_admission_;
  Admission scoring_admission_;
  const RequestLimits limits_;
  RequestMemory memory_;
  AnswerBudget answers_;
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_SERVICE_H_
