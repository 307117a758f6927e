// How gRPC comes to the handlers of service.h: it hands each request over as
// bytes, which are looked at before they are parsed.
#include <google/protobuf/message.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/support/method_handler.h>

#include "server/methods.h"
#include "server/service.h"

namespace zeroshot::server {
namespace {

using grpc::ByteBuffer;
using grpc::ServerContext;
using grpc::internal::RpcMethod;
using grpc::internal::RpcServiceMethod;

}  // namespace

template <typename Request, typename Out>
auto Service::TakeRequest(const Method& method,
                          absl::Status (Service::*handler)(const Call&,
                                                           const Request&,
                                                           Out*)) {
  return [this, &method, handler](Service*, ServerContext* context,
                                  const ByteBuffer* bytes, Out* out) {
    return AnswerRequest<Request>(
        method, context, bytes, [&](const Call& call, Request* request) {
          return (this->*handler)(call, *request, out);
        });
  };
}

template <typename Request, typename Response>
void Service::AddUnary(absl::string_view name,
                       absl::Status (Service::*handler)(const Call&,
                                                        const Request&,
                                                        Response*)) {
  using Handler = grpc::internal::RpcMethodHandler<
      Service, ByteBuffer, Response, ByteBuffer, google::protobuf::MessageLite>;
  const Method& method = MethodNamed(name);
  AddMethod(
      new RpcServiceMethod(method.path, RpcMethod::NORMAL_RPC,
                           new Handler(TakeRequest(method, handler), this)));
}

template <typename Request, typename Response>
void Service::AddServerStream(
    absl::string_view name,
    absl::Status (Service::*handler)(const Call&, const Request&,
                                     grpc::ServerWriter<Response>*)) {
  using Handler =
      grpc::internal::ServerStreamingHandler<Service, ByteBuffer, Response>;
  const Method& method = MethodNamed(name);
  AddMethod(
      new RpcServiceMethod(method.path, RpcMethod::SERVER_STREAMING,
                           new Handler(TakeRequest(method, handler), this)));
}

void Service::AddMethods() {
  AddUnary("BuildClassifier", &Service::BuildClassifier);
  AddServerStream("BuildClassifierStream", &Service::BuildClassifierStream);
  AddUnary("Classify", &Service::Classify);
  AddUnary("ClassifyBatch", &Service::ClassifyBatch);
  AddUnary("GetWeightSet", &Service::GetWeightSet);
  AddUnary("ListWeightSets", &Service::ListWeightSets);
  AddUnary("DeleteWeightSet", &Service::DeleteWeightSet);
  AddServerStream("ExportWeightSet", &Service::ExportWeightSet);
  AddUnary("EmbedImages", &Service::EmbedImages);
  AddUnary("EmbedTexts", &Service::EmbedTexts);
  AddUnary("ListTemplateSets", &Service::ListTemplateSets);
  AddUnary("ListClassSets", &Service::ListClassSets);
  AddUnary("GetClassSet", &Service::GetClassSet);
  AddUnary("GetModel", &Service::GetModel);
  using Import =
      grpc::internal::ClientStreamingHandler<Service, ByteBuffer,
                                             v1::ImportWeightSetResponse>;
  const Method& import = MethodNamed("ImportWeightSet");
  AddMethod(new RpcServiceMethod(
      import.path, RpcMethod::CLIENT_STREAMING,
      new Import(
          [this, &import](Service*, ServerContext* context,
                          grpc::ServerReader<ByteBuffer>* reader,
                          v1::ImportWeightSetResponse* response) {
            return calls_->Answer(import, context, [&](const Call& call) {
              return ImportWeightSet(call, reader, response);
            });
          },
          this)));
}

}  // namespace zeroshot::server
