#include "client/client.h"

#include <algorithm>
#include <chrono>
#include <optional>
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

absl::Status CheckOptions(const ClientOptions& options) {
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
  return absl::OkStatus();
}

// ClassifyRequest and ClassifyBatchRequest have these fields alike.
template <typename Request>
absl::Status SetOptions(const ClassifyOptions& options, Request* request) {
  if (options.top_k < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("top_k is ", options.top_k, "; it must be at least 1"));
  }
  request->set_top_k(options.top_k);
  request->set_return_probabilities(options.return_probabilities);
  request->set_score_function(options.score_function);
  if (options.min_probability.has_value()) {
    request->set_min_probability(*options.min_probability);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(
    const std::string& target, ClientOptions options) {
  if (target.empty()) {
    return absl::InvalidArgumentError(
        "the target is empty; it should be HOST:PORT");
  }
  absl::Status good = CheckOptions(options);
  const TokenWay way = TokenWayTo(target, options);
  if (good.ok()) good = CheckToken(options.token, way, target);
  if (good.ok() && !options.token.empty() && options.credentials != nullptr) {
    good = CheckEncrypts(options.credentials);
  }
  if (!good.ok()) return good;
  auto channel = MakeChannel(target,
                             options.credentials != nullptr
                                 ? options.credentials
                                 : grpc::InsecureChannelCredentials(),
                             options);
  return std::unique_ptr<Client>(new Client(std::make_unique<Connection>(
      target, std::move(channel), way, std::move(options))));
}

absl::StatusOr<std::unique_ptr<Client>> Client::Over(
    std::shared_ptr<grpc::Channel> channel, ClientOptions options) {
  if (channel == nullptr) {
    return absl::InvalidArgumentError("no channel is given");
  }
  if (options.credentials != nullptr || options.watch_health) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.watch_health ? "watch_health" : "credentials",
                     " is for Connect: the channel given has its own"));
  }
  const TokenWay way = options.token_without_tls ? TokenWay::kMetadata
                                                 : TokenWay::kCallCredentials;
  absl::Status good = CheckOptions(options);
  if (good.ok()) good = CheckToken(options.token, way, "");
  if (!good.ok()) return good;
  return std::unique_ptr<Client>(new Client(std::make_unique<Connection>(
      "the channel", std::move(channel), way, std::move(options))));
}

Client::Client(std::unique_ptr<Connection> connection)
    : connection_(std::move(connection)) {}

Client::~Client() = default;

absl::Duration Client::timeout() const { return connection_->options.timeout; }

absl::StatusOr<BuildResult> Client::Build(const ClassifierSpec& spec,
                                          const OnBuildProgress& on_progress,
                                          const CallOptions& call) {
  if (on_progress != nullptr) {
    return connection_->BuildStream(spec, on_progress, call);
  }
  return connection_->Call(
      &v1::ZeroShot::Stub::BuildClassifier, ToProto(spec), call,
      Connection::Until(call, connection_->options.build_timeout));
}

absl::StatusOr<BuildResult> Client::Connection::BuildStream(
    const ClassifierSpec& spec, const OnBuildProgress& on_progress,
    const CallOptions& call) const {
  const absl::Time until = Until(call, options.build_timeout);
  const v1::BuildClassifierRequest request = ToProto(spec);
  absl::Status good = CheckText(request);
  if (good.ok()) good = Check(call);
  if (!good.ok()) return good;
  std::optional<BuildResult> result;
  for (int attempt = 1;; ++attempt) {
    Attempt made(*this, call, until);
    const auto reader = stub->BuildClassifierStream(made.context(), request);
    v1::BuildClassifierStreamResponse event;
    while (reader->Read(&event)) {
      if (event.has_progress()) on_progress(event.progress());
      if (event.has_result()) result = event.result();
    }
    const grpc::Status status = reader->Finish();
    if (status.ok()) break;
    if (!MayRepeat(attempt, status, until, call)) return Ended(status, call);
  }
  if (!result.has_value()) {
    return absl::InternalError("the server ended a build without a result");
  }
  return *std::move(result);
}

