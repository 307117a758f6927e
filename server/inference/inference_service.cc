#include "server/inference/inference_service.h"

#include <google/protobuf/message.h>
#include <google/protobuf/stubs/common.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/support/method_handler.h>
#include <grpcpp/support/sync_stream.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "server/inference/parameters.h"
#include "server/inference/tensors.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::server {
namespace {

using grpc::ByteBuffer;
using grpc::ServerContext;
using grpc::internal::RpcMethod;
using grpc::internal::RpcServiceMethod;
using Kind = InferenceModel::Kind;

// Of the protocol's extensions.
constexpr const char* kExtensions[] = {"binary_tensor_data",
                                       "model_configuration",
                                       "model_repository", "parameters"};

// What Triton has beside what is offered here, and what to do instead. They are
// there so that callers read why, rather than an empty UNIMPLEMENTED.
struct NotOffered {
  Method method;
  absl::string_view instead;
};
constexpr char kSharedMemory[] =
    "tensors come and go in messages: clients and server share no memory";
constexpr char kOwnCalls[] =
    "weight sets come by BuildClassifier and ImportWeightSet of "
    "zeroshot.v1.ZeroShot, and go by DeleteWeightSet";
constexpr char kFlags[] = "flags at the server's start say it";
constexpr NotOffered kNotOffered[] = {
    {{"/inference.GRPCInferenceService/ModelStreamInfer",
      Permission::kClassify},
     "each request has one answer: call ModelInfer"},
    {{"/inference.GRPCInferenceService/ModelStatistics", Permission::kClassify},
     "the server's metrics have counts and times (/metrics)"},
    {{"/inference.GRPCInferenceService/RepositoryModelLoad",
      Permission::kClassify},
     kOwnCalls},
    {{"/inference.GRPCInferenceService/RepositoryModelUnload",
      Permission::kClassify},
     kOwnCalls},
    {{"/inference.GRPCInferenceService/SystemSharedMemoryStatus",
      Permission::kClassify},
     kSharedMemory},
    {{"/inference.GRPCInferenceService/SystemSharedMemoryRegister",
      Permission::kClassify},
     kSharedMemory},
    {{"/inference.GRPCInferenceService/SystemSharedMemoryUnregister",
      Permission::kClassify},
     kSharedMemory},
    {{"/inference.GRPCInferenceService/CudaSharedMemoryStatus",
      Permission::kClassify},
     kSharedMemory},
    {{"/inference.GRPCInferenceService/CudaSharedMemoryRegister",
      Permission::kClassify},
     kSharedMemory},
    {{"/inference.GRPCInferenceService/CudaSharedMemoryUnregister",
      Permission::kClassify},
     kSharedMemory},
    {{"/inference.GRPCInferenceService/TraceSetting", Permission::kClassify},
     kFlags},
    {{"/inference.GRPCInferenceService/LogSettings", Permission::kClassify},
     kFlags},
};

inference::DataType TypeOf(absl::string_view datatype) {
  if (datatype == kBytes) return inference::TYPE_STRING;
  if (datatype == kFp32) return inference::TYPE_FP32;
  if (datatype == kInt32) return inference::TYPE_INT32;
  return inference::TYPE_BOOL;
}

void ToProto(const Tensor& tensor,
             inference::ModelMetadataResponse::TensorMetadata* out) {
  out->set_name(std::string(tensor.name));
  out->set_datatype(std::string(tensor.datatype));
  out->add_shape(-1);
  out->add_shape(tensor.columns);
}

// ModelInput or ModelOutput.
template <typename Out>
void ToConfig(const Tensor& tensor, Out* out) {
  out->set_name(std::string(tensor.name));
  out->set_data_type(TypeOf(tensor.datatype));
  out->add_dims(tensor.columns);
}

// Several elements are copied out of raw bytes; one takes their place.
int64_t BytesOfCopies(const inference::ModelInferRequest& request) {
  const bool one = request.inputs_size() == 1 &&
                   request.inputs(0).shape_size() > 0 &&
                   request.inputs(0).shape(0) == 1;
  if (one || request.raw_input_contents_size() == 0) return 0;
  return static_cast<int64_t>(request.raw_input_contents(0).size());
}

// What protobuf and the limits look at in a request that has texts as such.
absl::Status CheckUtf8(const std::vector<std::string>& texts) {
  for (size_t i = 0; i < texts.size(); ++i) {
    if (google::protobuf::internal::IsStructurallyValidUTF8(
            texts[i].data(), static_cast<int>(texts[i].size()))) {
      continue;
    }
    const std::string field = absl::StrCat("text[", i, "]");
    return base::InvalidField(field, absl::StrCat(field, " is not UTF-8"));
  }
  return absl::OkStatus();
}

}  // namespace

