#include "server/reflection_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <iterator>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/caller.h"
#include "server/grpc_status.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::server {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;
using grpc::ByteBuffer;
using grpc::internal::RpcMethod;

// The field numbers of grpc/reflection/v1/reflection.proto.
enum Request {
  kHost = 1,
  kFileByFilename = 3,
  kFileContainingSymbol = 4,
  kFileContainingExtension = 5,
  kAllExtensionNumbersOfType = 6,
  kListServices = 7
};
enum Response {
  kValidHost = 1,
  kOriginalRequest = 2,
  kFileDescriptorResponse = 4,
  kListServicesResponse = 6,
  kErrorResponse = 7
};

constexpr absl::string_view kServices[] = {
    "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "inference.GRPCInferenceService", "zeroshot.v1.ZeroShot"};

constexpr const char* kPaths[] = {
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"};

// A name, and little else.
constexpr size_t kMaxRequestBytes = 16 << 10;

std::string Varint(uint32_t value) {
  uint8_t bytes[5];
  const uint8_t* const end =
      CodedOutputStream::WriteVarint32ToArray(value, bytes);
  return {reinterpret_cast<const char*>(bytes),
          static_cast<size_t>(end - bytes)};
}

// A field of bytes: a string or a message.
std::string Field(int number, absl::string_view bytes) {
  return absl::StrCat(Varint(WireFormatLite::MakeTag(
                          number, WireFormatLite::WIRETYPE_LENGTH_DELIMITED)),
                      Varint(static_cast<uint32_t>(bytes.size())), bytes);
}

std::string Error(grpc::StatusCode code, absl::string_view message) {
  return Field(
      kErrorResponse,
      absl::StrCat(
          Varint(WireFormatLite::MakeTag(1, WireFormatLite::WIRETYPE_VARINT)),
          Varint(static_cast<uint32_t>(code)), Field(2, message)));
}

// A file and all that it imports.
void AddFiles(const FileDescriptor* file,
              std::set<const FileDescriptor*>* added, std::string* out) {
  if (!added->insert(file).second) return;
  google::protobuf::FileDescriptorProto proto;
  file->CopyTo(&proto);
  absl::StrAppend(out, Field(1, proto.SerializeAsString()));
  for (int i = 0; i < file->dependency_count(); ++i) {
    AddFiles(file->dependency(i), added, out);
  }
}

std::string Files(const FileDescriptor* file, absl::string_view what) {
  if (file == nullptr) {
    return Error(grpc::StatusCode::NOT_FOUND,
                 absl::StrCat(what, " is not known here"));
  }
  std::set<const FileDescriptor*> added;
  std::string files;
  AddFiles(file, &added, &files);
  return Field(kFileDescriptorResponse, files);
}

std::string AnswerTo(int what, const std::string& name) {
  // It must be linked for its descriptors to be there.
  const DescriptorPool* const pool =
      v1::ClassifyRequest::descriptor()->file()->pool();
  switch (what) {
    case kFileByFilename:
      return Files(pool->FindFileByName(name), "the file");
    case kFileContainingSymbol:
      return Files(pool->FindFileContainingSymbol(name), "the symbol");
    case kListServices: {
      std::string services;
      for (absl::string_view service : kServices) {
        absl::StrAppend(&services, Field(1, Field(1, service)));
      }
      return Field(kListServicesResponse, services);
    }
    case kFileContainingExtension:
    case kAllExtensionNumbersOfType:
      return Error(grpc::StatusCode::NOT_FOUND, "there are no extensions");
    default:
      return Error(grpc::StatusCode::INVALID_ARGUMENT,
                   "the request asks for nothing that is known here");
  }
}

// One stream: an answer to each request, in turn.
class Stream final : public grpc::ServerBidiReactor<ByteBuffer, ByteBuffer> {
 public:
  Stream() { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    grpc::Slice slice;
    if (!ok) return Finish(grpc::Status::OK);
    if (request_.Length() > kMaxRequestBytes ||
        !request_.DumpToSingleSlice(&slice).ok()) {
      return Finish(
          {grpc::StatusCode::INVALID_ARGUMENT,
           absl::StrCat("the request has ", request_.Length(),
                        " bytes; at most ", kMaxRequestBytes, " are allowed")});
    }
    const grpc::Slice answer(ReflectionService::Answer(
        {reinterpret_cast<const char*>(slice.begin()), slice.size()}));
    response_ = ByteBuffer(&answer, 1);
    StartWrite(&response_);
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(ToGrpcStatus(base::CallerGone()));
    StartRead(&request_);
  }

  void OnDone() override { delete this; }

 private:
  ByteBuffer request_, response_;
};

}  // namespace

std::string ReflectionService::Answer(absl::string_view request) {
  CodedInputStream in(reinterpret_cast<const uint8_t*>(request.data()),
                      static_cast<int>(request.size()));
  std::string host, name;
  int what = 0;
  while (const uint32_t tag = in.ReadTag()) {
    const int number = WireFormatLite::GetTagFieldNumber(tag);
    if (WireFormatLite::GetTagWireType(tag) !=
        WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      if (!WireFormatLite::SkipField(&in, tag)) break;
      continue;
    }
    std::string value;
    if (!WireFormatLite::ReadBytes(&in, &value)) break;
    if (number == kHost) {
      host = value;
    } else {
      what = number;
      name = value;
    }
  }
  return absl::StrCat(Field(kValidHost, host), Field(kOriginalRequest, request),
                      in.ConsumedEntireMessage()
                          ? AnswerTo(what, name)
                          : Error(grpc::StatusCode::INVALID_ARGUMENT,
                                  "the request is damaged"));
}

ReflectionService::ReflectionService() {
  for (int i = 0; i < std::size(kPaths); ++i) {
    AddMethod(new grpc::internal::RpcServiceMethod(
        kPaths[i], RpcMethod::BIDI_STREAMING, nullptr));
    MarkMethodCallback(
        i, new grpc::internal::CallbackBidiHandler<ByteBuffer, ByteBuffer>(
               [](grpc::CallbackServerContext*) { return new Stream; }));
  }
}

}  // namespace zeroshot::server