absl::StatusOr<Answer> Client::Classify(absl::string_view image,
                                        absl::string_view weight_set_id,
                                        const ClassifyOptions& options,
                                        const CallOptions& call) {
  absl::StatusOr<std::vector<Answer>> answers =
      ClassifyWithEach(image, {std::string(weight_set_id)}, options, call);
  if (!answers.ok()) return answers.status();
  return std::move(answers->front());
}

absl::StatusOr<std::vector<Answer>> Client::ClassifyWithEach(
    absl::string_view image, absl::Span<const std::string> weight_set_ids,
    const ClassifyOptions& options, const CallOptions& call) {
  v1::ClassifyRequest request;
  absl::Status set = SetOptions(options, &request);
  if (!set.ok()) return set;
  if (weight_set_ids.empty()) {
    return absl::InvalidArgumentError("no weight set is named");
  }
  request.set_image(image.data(), image.size());
  request.set_weight_set_id(weight_set_ids.front());
  for (const std::string& id : weight_set_ids.subspan(1)) {
    request.add_more_weight_set_ids(id);
  }
  auto response =
      connection_->Call(&v1::ZeroShot::Stub::Classify, request, call);
  if (!response.ok()) return response.status();
  return FromProto(*response, static_cast<int>(weight_set_ids.size()));
}

absl::StatusOr<Answer> Client::ClassifyInline(absl::string_view image,
                                              const ClassifierSpec& classifier,
                                              const ClassifyOptions& options,
                                              const CallOptions& call) {
  v1::ClassifyRequest request;
  absl::Status set = SetOptions(options, &request);
  if (!set.ok()) return set;
  request.set_image(image.data(), image.size());
  *request.mutable_classifier() = ToProto(classifier);
  auto response =
      connection_->Call(&v1::ZeroShot::Stub::Classify, request, call);
  if (!response.ok()) return response.status();
  auto answers = FromProto(*response, 1);
  if (!answers.ok()) return answers.status();
  answers->front().build = response->build();
  return std::move(answers->front());
}

absl::StatusOr<BatchAnswer> Client::ClassifyBatch(
    absl::Span<const std::string> images, absl::string_view weight_set_id,
    const ClassifyOptions& options, const CallOptions& call) {
  v1::ClassifyBatchRequest request;
  request.set_weight_set_id(std::string(weight_set_id));
  for (const std::string& image : images) request.add_images(image);
  return connection_->ClassifyBatch(std::move(request), options, call);
}

absl::StatusOr<BatchAnswer> Client::ClassifyBatchInline(
    absl::Span<const std::string> images, const ClassifierSpec& classifier,
    const ClassifyOptions& options, const CallOptions& call) {
  v1::ClassifyBatchRequest request;
  *request.mutable_classifier() = ToProto(classifier);
  for (const std::string& image : images) request.add_images(image);
  return connection_->ClassifyBatch(std::move(request), options, call);
}

absl::StatusOr<BatchAnswer> Client::ClassifyEmbeddings(
    absl::Span<const float> embeddings, absl::string_view weight_set_id,
    const ClassifyOptions& options, const CallOptions& call) {
  v1::ClassifyBatchRequest request;
  request.set_weight_set_id(std::string(weight_set_id));
  request.mutable_embeddings()->Add(embeddings.begin(), embeddings.end());
  return connection_->ClassifyBatch(std::move(request), options, call);
}

absl::StatusOr<BatchAnswer> Client::ClassifyEmbeddingsInline(
    absl::Span<const float> embeddings, const ClassifierSpec& classifier,
    const ClassifyOptions& options, const CallOptions& call) {
  v1::ClassifyBatchRequest request;
  *request.mutable_classifier() = ToProto(classifier);
  request.mutable_embeddings()->Add(embeddings.begin(), embeddings.end());
  return connection_->ClassifyBatch(std::move(request), options, call);
}