InferenceService::InferenceService(const ServerOptions& options,
                                   server::Service* service, Calls* calls,
                                   std::function<absl::Status()> live,
                                   std::function<absl::Status()> ready)
    : options_(options),
      service_(service),
      calls_(calls),
      live_(std::move(live)),
      ready_(std::move(ready)) {
  AddMethods();
}

absl::Status InferenceService::ServerMetadata(
    const Call&, inference::ServerMetadataRequest*,
    inference::ServerMetadataResponse* response) {
  const absl::StatusOr<Admission::Place> place = service_->AdmitAdmin();
  if (!place.ok()) return place.status();
  response->set_name(kServerName);
  response->set_version(ZEROSHOT_VERSION);
  for (const char* const extension : kExtensions) {
    response->add_extensions(extension);
  }
  return absl::OkStatus();
}

template <typename Request>
absl::StatusOr<InferenceModel> InferenceService::Describe(
    Engine& engine, const base::Caller& caller, const Request& request) {
  absl::StatusOr<InferenceModel> model =
      models_.Find(engine.store, request.name(), request.version(), caller);
  if (!model.ok()) return model;
  absl::Status exists = InferenceModels::Exists(engine.store, *model);
  if (!exists.ok()) return exists;
  return model;
}

absl::Status InferenceService::ModelMetadata(
    const Call& call, inference::ModelMetadataRequest* request,
    inference::ModelMetadataResponse* response) {
  const absl::StatusOr<Admission::Place> place = service_->AdmitAdmin();
  if (!place.ok()) return place.status();
  const auto model = Describe(call.engine, call.caller, *request);
  if (!model.ok()) return model.status();
  response->set_name(request->name());
  response->add_versions(kModelVersion);
  response->set_platform(kServerName);
  ToProto(model->input(), response->add_inputs());
  for (const Tensor& output :
       model->outputs(call.engine.model->info().embedding_dim)) {
    ToProto(output, response->add_outputs());
  }
  return absl::OkStatus();
}

absl::Status InferenceService::ModelConfig(
    const Call& call, inference::ModelConfigRequest* request,
    inference::ModelConfigResponse* response) {
  const absl::StatusOr<Admission::Place> place = service_->AdmitAdmin();
  if (!place.ok()) return place.status();
  const auto model = Describe(call.engine, call.caller, *request);
  if (!model.ok()) return model.status();
  inference::ModelConfig* const config = response->mutable_config();
  config->set_name(request->name());
  config->set_platform(kServerName);
  config->set_backend(kServerName);
  config->set_max_batch_size(options_.max_batch_items);
  ToConfig(model->input(), config->add_input());
  for (const Tensor& output :
       model->outputs(call.engine.model->info().embedding_dim)) {
    ToConfig(output, config->add_output());
  }
  return absl::OkStatus();
}

absl::Status InferenceService::ModelReady(
    const ByteBuffer* bytes, const base::Caller& caller,
    inference::ModelReadyResponse* response) {
  inference::ModelReadyRequest request;
  absl::Status parsed =
      service_->limits().Parse(const_cast<ByteBuffer*>(bytes), &request);
  if (!parsed.ok()) return parsed;
  if (!ready_().ok()) return absl::OkStatus();
  const absl::StatusOr<Admission::Place> place = service_->AdmitAdmin();
  if (!place.ok()) return place.status();
  const absl::Status found =
      Describe(*calls_->engine(), caller, request).status();
  if (!found.ok() && !absl::IsNotFound(found)) return found;
  response->set_ready(found.ok());
  return absl::OkStatus();
}

