#include "server/http/inference.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "base/quoted.h"
#include "inference/inference.pb.h"
#include "server/http/body.h"
#include "server/http/errors.h"
#include "server/http/infer_body.h"
#include "server/http/json_message.h"
#include "server/inference/models.h"

namespace zeroshot::server::http {
namespace {

// {"name": NAME, "data_type": TYPE, "dims": [...]}
template <typename Tensors>
void AppendConfigs(absl::string_view key, const Tensors& tensors,
                   std::string* out) {
  absl::StrAppend(out, "\"", key, "\": [");
  for (int i = 0; i < tensors.size(); ++i) {
    out->append(i > 0 ? ", {" : "{");
    AppendText("name", tensors[i].name(), out);
    out->append(", ");
    AppendText("data_type", inference::DataType_Name(tensors[i].data_type()),
               out);
    out->append(", \"dims\": ");
    AppendShape(tensors[i].dims(), out);
    out->push_back('}');
  }
  out->push_back(']');
}

class InferExchange final : public RpcExchange {
 public:
  InferExchange(Api* api, const Request& request, Origin origin,
                std::shared_ptr<Responder> responder, std::string model,
                std::string version)
      : RpcExchange(api, MethodNamed("ModelInfer"), request, std::move(origin),
                    std::move(responder)),
        model_(std::move(model)),
        version_(std::move(version)) {}

  absl::Status Prepare() override {
    const absl::string_view encoding = request_.Header("content-encoding");
    if (!encoding.empty() && !absl::EqualsIgnoreCase(encoding, "identity")) {
      return base::WithReason(
          absl::InvalidArgumentError(
              absl::StrCat("the Content-Encoding is ", base::Quoted(encoding),
                           "; the body must be sent as it is")),
          kContentTypeNotSupported);
    }
    const BodyType type = TypeOfBody(request_);
    if (type != BodyType::kJson && type != BodyType::kBytes &&
        !request_.Header("content-type").empty()) {
      return ContentTypeNotSupported(
          request_, "application/json and application/octet-stream");
    }
    const absl::string_view header = request_.Header(kInferenceHeader);
    if (header.empty()) return absl::OkStatus();
    if (!absl::SimpleAtoi(header, &json_size_) || json_size_ < 0) {
      json_size_ = -1;
      return WrongHeader(header, "a number of bytes");
    }
    const int64_t length = request_.content_length;
    if (length >= 0 && json_size_ > length) {
      return WrongHeader(header,
                         absl::StrCat("the body's ", length, " bytes at most"));
    }
    if (json_size_ == length) {
      json_size_ = -1;  // there is no binary data
    } else if (json_size_ > kMaxInferenceHeader) {
      return WrongHeader(header, absl::StrCat(kMaxInferenceHeader,
                                              " at most before binary data"));
    }
    // The body alone is one element; its length goes before it.
    if (json_size_ == 0) binary_.assign(sizeof(uint32_t), '\0');
    return absl::OkStatus();
  }

  int memory_factor() const override {
    return json_size_ < 0 ? 2 : 1;  // base64, and what it stands for
  }

  int64_t max_body_bytes() const override {
    const int64_t most = api_->options().max_request_bytes;
    return MostBytes(json_size_ < 0 ? most / 3 * 4 : most, memory_factor());
  }

  absl::Status Take(absl::string_view bytes) override {
    size_t json = bytes.size();
    if (json_size_ >= 0) {
      json = std::min(json, static_cast<size_t>(json_size_) - json_.size());
    }
    json_.append(bytes.data(), json);
    bytes.remove_prefix(json);
    if (bytes.empty()) return absl::OkStatus();
    if (binary_.size() <= sizeof(uint32_t) && request_.content_length > 0) {
      binary_.reserve(request_.content_length - json_.size() +
                      sizeof(uint32_t));
    }
    binary_.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }

  absl::Status End() override {
    absl::Status read = json_size_ == 0 ? TakeOneElement() : Read();
    if (!read.ok()) return read;
    std::string().swap(json_);
    // KServe's client says in the body, too, what the path says.
    absl::Status named =
        Name("model_name", model_, form_.request.mutable_model_name());
    if (!named.ok()) return named;
    if (form_.request.model_version().empty() || !version_.empty()) {
      named = Name("model_version", version_,
                   form_.request.mutable_model_version());
      if (!named.ok()) return named;
    }
    constexpr int kRawInputContents =
        inference::ModelInferRequest::kRawInputContentsFieldNumber;
    Call(
        method_.path, form_.request, std::move(form_.raw),
        [this](const absl::Status& status, grpc::ByteBuffer* bytes) {
          if (!status.ok()) return AnswerError(status);
          inference::ModelInferResponse answer;
          if (!FromBytes(bytes, &answer)) {
            return AnswerError(absl::InternalError("the answer is damaged"));
          }
          absl::StatusOr<Response> response = InferAnswer(form_, &answer);
          if (!response.ok()) return AnswerError(response.status());
          Answer(*std::move(response));
        },
        kRawInputContents);
    return absl::OkStatus();
  }

