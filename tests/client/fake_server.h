// A real gRPC server on a free port whose answers a test decides: for what a
// well-behaved server shows seldom (forgotten weight sets, refused calls,
// broken answers).
#ifndef ZEROSHOT_TESTS_CLIENT_FAKE_SERVER_H_
#define ZEROSHOT_TESTS_CLIENT_FAKE_SERVER_H_

#include <google/protobuf/any.pb.h>
#include <grpcpp/server.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/hand_over.h"
#include "client/client.h"
#include "zeroshot/v1/zeroshot.grpc.pb.h"

namespace zeroshot::client {

// ThreadSanitizer does not see how gRPC hands a call from thread to thread.
// What a thread did before its Fence it takes for done before what another
// thread does after its own, later one. The fake server has one on each side
// of an answer, RunCli on each side of a command; a test that calls a Client
// and shares more than a Shared with its answers has one after the calls.
inline void Fence() {
  static const char all = 0;
  base::TakeOver(&all);
  base::HandOver(&all);
}

// A value that a test and its server's threads share.
template <typename T>
class Shared {
 public:
  Shared() = default;
  explicit Shared(T value) : value_(std::move(value)) {}
  ~Shared() { Set(T()); }

  void Set(T value) {
    std::lock_guard<std::mutex> lock(mu_);
    value_ = std::move(value);
  }
  T Get() const {
    std::lock_guard<std::mutex> lock(mu_);
    return value_;
  }

 private:
  mutable std::mutex mu_;  // guards value_
  T value_{};
};

// How the server answers one method, set by assignment; UNIMPLEMENTED until
// then.
template <typename Request, typename Response>
class Answering {
 public:
  using Function = std::function<grpc::Status(const Request&, Response)>;

  Answering& operator=(Function function) {
    function_.Set(std::move(function));
    return *this;
  }
  Function Get() const { return function_.Get(); }

  grpc::Status operator()(const Request& request, Response response) const {
    Fence();
    grpc::Status status(grpc::StatusCode::UNIMPLEMENTED, "not set");
    if (const Function function = function_.Get(); function != nullptr) {
      status = function(request, response);
    }
    Fence();
    return status;
  }

 private:
  Shared<Function> function_;
};

// Thread rule: answers may be set at any time; they are called from many
// threads at once.
class FakeServer final : private v1::ZeroShot::Service {
 public:
  // `credentials` null: plain text. `port` 0: a free one.
  explicit FakeServer(
      std::shared_ptr<grpc::ServerCredentials> credentials = nullptr,
      int port = 0);
  ~FakeServer();

  // Ends all calls and waits until none is answered any more.
  void Stop();

  int port() const { return port_; }
  std::string target() const;

  // A client of this server; a failure to connect ends the test.
  std::unique_ptr<Client> Connect(ClientOptions options = {}) const;

  // What grpc.health.v1 says of zeroshot.v1.ZeroShot.
  void SetServing(bool serving);

  // The metadata of the last call that a client made, of most methods.
  std::multimap<std::string, std::string> metadata() const {
    return metadata_.Get();
  }

  Answering<v1::BuildClassifierRequest, v1::BuildClassifierResponse*> build;
  Answering<v1::BuildClassifierRequest,
            std::function<void(const v1::BuildClassifierStreamResponse&)>>
      build_stream;
  Answering<v1::ClassifyRequest, v1::ClassifyResponse*> classify;
  Answering<v1::ClassifyBatchRequest, v1::ClassifyBatchResponse*>
      classify_batch;
  Answering<v1::EmbedImagesRequest, v1::EmbedImagesResponse*> embed_images;
  Answering<v1::EmbedTextsRequest, v1::EmbedTextsResponse*> embed_texts;
  Answering<v1::GetModelRequest, v1::GetModelResponse*> get_model;
  Answering<v1::ListTemplateSetsRequest, v1::ListTemplateSetsResponse*>
      template_sets;
  Answering<v1::ListClassSetsRequest, v1::ListClassSetsResponse*> class_sets;
  Answering<v1::GetClassSetRequest, v1::GetClassSetResponse*> class_set;
  Answering<v1::ListWeightSetsRequest, v1::ListWeightSetsResponse*> list;
  Answering<v1::GetWeightSetRequest, v1::GetWeightSetResponse*> get;
  Answering<v1::DeleteWeightSetRequest, v1::DeleteWeightSetResponse*> remove;
  Answering<v1::ExportWeightSetRequest,
            std::function<bool(const v1::ExportWeightSetResponse&)>>
      export_set;
  // Gets all of the client's messages.
  Answering<std::vector<v1::ImportWeightSetRequest>,
            v1::ImportWeightSetResponse*>
      import_set;

 private:
  void Note(const grpc::ServerContext& context);