absl::StatusOr<BatchAnswer> Client::Connection::ClassifyBatch(
    v1::ClassifyBatchRequest request, const ClassifyOptions& options,
    const CallOptions& call) const {
  absl::Status set = SetOptions(options, &request);
  if (!set.ok()) return set;
  auto response = Call(&v1::ZeroShot::Stub::ClassifyBatch, request, call);
  if (!response.ok()) return response.status();
  // How many vectors the floats are only the server knows.
  return FromProto(*response, request.embeddings().empty()
                                  ? request.images_size()
                                  : response->items_size());
}

absl::StatusOr<std::vector<absl::StatusOr<Embedding>>> Client::EmbedImages(
    absl::Span<const std::string> images, const CallOptions& call) {
  v1::EmbedImagesRequest request;
  for (const std::string& image : images) request.add_images(image);
  auto response =
      connection_->Call(&v1::ZeroShot::Stub::EmbedImages, request, call);
  if (!response.ok()) return response.status();
  return FromProto(*response, request.images_size());
}

absl::StatusOr<std::vector<absl::StatusOr<Embedding>>> Client::EmbedTexts(
    absl::Span<const std::string> texts, const CallOptions& call) {
  v1::EmbedTextsRequest request;
  for (const std::string& text : texts) request.add_texts(text);
  auto response =
      connection_->Call(&v1::ZeroShot::Stub::EmbedTexts, request, call);
  if (!response.ok()) return response.status();
  return FromProto(*response, request.texts_size());
}

absl::StatusOr<ModelInfo> Client::GetModel(const CallOptions& call) {
  return connection_->Call(&v1::ZeroShot::Stub::GetModel, v1::GetModelRequest(),
                           call);
}

absl::StatusOr<std::vector<TemplateSet>> Client::ListTemplateSets(
    const CallOptions& call) {
  auto response = connection_->Call(&v1::ZeroShot::Stub::ListTemplateSets,
                                    v1::ListTemplateSetsRequest(), call);
  if (!response.ok()) return response.status();
  return std::vector<TemplateSet>(response->template_sets().begin(),
                                  response->template_sets().end());
}

absl::StatusOr<std::vector<ClassSet>> Client::ListClassSets(
    const CallOptions& call) {
  auto response = connection_->Call(&v1::ZeroShot::Stub::ListClassSets,
                                    v1::ListClassSetsRequest(), call);
  if (!response.ok()) return response.status();
  return std::vector<ClassSet>(response->class_sets().begin(),
                               response->class_sets().end());
}

