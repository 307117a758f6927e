#include "server/http/api.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error_info.h"
#include "base/no_throw.h"
#include "inference/inference.pb.h"
#include "server/http/errors.h"
#include "server/http/inference.h"
#include "server/http/json_message.h"
#include "server/http/openapi.h"
#include "server/http/pages.h"
#include "server/http/rpc_exchange.h"
#include "server/http/url.h"
#include "server/log.h"
#include "server/request_memory.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::server::http {
namespace {

constexpr absl::string_view kText = "text/plain; charset=utf-8";
constexpr absl::string_view kPrometheusText =
    "text/plain; version=0.0.4; charset=utf-8";

// {"id": NAME, "object": "model", ...}
void AppendOpenAiModel(const v1::GetModelResponse& model, std::string* out) {
  out->append("{\"id\": ");
  base::AppendJsonString(model.name(), out);
  out->append(
      ", \"object\": \"model\", \"created\": 0, \"owned_by\": \"zeroshot\"}");
}

Response OpenAiModels(const google::protobuf::Message& message) {
  Response response;
  response.body = "{\"object\": \"list\", \"data\": [";
  AppendOpenAiModel(static_cast<const v1::GetModelResponse&>(message),
                    &response.body);
  response.body += "]}";
  return response;
}

Response OpenAiModel(const Request& request, const std::string& asked,
                     const google::protobuf::Message& message) {
  const auto& model = static_cast<const v1::GetModelResponse&>(message);
  if (model.name() != asked) {
    return ErrorResponse(request, ModelNotFound(asked, model.name()));
  }
  Response response;
  AppendOpenAiModel(model, &response.body);
  return response;
}

std::string OriginOf(const Request& request) {
  return std::string(request.Header("origin"));
}

bool AllowsOrigin(const std::vector<std::string>& allowed,
                  absl::string_view origin) {
  return !origin.empty() && std::any_of(allowed.begin(), allowed.end(),
                                        [origin](const std::string& one) {
                                          return one == "*" || one == origin;
                                        });
}

}  // namespace

int64_t Api::BodyMemoryOf(const ServerOptions& options) {
  // gRPC keeps enough for its largest message, where that is possible.
  const int64_t half = RequestMemory::HalfOf(options);
  return std::clamp(half - options.max_request_bytes, half / 8, half / 2);
}

Api::Api(const ServerOptions& options, Tokens* tokens, Calls* calls,
         Metrics* metrics, InsideCalls* inside, StatusSource status)
    : options_(options),
      tokens_(tokens),
      calls_(calls),
      metrics_(metrics),
      inside_(inside),
      status_(std::move(status)),
      limits_(options),
      most_items_([this](const google::protobuf::FieldDescriptor* field) {
        return limits_.MostItems(field);
      }),
      rendering_([this] { RenderMetrics(); }) {}

Api::~Api() { Stop(); }

void Api::Stop() {
  {
    base::MutexLock lock(&mu_);
    stopped_ = true;
    asked_.clear();
  }
  asked_or_stopped_.NotifyAll();
  if (rendering_.joinable()) rendering_.join();
}

void Api::LogRefused(absl::string_view method, const Request& request,
                     const absl::Status& why, absl::Duration took) {
  metrics_->CallEnded(method, why, took);
  LogCall({method, request.peer, request.tag.id, request.tag.trace(),
           request.certificate, why, took});
}

void Api::Refused(const Request& request, const absl::Status& why) {
  // A label of the caller's own making would never end.
  LogRefused("other", request, why, absl::ZeroDuration());
}

void Api::AddHeaders(const Request& request, Response* response) {
  if (!request.tag.id.empty()) {
    response->headers.emplace_back("X-Request-Id", request.tag.id);
  }
  response->headers.emplace_back("X-Content-Type-Options", "nosniff");
  if (options_.http_cors_origins.empty()) return;
  // What a cache keeps is for one origin.
  response->headers.emplace_back("Vary", "Origin");
  const std::string origin = OriginOf(request);
  if (!AllowsOrigin(options_.http_cors_origins, origin)) return;
  response->headers.emplace_back("Access-Control-Allow-Origin", origin);
  response->headers.emplace_back(
      "Access-Control-Expose-Headers",
      "Content-Disposition, Retry-After, X-Request-Id");
}

