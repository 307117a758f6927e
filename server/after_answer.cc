#include "server/after_answer.h"

#include <grpcpp/server.h>

#include <utility>
#include <vector>

namespace zeroshot::server {
namespace {

// Of the call whose answer this thread makes or sends.
thread_local std::vector<std::shared_ptr<void>> kept;

// gRPC calls it on the request's thread when the answer has left.
class AfterAnswers : public grpc::Server::GlobalCallbacks {
 public:
  void PreSynchronousRequest(grpc::ServerContext*) override {}
  void PostSynchronousRequest(grpc::ServerContext*) override { kept.clear(); }
};

// There is one for the process, and it must be there before the first server.
const bool kInstalled = [] {
  grpc::Server::SetGlobalCallbacks(new AfterAnswers);
  return true;
}();

}  // namespace

void KeepUntilSent(std::shared_ptr<void> what) {
  kept.push_back(std::move(what));
}

}  // namespace zeroshot::server