  grpc::Status BuildClassifier(grpc::ServerContext* context,
                               const v1::BuildClassifierRequest* request,
                               v1::BuildClassifierResponse* response) override {
    Note(*context);
    return build(*request, response);
  }
  grpc::Status BuildClassifierStream(
      grpc::ServerContext*, const v1::BuildClassifierRequest* request,
      grpc::ServerWriter<v1::BuildClassifierStreamResponse>* writer) override;
  grpc::Status Classify(grpc::ServerContext* context,
                        const v1::ClassifyRequest* request,
                        v1::ClassifyResponse* response) override {
    Note(*context);
    return classify(*request, response);
  }
  grpc::Status ClassifyBatch(grpc::ServerContext*,
                             const v1::ClassifyBatchRequest* request,
                             v1::ClassifyBatchResponse* response) override {
    return classify_batch(*request, response);
  }
  grpc::Status EmbedImages(grpc::ServerContext*,
                           const v1::EmbedImagesRequest* request,
                           v1::EmbedImagesResponse* response) override {
    return embed_images(*request, response);
  }
  grpc::Status EmbedTexts(grpc::ServerContext*,
                          const v1::EmbedTextsRequest* request,
                          v1::EmbedTextsResponse* response) override {
    return embed_texts(*request, response);
  }
  grpc::Status GetModel(grpc::ServerContext* context,
                        const v1::GetModelRequest* request,
                        v1::GetModelResponse* response) override {
    Note(*context);
    return get_model(*request, response);
  }
  grpc::Status ListTemplateSets(
      grpc::ServerContext*, const v1::ListTemplateSetsRequest* request,
      v1::ListTemplateSetsResponse* response) override {
    return template_sets(*request, response);
  }
  grpc::Status ListClassSets(grpc::ServerContext*,
                             const v1::ListClassSetsRequest* request,
                             v1::ListClassSetsResponse* response) override {
    return class_sets(*request, response);
  }
  grpc::Status GetClassSet(grpc::ServerContext*,
                           const v1::GetClassSetRequest* request,
                           v1::GetClassSetResponse* response) override {
    return class_set(*request, response);
  }
  grpc::Status ListWeightSets(grpc::ServerContext* context,
                              const v1::ListWeightSetsRequest* request,
                              v1::ListWeightSetsResponse* response) override {
    Note(*context);
    return list(*request, response);
  }
  grpc::Status GetWeightSet(grpc::ServerContext*,
                            const v1::GetWeightSetRequest* request,
                            v1::GetWeightSetResponse* response) override {
    return get(*request, response);
  }
  grpc::Status DeleteWeightSet(grpc::ServerContext* context,
                               const v1::DeleteWeightSetRequest* request,
                               v1::DeleteWeightSetResponse* response) override {
    Note(*context);
    return remove(*request, response);
  }
  grpc::Status ExportWeightSet(
      grpc::ServerContext*, const v1::ExportWeightSetRequest* request,
      grpc::ServerWriter<v1::ExportWeightSetResponse>* writer) override;
  grpc::Status ImportWeightSet(
      grpc::ServerContext*,
      grpc::ServerReader<v1::ImportWeightSetRequest>* reader,
      v1::ImportWeightSetResponse* response) override;

  Shared<std::multimap<std::string, std::string>> metadata_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// Makes `server` a small zero-shot service that keeps weight sets until
// Forget. The id of a set is "id-" and its class names joined by "-"; an image
// whose bytes are a class's name is that class with 75 %, other bytes are
// INVALID_ARGUMENT. Outlives the server's last call.
class FakeClassifiers {
 public:
  explicit FakeClassifiers(FakeServer* server);
  ~FakeClassifiers() { Forget(); }

  // From now on every set is unknown until it is built again.
  void Forget();

  int builds() const { return builds_; }

 private:
  grpc::Status Build(const v1::BuildClassifierRequest& request,
                     v1::BuildClassifierResponse* response);
  grpc::Status Classify(const v1::ClassifyRequest& request,
                        v1::ClassifyResponse* response);
  grpc::Status ClassifyBatch(const v1::ClassifyBatchRequest& request,
                             v1::ClassifyBatchResponse* response);
  grpc::Status Score(
      const v1::ClassifyRequest& request, const std::string& id,
      google::protobuf::RepeatedPtrField<v1::Prediction>* predictions);
  grpc::Status Find(const std::string& id, std::vector<std::string>* classes);

  std::atomic<int> builds_{0};
  std::mutex mu_;  // guards sets_
  std::map<std::string, std::vector<std::string>> sets_;
};

// A google.rpc.ErrorInfo as a detail of a status. The reason is short.
inline google::protobuf::Any ErrorDetail(const std::string& reason) {
  const auto field = [](int number, const std::string& bytes) {
    return absl::StrCat(std::string(1, static_cast<char>(number << 3 | 2)),
                        std::string(1, static_cast<char>(bytes.size())), bytes);
  };
  google::protobuf::Any detail;
  detail.set_type_url("type.googleapis.com/google.rpc.ErrorInfo");
  detail.set_value(absl::StrCat(field(1, reason), field(2, "zeroshot")));
  return detail;
}

// What a server says to a damaged image.
inline grpc::Status DamagedImage() {
  const std::string detail =
      ErrorDetail("IMAGE_DAMAGED").SerializeAsString();  // under 128 bytes
  return grpc::Status(
      grpc::StatusCode::INVALID_ARGUMENT, "a damaged PNG",
      absl::StrCat("\x1a", std::string(1, static_cast<char>(detail.size())),
                   detail));
}

}  // namespace zeroshot::client

#endif  // ZEROSHOT_TESTS_CLIENT_FAKE_SERVER_H_