absl::Status Api::LetIn(const Route& route, const Request& request) {
  if (route.rpc.empty()) return absl::OkStatus();
  if (tokens_ != nullptr) {
    absl::Status known = tokens_
                             ->Check(request.Header("authorization"),
                                     MethodNamed(route.rpc).needed)
                             .status();
    if (!known.ok()) return known;
  }
  // The metrics are there while the model is loaded, too.
  return route.kind == Kind::kMetrics ? absl::OkStatus() : calls_->Ready();
}

std::shared_ptr<Exchange> Api::Begin(
    const Request& request, const std::shared_ptr<Responder>& responder) {
  const absl::string_view path = SplitTarget(request.target).first;
  if (request.method == "OPTIONS") {
    Response response;
    response.code = 204;
    const std::string allowed = AllowedMethods(path);
    response.headers.emplace_back("Allow", allowed);
    if (AllowsOrigin(options_.http_cors_origins, OriginOf(request))) {
      response.headers.emplace_back("Access-Control-Allow-Methods", allowed);
      response.headers.emplace_back(
          "Access-Control-Allow-Headers",
          "Authorization, Content-Type, X-Request-Id, X-Request-Timeout, "
          "traceparent");
      response.headers.emplace_back("Access-Control-Max-Age", "600");
    }
    responder->Answer(std::move(response));
    return nullptr;
  }
  const absl::StatusOr<Match> match = FindRoute(request.method, path);
  absl::Status status = match.status();
  if (match.ok()) status = LetIn(*match->route, request);
  if (!status.ok()) {
    LogRefused(match.ok() ? match->route->rpc : "other", request, status,
               absl::ZeroDuration());
    Response response = ErrorResponse(request, status);
    if (response.code == 405) {
      response.headers.emplace_back("Allow", AllowedMethods(path));
    }
    responder->Answer(std::move(response));
    return nullptr;
  }
  return BeginRoute(*match, request, responder);
}

