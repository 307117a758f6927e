// How gRPC comes to the handlers of service.h: it hands each request over as
// bytes, which are looked at before they are parsed.
#include <google/protobuf/message.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/support/method_handler.h>

#include "server/service.h"

namespace zeroshot::server {
namespace {

using grpc::ByteBuffer;
using grpc::ServerContext;
using grpc::internal::RpcMethod;
using grpc::internal::RpcServiceMethod;

// The handler's own: gRPC gives it as const, and destroys it afterwards.
ByteBuffer* Taken(const ByteBuffer* request) {
  return const_cast<ByteBuffer*>(request);
}

}  // namespace

template <typename Request, typename Response>
void Service::AddUnary(const Method& method,
                       grpc::Status (Service::*handler)(ServerContext*,
                                                        const Request*,
                                                        Response*)) {
  using Handler = grpc::internal::RpcMethodHandler<
      Service, ByteBuffer, Response, ByteBuffer, google::protobuf::MessageLite>;
  AddMethod(new RpcServiceMethod(
      method.path, RpcMethod::NORMAL_RPC,
      new Handler(
          [method, handler](Service* service, ServerContext* context,
                            const ByteBuffer* bytes, Response* response) {
            Request request;
            const auto share = service->memory_.Take(bytes->Length());
            absl::Status taken = share.status();
            if (taken.ok()) {
              taken = service->limits_.Parse(Taken(bytes), &request);
            }
            if (taken.ok())
              return (service->*handler)(context, &request, response);
            return service->calls_->Answer(method.name(), method.needed,
                                           context,
                                           [&](const Call&) { return taken; });
          },
          this)));
}

template <typename Request, typename Response>
void Service::AddServerStream(
    const Method& method,
    grpc::Status (Service::*handler)(ServerContext*, const Request*,
                                     grpc::ServerWriter<Response>*)) {
  using Handler =
      grpc::internal::ServerStreamingHandler<Service, ByteBuffer, Response>;
  AddMethod(new RpcServiceMethod(
      method.path, RpcMethod::SERVER_STREAMING,
      new Handler(
          [method, handler](Service* service, ServerContext* context,
                            const ByteBuffer* bytes,
                            grpc::ServerWriter<Response>* writer) {
            Request request;
            const auto share = service->memory_.Take(bytes->Length());
            absl::Status taken = share.status();
            if (taken.ok()) {
              taken = service->limits_.Parse(Taken(bytes), &request);
            }
            if (taken.ok())
              return (service->*handler)(context, &request, writer);
            return service->calls_->Answer(method.name(), method.needed,
                                           context,
                                           [&](const Call&) { return taken; });
          },
          this)));
}

void Service::AddMethods() {
  AddUnary(kBuildClassifier, &Service::BuildClassifier);
  AddServerStream(kBuildClassifierStream, &Service::BuildClassifierStream);
  AddUnary(kClassify, &Service::Classify);
  AddUnary(kGetWeightSet, &Service::GetWeightSet);
  AddUnary(kListWeightSets, &Service::ListWeightSets);
  AddUnary(kDeleteWeightSet, &Service::DeleteWeightSet);
  AddServerStream(kExportWeightSet, &Service::ExportWeightSet);
  AddUnary(kEmbedImages, &Service::EmbedImages);
  AddUnary(kEmbedTexts, &Service::EmbedTexts);
  AddUnary(kGetModel, &Service::GetModel);
  using Import =
      grpc::internal::ClientStreamingHandler<Service, ByteBuffer,
                                             v1::ImportWeightSetResponse>;
  AddMethod(new RpcServiceMethod(
      kImportWeightSet.path, RpcMethod::CLIENT_STREAMING,
      new Import(
          [](Service* service, ServerContext* context,
             grpc::ServerReader<ByteBuffer>* reader,
             v1::ImportWeightSetResponse* response) {
            return service->ImportWeightSet(context, reader, response);
          },
          this)));
}

}  // namespace zeroshot::server
