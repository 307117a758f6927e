// The RPCs of proto/zeroshot/v1: admission, proto <-> values, timing and one
// log line a call. What the answers are is decided in zeroshot/.
#ifndef ZEROSHOT_SERVER_SERVICE_H_
#define ZEROSHOT_SERVER_SERVICE_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "clip/mutex.h"
#include "server/engine.h"
#include "server/metrics.h"
#include "server/options.h"
#include "zeroshot/caller.h"
#include "zeroshot/door.h"
#include "zeroshot/v1/zeroshot.grpc.pb.h"

namespace zeroshot::server {

// Thread rule: every method may be called from many threads at once.
class Service final : public v1::ZeroShot::Service {
 public:
  // Build calls that may wait for a build that another call runs.
  static constexpr int kMaxWaitingBuilds = 64;

  // `metrics` is borrowed.
  Service(const ServerOptions& options, Metrics* metrics);

  // From now on `engine` (borrowed) answers. Before that every call is
  // Unavailable.
  void Open(Engine* engine);

  // From now on every new call is Unavailable; those inside go on.
  void Close();

  // OK while calls are taken, else Unavailable: loading or stopping.
  absl::Status Ready();

  // What a scrape of the metrics reads.
  Readings Read();

  // Blocks until no call is inside, or until `deadline`; returns how many are.
  int WaitUntilIdle(absl::Time deadline);

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
  // What a call's handler gets.
  struct Call {
    Engine& engine;
    Caller caller;
    absl::Time start;
  };

  // Runs `handler` as a call named `method`, between Enter and Leave; writes
  // its log line and returns its status as gRPC has it.
  grpc::Status Answer(absl::string_view method, grpc::ServerContext* context,
                      absl::FunctionRef<absl::Status(const Call&)> handler);

  absl::StatusOr<Engine*> OpenEngine() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // The engine, and one more call inside; Unavailable while loading or
  // stopping. Each Enter that went well needs its Leave.
  absl::StatusOr<Engine*> Enter();
  void Leave();

  absl::Status Build(const Call& call,
                     const v1::BuildClassifierRequest& request,
                     const WeightSetBuilder::OnProgress& on_progress,
                     v1::BuildClassifierResponse* response);

  const ServerOptions options_;
  Metrics* const metrics_;
  Door door_;        // Classify and Embed calls
  Door build_door_;  // build calls, waiting ones included
  clip::Mutex mu_;
  clip::CondVar idle_;
  Engine* engine_ ABSL_GUARDED_BY(mu_) = nullptr;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  int inside_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_SERVICE_H_