absl::Status InferenceService::RepositoryIndex(
    const Call& call, inference::RepositoryIndexRequest* request,
    inference::RepositoryIndexResponse* response) {
  const absl::StatusOr<Admission::Place> place = service_->AdmitAdmin();
  if (!place.ok()) return place.status();
  if (!request->repository_name().empty()) {
    return base::InvalidField("repository_name",
                              "repository_name must be empty: there is one");
  }
  const absl::Status ready = ready_();
  if (request->ready() && !ready.ok()) return absl::OkStatus();
  int64_t bytes = 0;
  absl::Status listed = models_.List(
      call.engine.store, call.caller,
      [&](const std::string& name) -> absl::Status {
        auto* const model = response->add_models();
        model->set_name(name);
        model->set_version(kModelVersion);
        model->set_state(ready.ok() ? "READY" : "UNAVAILABLE");
        model->set_reason(std::string(ready.message()));
        bytes += static_cast<int64_t>(model->ByteSizeLong()) + 4;
        if (bytes <= options_.max_answer_bytes) return absl::OkStatus();
        return absl::InvalidArgumentError(absl::StrCat(
            "the list of all models has more than ", options_.max_answer_bytes,
            " bytes, which are allowed (--max_answer_bytes); ListWeightSets of "
            "zeroshot.v1.ZeroShot lists them by pages"));
      });
  return listed.ok() ? service_->answers().Take(bytes) : listed;
}

absl::Status InferenceService::ModelInfer(
    const Call& call, inference::ModelInferRequest* request,
    inference::ModelInferResponse* response) {
  const absl::StatusOr<InferenceModel> model =
      models_.Find(call.engine.store, request->model_name(),
                   request->model_version(), call.caller);
  if (!model.ok()) return model.status();
  const absl::StatusOr<std::vector<int>> wanted = WantedOutputs(
      model->outputs(call.engine.model->info().embedding_dim), *request);
  if (!wanted.ok()) return wanted.status();
  const bool raw = request->raw_input_contents_size() > 0;
  const auto copies = service_->memory().Take(BytesOfCopies(*request));
  if (!copies.ok()) return copies.status();
  auto elements =
      TakeElements(model->input(), options_.max_batch_items, request);
  if (!elements.ok()) return elements.status();
  absl::Status answered;
  if (model->kind == Kind::kWeightSet) {
    answered = Classify(call, *model, *wanted, *request, *std::move(elements),
                        response);
  } else {
    answered = CheckNoParameters(*request);
    if (answered.ok()) {
      answered = Embed(call, *model, *std::move(elements), response);
    }
  }
  if (!answered.ok()) return answered;
  response->set_model_name(request->model_name());
  response->set_model_version(kModelVersion);
  response->set_id(request->id());
  if (raw) MakeRaw(response);
  return absl::OkStatus();
}

absl::Status InferenceService::Embed(const Call& call,
                                     const InferenceModel& model,
                                     std::vector<std::string> elements,
                                     inference::ModelInferResponse* response) {
  if (model.kind == Kind::kTextEncoder) {
    absl::Status utf8 = CheckUtf8(elements);
    if (!utf8.ok()) return utf8;
    v1::EmbedTextsRequest texts;
    for (std::string& text : elements) texts.add_texts(std::move(text));
    v1::EmbedTextsResponse embedded;
    absl::Status status = service_->EmbedTexts(call, texts, &embedded);
    if (!status.ok()) return status;
    return VectorsToTensor(model.input(), &embedded, response);
  }
  v1::EmbedImagesRequest images;
  for (std::string& image : elements) images.add_images(std::move(image));
  v1::EmbedImagesResponse embedded;
  absl::Status status = service_->EmbedImages(call, images, &embedded);
  if (!status.ok()) return status;
  return VectorsToTensor(model.input(), &embedded, response);
}

absl::Status InferenceService::Classify(
    const Call& call, const InferenceModel& model,
    const std::vector<int>& wanted, const inference::ModelInferRequest& request,
    std::vector<std::string> images, inference::ModelInferResponse* response) {
  v1::ClassifyBatchRequest classify;
  classify.set_weight_set_id(model.weight_set_id);
  absl::Status taken = TakeParameters(request, &classify);
  if (!taken.ok()) return taken;
  for (std::string& image : images) classify.add_images(std::move(image));
  v1::ClassifyBatchResponse classes;
  absl::Status classified = service_->ClassifyBatch(call, classify, &classes);
  if (!classified.ok()) return classified;
  return ClassesToTensors(classes, model.outputs(0), wanted, response);
}

