// A server on a free port of this machine with a fake model, and a client's
// end of it: calls go through real TCP.
#ifndef ZEROSHOT_TESTS_SERVER_RUNNING_SERVER_H_
#define ZEROSHOT_TESTS_SERVER_RUNNING_SERVER_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/options.h"
#include "server/server.h"
#include "tests/testing/fake_model.h"
#include "zeroshot/v1/zeroshot.grpc.pb.h"

namespace zeroshot::server {

// A context with a deadline that no test should reach.
struct Context : grpc::ClientContext {
  explicit Context(absl::Duration timeout = absl::Seconds(60)) {
    set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  }
};

inline std::shared_ptr<grpc::Channel> ChannelTo(int port) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  // A connection of its own for each channel.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", port),
                                   grpc::InsecureChannelCredentials(),
                                   arguments);
}

inline v1::BuildClassifierRequest BuildRequest(
    std::initializer_list<const char*> classes,
    std::initializer_list<const char*> templates = {}) {
  v1::BuildClassifierRequest request;
  for (const char* name : classes) request.add_classes()->set_name(name);
  for (const char* text : templates) request.add_templates(text);
  return request;
}

// Thread rule: one thread, but the stub is for any.
class RunningServer {
 public:
  // Without `serve` the model stays unloaded.
  explicit RunningServer(ServerOptions options = {}, bool serve = true,
                         std::function<void()> on_broken = nullptr) {
    options.listen = "127.0.0.1:0";
    auto started = Server::Start(options, std::move(on_broken));
    if (!started.ok()) {
      ADD_FAILURE() << started.status();
      std::abort();
    }
    server_ = *std::move(started);
    channel_ = ChannelTo(server_->port());
    // A loaded machine may need more than gRPC's first attempt.
    EXPECT_TRUE(channel_->WaitForConnected(
        absl::ToChronoTime(absl::Now() + absl::Seconds(60))));
    stub_ = v1::ZeroShot::NewStub(channel_);
    if (serve) Serve();
  }

  void Serve() {
    auto model = std::make_unique<clip::FakeModel>();
    model_ = model.get();
    server_->Serve(std::move(model));
  }

  // A model of the test's own instead. Then there is no model().
  void Serve(std::unique_ptr<clip::Model> model) {
    server_->Serve(std::move(model));
  }

  Server& server() { return *server_; }
  clip::FakeModel& model() { return *model_; }
  // Of calls: the watchdog's first look is not one of them.
  int image_batches() { return model_->image_batches() - 1; }
  int text_calls() { return model_->text_calls() - 1; }

  v1::ZeroShot::Stub& stub() { return *stub_; }
  const std::shared_ptr<grpc::Channel>& channel() { return channel_; }

  // The id of a weight set built from the request.
  std::string Build(const v1::BuildClassifierRequest& request) {
    Context context;
    v1::BuildClassifierResponse response;
    const grpc::Status status =
        stub_->BuildClassifier(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.weight_set_id();
  }

  // Waits until the metrics have the line: what a client knows already, the
  // server may hear of later.
  void WaitForMetric(const std::string& line) {
    while (
        !absl::StrContains(server_->status_source().metrics(), line + "\n")) {
      absl::SleepFor(absl::Milliseconds(1));
    }
  }

  grpc::Status Classify(const v1::ClassifyRequest& request,
                        v1::ClassifyResponse* response,
                        absl::Duration timeout = absl::Seconds(60)) {
    Context context(timeout);
    return stub_->Classify(&context, request, response);
  }

 private:
  std::unique_ptr<Server> server_;
  clip::FakeModel* model_ = nullptr;  // owned by the server
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::ZeroShot::Stub> stub_;
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_TESTS_SERVER_RUNNING_SERVER_H_
