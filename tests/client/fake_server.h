// A real gRPC server on a free port whose answers a test decides: for what a
// well-behaved server shows seldom (forgotten weight sets, refused calls,
// broken answers).
#ifndef ZEROSHOT_TESTS_CLIENT_FAKE_SERVER_H_
#define ZEROSHOT_TESTS_CLIENT_FAKE_SERVER_H_

#include <grpcpp/server.h>
#include <grpcpp/support/status.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "client/client.h"
#include "zeroshot/v1/zeroshot.grpc.pb.h"

namespace zeroshot::client {

// ThreadSanitizer does not see how gRPC hands a call from thread to thread, so
// whatever test and server share goes through a lock of ours.

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
    const Function function = function_.Get();
    return function != nullptr
               ? function(request, response)
               : grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "not set");
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

  Answering<v1::BuildClassifierRequest, v1::BuildClassifierResponse*> build;
  Answering<v1::BuildClassifierRequest,
            std::function<void(const v1::BuildClassifierStreamResponse&)>>
      build_stream;
  Answering<v1::ClassifyRequest, v1::ClassifyResponse*> classify;
  Answering<v1::EmbedImagesRequest, v1::EmbedImagesResponse*> embed_images;
  Answering<v1::EmbedTextsRequest, v1::EmbedTextsResponse*> embed_texts;
  Answering<v1::GetModelRequest, v1::GetModelResponse*> get_model;
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
  grpc::Status BuildClassifier(grpc::ServerContext*,
                               const v1::BuildClassifierRequest* request,
                               v1::BuildClassifierResponse* response) override {
    return build(*request, response);
  }
  grpc::Status BuildClassifierStream(
      grpc::ServerContext*, const v1::BuildClassifierRequest* request,
      grpc::ServerWriter<v1::BuildClassifierStreamResponse>* writer) override;
  grpc::Status Classify(grpc::ServerContext*,
                        const v1::ClassifyRequest* request,
                        v1::ClassifyResponse* response) override {
    return classify(*request, response);
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
  grpc::Status GetModel(grpc::ServerContext*,
                        const v1::GetModelRequest* request,
                        v1::GetModelResponse* response) override {
    return get_model(*request, response);
  }
  grpc::Status ListWeightSets(grpc::ServerContext*,
                              const v1::ListWeightSetsRequest* request,
                              v1::ListWeightSetsResponse* response) override {
    return list(*request, response);
  }
  grpc::Status GetWeightSet(grpc::ServerContext*,
                            const v1::GetWeightSetRequest* request,
                            v1::GetWeightSetResponse* response) override {
    return get(*request, response);
  }
  grpc::Status DeleteWeightSet(grpc::ServerContext*,
                               const v1::DeleteWeightSetRequest* request,
                               v1::DeleteWeightSetResponse* response) override {
    return remove(*request, response);
  }
  grpc::Status ExportWeightSet(
      grpc::ServerContext*, const v1::ExportWeightSetRequest* request,
      grpc::ServerWriter<v1::ExportWeightSetResponse>* writer) override;
  grpc::Status ImportWeightSet(
      grpc::ServerContext*,
      grpc::ServerReader<v1::ImportWeightSetRequest>* reader,
      v1::ImportWeightSetResponse* response) override;

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// Makes `server` a small zero-shot service that keeps weight sets until
// Forget. The id of a set is "id-" and its class names joined by "-"; a picture
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
  grpc::Status Score(
      const v1::ClassifyRequest& request, const std::string& id,
      google::protobuf::RepeatedPtrField<v1::Prediction>* predictions);
  grpc::Status Find(const std::string& id, std::vector<std::string>* classes);

  std::atomic<int> builds_{0};
  std::mutex mu_;  // guards sets_
  std::map<std::string, std::vector<std::string>> sets_;
};

}  // namespace zeroshot::client

#endif  // ZEROSHOT_TESTS_CLIENT_FAKE_SERVER_H_