 private:
  static absl::Status WrongHeader(absl::string_view value,
                                  absl::string_view allowed) {
    return base::InvalidField(
        kInferenceHeader,
        absl::StrCat("the header ", kInferenceHeader, " is ",
                     base::Quoted(value), "; it must be ", allowed));
  }

  absl::Status Read() {
    if (json_size_ > static_cast<int64_t>(json_.size())) {
      return WrongHeader(
          absl::StrCat(json_size_),
          absl::StrCat("the body's ", json_.size(), " bytes at most"));
    }
    absl::StatusOr<InferForm> form =
        ParseInfer(json_, std::move(binary_), api_->most_items());
    if (!form.ok()) return form.status();
    form_ = *std::move(form);
    return absl::OkStatus();
  }

  // Sets what the path says, from which the body may not differ.
  static absl::Status Name(absl::string_view field, const std::string& path,
                           std::string* body) {
    if (!body->empty() && *body != path) {
      return base::InvalidField(
          field, absl::StrCat(field, " is ", base::Quoted(*body),
                              "; the path says ", base::Quoted(path)));
    }
    *body = path;
    return absl::OkStatus();
  }

  absl::Status TakeOneElement() {
    const size_t size = binary_.size() - sizeof(uint32_t);
    for (size_t i = 0; i < sizeof(uint32_t); ++i) {
      binary_[i] = static_cast<char>(size >> (8 * i) & 0xff);
    }
    auto* const input = form_.request.add_inputs();
    input->set_name(model_ == kTextEncoder ? "text" : "image");
    input->set_datatype(kBytes);
    input->add_shape(1);
    form_.raw.push_back(std::move(binary_));
    form_.binary_output = true;
    return absl::OkStatus();
  }

  const std::string model_, version_;
  int64_t json_size_ = -1;  // -1: all of the body
  std::string json_, binary_;
  InferForm form_;
};

}  // namespace

Response InferenceHealth(absl::string_view what, const absl::Status& status) {
  Response response;
  if (status.ok()) {
    response.body = absl::StrCat("{\"", what, "\": true}");
    return response;
  }
  response.code = 503;
  response.body = InferenceErrorJson(status);
  return response;
}

Response ModelReadyAnswer(const Request& request, const std::string& model,
                          const absl::Status& server_ready,
                          const google::protobuf::Message& answer) {
  if (static_cast<const inference::ModelReadyResponse&>(answer).ready()) {
    Response response;
    response.body = "{";
    AppendText("name", model, &response.body);
    response.body += ", \"ready\": true}";
    return response;
  }
  return ErrorResponse(
      request,
      server_ready.ok()
          ? base::WithReason(absl::NotFoundError(absl::StrCat(
                                 "there is no model ", base::Quoted(model))),
                             base::kModelNotFound)
          : server_ready);
}

Response ModelConfigAnswer(const google::protobuf::Message& answer) {
  const inference::ModelConfig& config =
      static_cast<const inference::ModelConfigResponse&>(answer).config();
  Response response;
  std::string& out = response.body;
  out = "{";
  AppendText("name", config.name(), &out);
  out += ", ";
  AppendText("platform", config.platform(), &out);
  out += ", ";
  AppendText("backend", config.backend(), &out);
  absl::StrAppend(&out, ", \"max_batch_size\": ", config.max_batch_size(),
                  ", ");
  AppendConfigs("input", config.input(), &out);
  out += ", ";
  AppendConfigs("output", config.output(), &out);
  out += "}";
  return response;
}

Response RepositoryIndexAnswer(const google::protobuf::Message& answer) {
  const auto& models =
      static_cast<const inference::RepositoryIndexResponse&>(answer).models();
  Response response;
  response.body = "[";
  for (int i = 0; i < models.size(); ++i) {
    if (i > 0) response.body += ", ";
    AppendJson(models[i], &response.body);
  }
  response.body += "]";
  return response;
}

std::shared_ptr<RpcExchange> MakeInfer(Api* api, const Request& request,
                                       Origin origin,
                                       std::shared_ptr<Responder> responder,
                                       std::string model, std::string version) {
  return std::make_shared<InferExchange>(api, request, std::move(origin),
                                         std::move(responder), std::move(model),
                                         std::move(version));
}

}  // namespace zeroshot::server::http
