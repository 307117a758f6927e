// The RPCs over a real connection to a server with the fake model. The first
// byte chooses the method, the rest is the request as it goes over the wire.
// After each input the server still answers a good call.
#include <google/protobuf/stubs/logging.h>
#include <grpcpp/grpcpp.h>
#include <spdlog/spdlog.h>

#include <iterator>
#include <memory>
#include <string>

#include "absl/strings/str_replace.h"
#include "inference/inference.pb.h"
#include "tests/fuzz/fuzz.h"
#include "tests/server/raw_call.h"
#include "tests/server/running_server.h"

namespace zeroshot::server {
namespace {

// What arrived parses, strings being UTF-8 included, and so does the answer.
template <typename Request, typename Response>
void Check(bool server_streams, const std::string& request, bool answered,
           const std::string& response, const grpc::Status& status) {
  fuzz::CheckMessage(status.error_message());
  if (!Request().ParseFromString(request)) {
    FUZZ_CHECK(!status.ok());
    return;
  }
  FUZZ_CHECK(status.error_code() != grpc::StatusCode::INTERNAL);
  FUZZ_CHECK(status.error_code() != grpc::StatusCode::UNKNOWN);
  FUZZ_CHECK(status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED);
  if (status.ok() && !server_streams) FUZZ_CHECK(answered);
  if (answered) FUZZ_CHECK(Response().ParseFromString(response));
}

struct Rpc {
  const char* path;
  bool server_streams;
  void (*check)(bool server_streams, const std::string& request, bool answered,
                const std::string& response, const grpc::Status& status);
};

#define ZEROSHOT_METHOD(name)                        \
  {                                                  \
    "/zeroshot.v1.ZeroShot/" #name, false,           \
        Check<v1::name##Request, v1::name##Response> \
  }
#define INFERENCE_METHOD(name)                                     \
  {                                                                \
    "/inference.GRPCInferenceService/" #name, false,               \
        Check<inference::name##Request, inference::name##Response> \
  }
constexpr Rpc kRpcs[] = {
    ZEROSHOT_METHOD(Classify),
    ZEROSHOT_METHOD(BuildClassifier),
    {"/zeroshot.v1.ZeroShot/BuildClassifierStream", true,
     Check<v1::BuildClassifierRequest, v1::BuildClassifierStreamResponse>},
    ZEROSHOT_METHOD(GetWeightSet),
    ZEROSHOT_METHOD(ListWeightSets),
    ZEROSHOT_METHOD(DeleteWeightSet),
    ZEROSHOT_METHOD(EmbedImages),
    ZEROSHOT_METHOD(EmbedTexts),
    ZEROSHOT_METHOD(GetModel),
    {"/zeroshot.v1.ZeroShot/ExportWeightSet", true,
     Check<v1::ExportWeightSetRequest, v1::ExportWeightSetResponse>},
    ZEROSHOT_METHOD(ImportWeightSet),
    ZEROSHOT_METHOD(ClassifyBatch),
    ZEROSHOT_METHOD(ListTemplateSets),
    ZEROSHOT_METHOD(ListClassSets),
    ZEROSHOT_METHOD(GetClassSet),
    INFERENCE_METHOD(ModelInfer),
    INFERENCE_METHOD(ModelMetadata),
    INFERENCE_METHOD(ModelReady),
    INFERENCE_METHOD(RepositoryIndex),
};
#undef INFERENCE_METHOD
#undef ZEROSHOT_METHOD

// Of the set that every input finds.
std::string* const known_id = new std::string;

RunningServer* StartServer() {
  spdlog::set_level(spdlog::level::off);
  google::protobuf::SetLogHandler(nullptr);
  ServerOptions options;
  options.memory_store_bytes = 1 << 20;
  options.embedder.decode.max_pixels = 100'000;
  options.build.max_prompts = 2'000;
  auto* server = new RunningServer(options);
  *known_id = server->Build(BuildRequest({"cat", "dog"}, {"a {}"}));
  return server;
}

}  // namespace
}  // namespace zeroshot::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace zeroshot::server;
  static RunningServer* const server = StartServer();
  if (size == 0) return 0;
  const Rpc& method = kRpcs[data[0] % std::size(kRpcs)];
  // Seeds cannot know the id.
  const std::string request = absl::StrReplaceAll(
      fuzz::View(data + 1, size - 1), {{std::string(64, '0'), *known_id}});
  RawCall call(server->channel(), method.path, request);
  std::string response, next;
  const bool answered = call.Read(&response);
  while (method.server_streams && call.Read(&next)) {
  }
  method.check(method.server_streams, request, answered, response,
               call.Finish());

  Context context;
  zeroshot::v1::GetModelResponse model;
  FUZZ_CHECK(server->stub().GetModel(&context, {}, &model).ok());
  return 0;
}
