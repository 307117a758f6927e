#include "client/client.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/connection.h"
#include "client/convert.h"
#include "client/credentials.h"
#include "google/protobuf/wrappers.pb.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/generic/generic_stub.h"

namespace zeroshot::client {
namespace {

// gRPC's own limit on attempts; more would be cut to it.
constexpr int kMaxAttempts = 5;

// Between two questions to a server that is starting, and for one of them: a
// connection to a machine that is gone may stay silent for ever.
constexpr absl::Duration kHealthInterval = absl::Milliseconds(100);
constexpr absl::Duration kHealthTimeout = absl::Seconds(5);

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(
    const std::string& target, ClientOptions options) {
  if (target.empty()) {
    return absl::InvalidArgumentError(
        "the target is empty; it should be HOST:PORT");
  }
  if (options.max_attempts < 1 || options.max_attempts > kMaxAttempts) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_attempts is ", options.max_attempts,
                     "; allowed: 1 to ", kMaxAttempts));
  }
  if (options.max_message_bytes < 1) {
    return absl::InvalidArgumentError(absl::StrCat("max_message_bytes is ",
                                                   options.max_message_bytes,
                                                   "; it must be at least 1"));
  }
  if (options.timeout <= absl::ZeroDuration() ||
      options.build_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        "timeout and build_timeout must be longer than 0");
  }
  const auto credentials = MakeCredentials(target, options);
  if (!credentials.ok()) return credentials.status();
  return std::unique_ptr<Client>(new Client(
      std::make_unique<Connection>(target, *credentials, std::move(options))));
}

Client::Client(std::unique_ptr<Connection> connection)
    : connection_(std::move(connection)) {}

Client::~Client() = default;

absl::StatusOr<BuildResult> Client::Build(const ClassifierSpec& spec,
                                          const OnBuildProgress& on_progress) {
  return on_progress == nullptr ? connection_->Build(spec)
                                : connection_->BuildStream(spec, on_progress);
}

absl::StatusOr<BuildResult> Client::Connection::Build(
    const ClassifierSpec& spec, Cancellation* cancellation) {
  auto response =
      Call(&v1::ZeroShot::Stub::BuildClassifier, ToProto(spec),
           absl::Now() + options.build_timeout, {.cancellation = cancellation});
  if (!response.ok()) return response.status();
  return FromProto(*response);
}

absl::StatusOr<BuildResult> Client::Connection::BuildStream(
    const ClassifierSpec& spec, const OnBuildProgress& on_progress) {
  const absl::Time until = absl::Now() + options.build_timeout;
  const v1::BuildClassifierRequest request = ToProto(spec);
  absl::Status text = CheckText(request);
  if (!text.ok()) return text;
  std::optional<BuildResult> result;
  for (int attempt = 1;; ++attempt) {
    grpc::ClientContext context;
    Prepare(until, &context);
    const auto reader = stub->BuildClassifierStream(&context, request);
    v1::BuildClassifierStreamResponse event;
    while (reader->Read(&event)) {
      if (event.has_progress()) on_progress(FromProto(event.progress()));
      if (event.has_result()) result = FromProto(event.result());
    }
    const grpc::Status status = reader->Finish();
    if (status.ok()) break;
    if (attempt >= options.max_attempts || !WaitedAsAsked(status, until)) {
      return FromGrpcStatus(status);
    }
  }
  if (!result.has_value()) {
    return absl::InternalError("the server ended a build without a result");
  }
  return *std::move(result);
}

absl::StatusOr<Answer> Client::Classify(absl::string_view image,
                                        absl::string_view weight_set_id,
                                        const ClassifyOptions& options) {
  absl::StatusOr<std::vector<Answer>> answers =
      ClassifyWithEach(image, {std::string(weight_set_id)}, options);
  if (!answers.ok()) return answers.status();
  return std::move(answers->front());
}

absl::StatusOr<std::vector<Answer>> Client::ClassifyWithEach(
    absl::string_view image, absl::Span<const std::string> weight_set_ids,
    const ClassifyOptions& options) {
  return connection_->Classify(image, weight_set_ids, options,
                               absl::Now() + connection_->options.timeout);
}

absl::StatusOr<std::vector<Answer>> Client::Connection::Classify(
    absl::string_view image, absl::Span<const std::string> weight_set_ids,
    const ClassifyOptions& options, absl::Time until) {
  if (options.top_k < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("top_k is ", options.top_k, "; it must be at least 1"));
  }
  if (weight_set_ids.empty()) {
    return absl::InvalidArgumentError("no weight set is named");
  }
  v1::ClassifyRequest request;
  request.set_image(image.data(), image.size());
  request.set_weight_set_id(weight_set_ids.front());
  for (const std::string& id : weight_set_ids.subspan(1)) {
    request.add_more_weight_set_ids(id);
  }
  request.set_top_k(options.top_k);
  request.set_return_probabilities(options.return_probabilities);
  auto response = Call(&v1::ZeroShot::Stub::Classify, request, until);
  if (!response.ok()) return response.status();
  return FromProto(*response, static_cast<int>(weight_set_ids.size()));
}