// --- methods ---

template <typename Request, typename Response>
void InferenceService::AddUnary(absl::string_view name,
                                absl::Status (InferenceService::*handler)(
                                    const Call&, Request*, Response*)) {
  using Handler =
      grpc::internal::RpcMethodHandler<InferenceService, ByteBuffer, Response,
                                       ByteBuffer,
                                       google::protobuf::MessageLite>;
  const Method& method = MethodNamed(name);
  AddMethod(new RpcServiceMethod(
      method.path, RpcMethod::NORMAL_RPC,
      new Handler(
          [this, &method, handler](InferenceService*, ServerContext* context,
                                   const ByteBuffer* bytes,
                                   Response* response) {
            return service_->AnswerRequest<Request>(
                method, context, bytes,
                [&](const Call& call, Request* request) {
                  return (this->*handler)(call, request, response);
                });
          },
          this)));
}

template <typename Response>
void InferenceService::AddHealth(
    absl::string_view name,
    std::function<absl::Status(ServerContext*, const ByteBuffer*, Response*)>
        handler) {
  using Handler =
      grpc::internal::RpcMethodHandler<InferenceService, ByteBuffer, Response,
                                       ByteBuffer,
                                       google::protobuf::MessageLite>;
  const Method& method = MethodNamed(name);
  AddMethod(new RpcServiceMethod(
      method.path, RpcMethod::NORMAL_RPC,
      new Handler(
          [this, &method, handler = std::move(handler)](
              InferenceService*, ServerContext* context,
              const ByteBuffer* bytes, Response* response) {
            return calls_->AnswerAlways(method, context, [&] {
              return handler(context, bytes, response);
            });
          },
          this)));
}

void InferenceService::AddNotOffered(const Method& method,
                                     absl::string_view instead) {
  using Handler = grpc::internal::BidiStreamingHandler<InferenceService,
                                                       ByteBuffer, ByteBuffer>;
  // Whatever is sent is not read, be it one message or a stream.
  AddMethod(new RpcServiceMethod(
      method.path, RpcMethod::BIDI_STREAMING,
      new Handler(
          [this, &method, instead](
              InferenceService*, ServerContext* context,
              grpc::ServerReaderWriter<ByteBuffer, ByteBuffer>*) {
            return calls_->AnswerAlways(method, context, [&] {
              return base::WithReason(
                  absl::UnimplementedError(absl::StrCat(
                      method.name(), " is not offered here: ", instead)),
                  "NOT_OFFERED");
            });
          },
          this)));
}

void InferenceService::AddMethods() {
  AddHealth<inference::ServerLiveResponse>(
      "ServerLive", [this](ServerContext*, const ByteBuffer*,
                           inference::ServerLiveResponse* response) {
        response->set_live(live_().ok());
        return absl::OkStatus();
      });
  AddHealth<inference::ServerReadyResponse>(
      "ServerReady", [this](ServerContext*, const ByteBuffer*,
                            inference::ServerReadyResponse* response) {
        response->set_ready(ready_().ok());
        return absl::OkStatus();
      });
  AddHealth<inference::ModelReadyResponse>(
      "ModelReady", [this](ServerContext* context, const ByteBuffer* bytes,
                           inference::ModelReadyResponse* response) {
        base::Caller caller;
        caller.gone = [context] { return context->IsCancelled(); };
        return ModelReady(bytes, caller, response);
      });
  AddUnary("ServerMetadata", &InferenceService::ServerMetadata);
  AddUnary("ModelMetadata", &InferenceService::ModelMetadata);
  AddUnary("ModelInfer", &InferenceService::ModelInfer);
  AddUnary("ModelConfig", &InferenceService::ModelConfig);
  AddUnary("RepositoryIndex", &InferenceService::RepositoryIndex);
  for (const NotOffered& one : kNotOffered) {
    AddNotOffered(one.method, one.instead);
  }
}

}  // namespace zeroshot::server