std::shared_ptr<Exchange> Api::BeginRoute(
    const Match& match, const Request& request,
    const std::shared_ptr<Responder>& responder) {
  const Route& route = *match.route;
  const auto answer = [&](Response response) -> std::shared_ptr<Exchange> {
    responder->Answer(std::move(response));
    return nullptr;
  };
  switch (route.kind) {
    case Kind::kLive:
    case Kind::kReady:
      AnswerHealth(route.kind == Kind::kLive, responder.get());
      return nullptr;
    case Kind::kInferenceLive:
      return answer(InferenceHealth("live", status_.live()));
    case Kind::kInferenceReady:
      return answer(InferenceHealth("ready", status_.ready()));
    case Kind::kMetrics:
      AnswerMetrics(responder);
      return nullptr;
    case Kind::kOpenApi:
      return answer(OpenApiResponse());
    case Kind::kDocs:
      return answer(DocsPage());
    case Kind::kPage:
      return answer(MainPage());
    default:
      break;
  }
  const absl::StatusOr<Origin> origin = RpcExchange::OriginOf(request);
  if (!origin.ok()) {
    LogRefused(route.rpc, request, origin.status(), absl::ZeroDuration());
    return answer(ErrorResponse(request, origin.status()));
  }
  const auto unary = [&](auto message, auto response) {
    return std::make_shared<UnaryExchange>(
        this, MethodNamed(route.rpc), request, *origin, responder,
        std::make_unique<decltype(message)>(std::move(message)),
        std::make_unique<decltype(response)>());
  };
  // One that asks about a model of the inference protocol.
  const auto about_model = [&](auto message, auto response) {
    message.set_name(match.argument);
    message.set_version(match.second);
    return unary(std::move(message), std::move(response));
  };
  std::shared_ptr<RpcExchange> exchange;
  switch (route.kind) {
    case Kind::kClassify:
      exchange = MakeClassify(this, request, *origin, responder);
      break;
    case Kind::kBuild:
      exchange = MakeBuild(this, request, *origin, responder);
      break;
    case Kind::kExport:
      exchange = MakeExport(this, request, *origin, responder, match.argument);
      break;
    case Kind::kImport:
      exchange = MakeImport(this, request, *origin, responder);
      break;
    case Kind::kEmbed:
      exchange = MakeEmbed(this, request, *origin, responder);
      break;
    case Kind::kList:
      exchange =
          unary(v1::ListWeightSetsRequest(), v1::ListWeightSetsResponse());
      break;
    case Kind::kDescribe: {
      v1::GetWeightSetRequest message;
      message.set_weight_set_id(match.argument);
      exchange = unary(message, v1::GetWeightSetResponse());
      break;
    }
    case Kind::kDelete: {
      v1::DeleteWeightSetRequest message;
      message.set_weight_set_id(match.argument);
      exchange = unary(message, v1::DeleteWeightSetResponse());
      break;
    }
    case Kind::kTemplateSets:
      exchange =
          unary(v1::ListTemplateSetsRequest(), v1::ListTemplateSetsResponse());
      break;
    case Kind::kClassSets:
      exchange = unary(v1::ListClassSetsRequest(), v1::ListClassSetsResponse());
      break;
    case Kind::kClassSet: {
      v1::GetClassSetRequest message;
      message.set_class_set(match.argument);
      exchange = unary(message, v1::GetClassSetResponse());
      break;
    }
    case Kind::kOpenAiModels:
    case Kind::kOpenAiModel: {
      const auto models = unary(v1::GetModelRequest(), v1::GetModelResponse());
      models->shape = &OpenAiModels;
      if (route.kind == Kind::kOpenAiModel) {
        models->shape = [request, asked = match.argument](const auto& message) {
          return OpenAiModel(request, asked, message);
        };
      }
      exchange = models;
      break;
    }
    case Kind::kInferenceServer:
      exchange = unary(inference::ServerMetadataRequest(),
                       inference::ServerMetadataResponse());
      break;
    case Kind::kInferenceIndex: {
      const auto index = unary(inference::RepositoryIndexRequest(),
                               inference::RepositoryIndexResponse());
      index->takes_json = true;
      index->shape = &RepositoryIndexAnswer;
      exchange = index;
      break;
    }
    case Kind::kInferenceModel:
      exchange = about_model(inference::ModelMetadataRequest(),
                             inference::ModelMetadataResponse());
      break;
    case Kind::kInferenceModelReady: {
      const auto ready = about_model(inference::ModelReadyRequest(),
                                     inference::ModelReadyResponse());
      ready->shape = [this, request,
                      model = match.argument](const auto& message) {
        return ModelReadyAnswer(request, model, status_.ready(), message);
      };
      exchange = ready;
      break;
    }
    case Kind::kInferenceConfig: {
      const auto config = about_model(inference::ModelConfigRequest(),
                                      inference::ModelConfigResponse());
      config->shape = &ModelConfigAnswer;
      exchange = config;
      break;
    }
    case Kind::kInfer:
      exchange = MakeInfer(this, request, *origin, responder, match.argument,
                           match.second);
      break;
    default:
      exchange = unary(v1::GetModelRequest(), v1::GetModelResponse());
  }
  if (absl::Status ready = exchange->Prepare(); !ready.ok()) {
    exchange->Stop(ready);
    return answer(ErrorResponse(request, ready));
  }
  return exchange;
}

void Api::AnswerHealth(bool live, Responder* responder) {
  const absl::Status status = live ? status_.live() : status_.ready();
  Response response;
  response.code = status.ok() ? 200 : 503;
  response.content_type = std::string(kText);
  response.body =
      absl::StrCat(status.ok() ? "ok" : std::string(status.message()), "\n",
                   !live && status_.remarks ? status_.remarks() : "");
  responder->Answer(std::move(response));
}

void Api::AnswerMetrics(std::shared_ptr<Responder> responder) {
  {
    base::MutexLock lock(&mu_);
    if (!stopped_) asked_.push_back(std::move(responder));
  }
  asked_or_stopped_.NotifyAll();
}

void Api::RenderMetrics() {
  while (true) {
    std::vector<std::shared_ptr<Responder>> asked;
    {
      base::MutexLock lock(&mu_);
      while (!stopped_ && asked_.empty()) asked_or_stopped_.Wait(&mu_);
      if (stopped_) return;
      asked.swap(asked_);
    }
    const absl::StatusOr<std::string> text = base::NoThrow(
        "the metrics",
        [this]() -> absl::StatusOr<std::string> { return status_.metrics(); });
    Response response;
    if (text.ok()) {
      response.content_type = std::string(kPrometheusText);
      response.body = *text;
    } else {
      response = ErrorResponse(Request(),
                               absl::UnavailableError(text.status().message()));
    }
    for (const std::shared_ptr<Responder>& one : asked) {
      one->Post([one, response] { one->Answer(response); });
    }
  }
}

}  // namespace zeroshot::server::http