absl::StatusOr<std::vector<absl::StatusOr<Embedding>>> Client::EmbedImages(
    absl::Span<const std::string> images) {
  v1::EmbedImagesRequest request;
  for (const std::string& image : images) request.add_images(image);
  auto response = connection_->Call(&v1::ZeroShot::Stub::EmbedImages, request);
  if (!response.ok()) return response.status();
  return FromProto(*response, request.images_size());
}

absl::StatusOr<std::vector<absl::StatusOr<Embedding>>> Client::EmbedTexts(
    absl::Span<const std::string> texts) {
  v1::EmbedTextsRequest request;
  for (const std::string& text : texts) request.add_texts(text);
  auto response = connection_->Call(&v1::ZeroShot::Stub::EmbedTexts, request);
  if (!response.ok()) return response.status();
  return FromProto(*response, request.texts_size());
}

absl::StatusOr<ModelInfo> Client::GetModel() {
  auto response =
      connection_->Call(&v1::ZeroShot::Stub::GetModel, v1::GetModelRequest());
  if (!response.ok()) return response.status();
  return FromProto(*response);
}

absl::StatusOr<std::vector<WeightSetInfo>> Client::ListWeightSets() {
  std::vector<WeightSetInfo> all;
  v1::ListWeightSetsRequest request;
  do {
    auto page = connection_->Call(&v1::ZeroShot::Stub::ListWeightSets, request);
    if (!page.ok()) return page.status();
    for (const v1::WeightSetInfo& info : page->weight_sets()) {
      all.push_back(FromProto(info));
    }
    // A token that repeats would keep us here for ever.
    if (!page->next_page_token().empty() &&
        page->next_page_token() == request.page_token()) {
      return absl::InternalError("the server gave the same page token twice");
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return all;
}

absl::StatusOr<WeightSet> Client::GetWeightSet(
    absl::string_view weight_set_id) {
  v1::GetWeightSetRequest request;
  request.set_weight_set_id(std::string(weight_set_id));
  auto response = connection_->Call(&v1::ZeroShot::Stub::GetWeightSet, request);
  if (!response.ok()) return response.status();
  return WeightSet{.info = FromProto(response->weight_set()),
                   .class_names = {response->class_names().begin(),
                                   response->class_names().end()}};
}

absl::Status Client::DeleteWeightSet(absl::string_view weight_set_id) {
  v1::DeleteWeightSetRequest request;
  request.set_weight_set_id(std::string(weight_set_id));
  // gRPC does not repeat it (see ServiceConfig). A server that loads or is full
  // says when to come back, and so that it did nothing.
  return connection_
      ->Call(&v1::ZeroShot::Stub::DeleteWeightSet, request,
             absl::Now() + connection_->options.timeout,
             {.unavailable_too = true})
      .status();
}

// grpc.health.v1's two messages are written with protobuf's wrapper types,
// which have the same bytes on the wire (field 1: a string, an enum), because
// gRPC's packages bring no C++ code for health.proto.
absl::Status Client::Connection::CheckHealth(absl::Time until) {
  constexpr int kServing = 1;  // HealthCheckResponse.ServingStatus
  google::protobuf::StringValue service;
  service.set_value(kService);
  google::protobuf::Int32Value serving_status;
  grpc::ClientContext context;
  Prepare(until, &context);
  grpc::CompletionQueue queue;
  grpc::TemplatedGenericStub<google::protobuf::StringValue,
                             google::protobuf::Int32Value>
      health(channel);
  const auto call = health.PrepareUnaryCall(
      &context, "/grpc.health.v1.Health/Check", service, &queue);
  call->StartCall();
  grpc::Status status;
  call->Finish(&serving_status, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  // A server that closes its port cuts calls off; we never do.
  if (status.error_code() == grpc::StatusCode::CANCELLED) {
    return absl::UnavailableError("the server stops: it cut the call off");
  }
  if (!status.ok()) return FromGrpcStatus(status);
  if (serving_status.value() != kServing) {
    return absl::UnavailableError("not serving: the server starts or stops");
  }
  return absl::OkStatus();
}

absl::Status Client::Health(absl::Duration wait) {
  const ClientOptions& options = connection_->options;
  const absl::Time until = absl::Now() + wait;
  if (wait <= absl::ZeroDuration()) {
    return connection_->CheckHealth(absl::Now() + options.timeout);
  }
  while (true) {
    const absl::Status status = connection_->CheckHealth(std::min(
        until, absl::Now() + std::min(options.timeout, kHealthTimeout)));
    const absl::Time now = absl::Now();
    const bool may_change =
        absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
    if (!may_change || now >= until) return status;
    if (connection_->channel->GetState(false) == GRPC_CHANNEL_READY) {
      absl::SleepFor(std::min(kHealthInterval, until - now));
    } else {
      // gRPC works on a connection only while someone waits in it: without
      // this it would notice a new server only every 5 s.
      connection_->channel->WaitForConnected(
          absl::ToChronoTime(std::min(until, now + kHealthTimeout)));
    }
  }
}

}  // namespace zeroshot::client