namespace {

// Asks for page after page and hands each to `take`. `ask` makes one call.
template <typename Request, typename Ask, typename Take>
absl::Status ForEachPage(Request request, const Ask& ask, const Take& take) {
  do {
    const auto page = ask(request);
    if (!page.ok()) return page.status();
    take(*page);
    // A token that repeats would keep us here for ever.
    if (!page->next_page_token().empty() &&
        page->next_page_token() == request.page_token()) {
      return absl::InternalError("the server gave the same page token twice");
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

constexpr int kNamesOfAPage = 10'000;

}  // namespace

absl::StatusOr<std::vector<std::string>> Client::GetClassSet(
    absl::string_view class_set, const CallOptions& call) {
  v1::GetClassSetRequest request;
  request.set_class_set(std::string(class_set));
  request.set_page_size(kNamesOfAPage);
  std::vector<std::string> names;
  const absl::Status status = ForEachPage(
      request,
      [&](const auto& page) {
        return connection_->Call(&v1::ZeroShot::Stub::GetClassSet, page, call);
      },
      [&](const v1::GetClassSetResponse& page) {
        names.insert(names.end(), page.class_names().begin(),
                     page.class_names().end());
      });
  if (!status.ok()) return status;
  return names;
}

absl::StatusOr<std::vector<WeightSetInfo>> Client::ListWeightSets(
    const CallOptions& call) {
  std::vector<WeightSetInfo> all;
  const absl::Status status = ForEachPage(
      v1::ListWeightSetsRequest(),
      [&](const auto& page) {
        return connection_->Call(&v1::ZeroShot::Stub::ListWeightSets, page,
                                 call);
      },
      [&](const v1::ListWeightSetsResponse& page) {
        all.insert(all.end(), page.weight_sets().begin(),
                   page.weight_sets().end());
      });
  if (!status.ok()) return status;
  return all;
}

absl::StatusOr<WeightSet> Client::GetWeightSet(absl::string_view weight_set_id,
                                               const CallOptions& call) {
  v1::GetWeightSetRequest request;
  request.set_weight_set_id(std::string(weight_set_id));
  request.set_page_size(kNamesOfAPage);
  WeightSet set;
  const absl::Status status = ForEachPage(
      request,
      [&](const auto& page) {
        return connection_->Call(&v1::ZeroShot::Stub::GetWeightSet, page, call);
      },
      [&](const v1::GetWeightSetResponse& page) {
        set.MergeFrom(page);
        // Each page has it: merged, its lists would grow.
        *set.mutable_weight_set() = page.weight_set();
      });
  if (!status.ok()) return status;
  set.clear_next_page_token();
  return set;
}

absl::StatusOr<WeightSetInfo> Client::DescribeWeightSet(
    absl::string_view weight_set_id, const CallOptions& call) {
  v1::GetWeightSetRequest request;
  request.set_weight_set_id(std::string(weight_set_id));
  request.set_page_size(1);
  auto response =
      connection_->Call(&v1::ZeroShot::Stub::GetWeightSet, request, call);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_weight_set());
}

absl::Status Client::DeleteWeightSet(absl::string_view weight_set_id,
                                     const CallOptions& call) {
  v1::DeleteWeightSetRequest request;
  request.set_weight_set_id(std::string(weight_set_id));
  // gRPC does not repeat it (see ServiceConfig). A server that loads or is full
  // says when to come back, and so that it did nothing.
  return connection_
      ->Call(&v1::ZeroShot::Stub::DeleteWeightSet, request, call,
             connection_->Until(call), /*unavailable_too=*/true)
      .status();
}

// grpc.health.v1's two messages are written with protobuf's wrapper types,
// which have the same bytes on the wire (field 1: a string, an enum), because
// gRPC's packages bring no C++ code for health.proto.
absl::Status Client::Connection::CheckHealth(const CallOptions& call,
                                             absl::Time until) const {
  constexpr int kServing = 1;  // HealthCheckResponse.ServingStatus
  google::protobuf::StringValue service;
  service.set_value(kService);
  google::protobuf::Int32Value serving_status;
  Attempt attempt(*this, call, until);
  grpc::CompletionQueue queue;
  grpc::TemplatedGenericStub<google::protobuf::StringValue,
                             google::protobuf::Int32Value>
      health(channel);
  const auto check = health.PrepareUnaryCall(
      attempt.context(), "/grpc.health.v1.Health/Check", service, &queue);
  check->StartCall();
  grpc::Status status;
  check->Finish(&serving_status, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (status.error_code() == grpc::StatusCode::CANCELLED &&
      (call.cancellation == nullptr || !call.cancellation->cancelled())) {
    return absl::UnavailableError("the server stops: it cut the call off");
  }
  if (!status.ok()) return Ended(status, call);
  if (serving_status.value() != kServing) {
    return absl::UnavailableError("not serving: the server starts or stops");
  }
  return absl::OkStatus();
}

absl::Status Client::Health(absl::Duration wait, const CallOptions& call) {
  absl::Status good = connection_->Check(call);
  if (!good.ok()) return good;
  const ClientOptions& options = connection_->options;
  const absl::Time until = Connection::Until(call, wait);
  if (wait <= absl::ZeroDuration()) {
    return connection_->CheckHealth(call, connection_->Until(call));
  }
  while (true) {
    const absl::Status status = connection_->CheckHealth(
        call, std::min(until, absl::Now() +
                                  std::min(options.timeout, kHealthTimeout)));
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
