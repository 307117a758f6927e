#include "server/http/rpc_exchange.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "base/quoted.h"
#include "server/http/errors.h"
#include "server/http/forms.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::server::http {
namespace {

// A slice that owns the text.
grpc::Slice SliceOf(std::string text) {
#ifdef __SANITIZE_THREAD__
  // It does not see how gRPC hands bytes from thread to thread: gRPC copies.
  return grpc::Slice(text);
#endif
  auto* const owned = new std::string(std::move(text));
  return grpc::Slice(
      owned->data(), owned->size(),
      [](void* text) { delete static_cast<std::string*>(text); }, owned);
}

// Tag and length of an item of the field.
std::string HeaderOfBytes(int field, size_t size) {
  using google::protobuf::internal::WireFormatLite;
  using google::protobuf::io::CodedOutputStream;
  uint8_t bytes[16];
  uint8_t* end = CodedOutputStream::WriteTagToArray(
      WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED),
      bytes);
  end = CodedOutputStream::WriteVarint64ToArray(size, end);
  return std::string(reinterpret_cast<char*>(bytes), end - bytes);
}

}  // namespace

grpc::ByteBuffer ToBytes(const google::protobuf::Message& message,
                         std::vector<std::string> items, int field) {
  std::vector<grpc::Slice> slices;
  slices.push_back(SliceOf(message.SerializeAsString()));
  for (std::string& item : items) {
    slices.push_back(SliceOf(HeaderOfBytes(field, item.size())));
    slices.push_back(SliceOf(std::move(item)));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

bool FromBytes(grpc::ByteBuffer* bytes, google::protobuf::Message* message) {
  return grpc::SerializationTraits<google::protobuf::Message>::Deserialize(
             bytes, message)
      .ok();
}

absl::StatusOr<Origin> RpcExchange::OriginOf(const Request& request) {
  Origin origin;
  origin.peer = request.peer;
  origin.certificate = request.certificate;
  origin.tag = request.tag;
  // What is not printable is no token, and gRPC would abort on it.
  const absl::string_view authorization = request.Header("authorization");
  if (std::all_of(authorization.begin(), authorization.end(),
                  [](char c) { return absl::ascii_isprint(c); })) {
    origin.authorization = std::string(authorization);
  }
  const absl::string_view timeout = request.Header("x-request-timeout");
  if (timeout.empty()) return origin;
  double seconds = 0;
  if (!absl::SimpleAtod(timeout, &seconds) || !(seconds > 0)) {
    return base::InvalidField(
        "X-Request-Timeout",
        absl::StrCat("the header X-Request-Timeout is ", base::Quoted(timeout),
                     "; it must be a number of seconds over 0"));
  }
  constexpr double kLongest = 24 * 3600;
  origin.timeout = absl::Seconds(std::min(seconds, kLongest));
  return origin;
}

void RpcExchange::Stop(const absl::Status& why) {
  if (over_) return;
  over_ = true;
  for (const auto& call : calls_) call->Cancel();
  if (!called_) {
    api_->LogRefused(method_.name(), request_, why,
                     base::MonotonicNow() - start_);
  }
}

void RpcExchange::Post(std::function<void()> task) {
  responder_->Post([self = shared_from_this(), task = std::move(task)] {
    if (!self->over_) task();
  });
}

void RpcExchange::Call(
    const char* path, const google::protobuf::Message& request,
    std::vector<std::string> items,
    std::function<void(const absl::Status&, grpc::ByteBuffer*)> then,
    int field) {
  called_ = true;
  calls_.push_back(api_->inside().Unary(
      path, origin_, ToBytes(request, std::move(items), field),
      [self = shared_from_this(), then = std::move(then)](
          const absl::Status& status, grpc::ByteBuffer answer) {
        self->Post([then, status, answer]() mutable { then(status, &answer); });
      }));
}

std::shared_ptr<InsideCalls::Stream> RpcExchange::MakeStream(const char* path) {
  called_ = true;
  auto stream = api_->inside().MakeStream(path, origin_);
  calls_.push_back(stream);
  return stream;
}

void RpcExchange::Answer(Response response) {
  if (over_) return;
  over_ = true;
  responder_->Answer(std::move(response));
}

void RpcExchange::AnswerError(const absl::Status& error) {
  Answer(ErrorResponse(request_, error));
}

void RpcExchange::AnswerMessage(const google::protobuf::Message& message) {
  Response response;
  AppendJson(message, &response.body);
  Answer(std::move(response));
}

int64_t RpcExchange::MostBytes(int64_t most, int factor) const {
  return std::min(most, Api::BodyMemoryOf(api_->options()) / factor);
}

absl::Status UnaryExchange::Prepare() {
  MessageForm form(message_.get(), api_->most_items());
  return TakeQuery(request_, &form);
}

int64_t UnaryExchange::max_body_bytes() const {
  return takes_json ? RequestLimits::kMaxPlainBytes : 0;
}

absl::Status UnaryExchange::Take(absl::string_view bytes) {
  body_.append(bytes.data(), bytes.size());
  return absl::OkStatus();
}

absl::Status UnaryExchange::End() {
  if (!body_.empty()) {
    MessageForm form(message_.get(), api_->most_items());
    absl::Status taken = form.TakeJson(body_);
    if (!taken.ok()) return taken;
  }
  Call(method_.path, *message_, {},
       [this](const absl::Status& status, grpc::ByteBuffer* bytes) {
         if (!status.ok()) return AnswerError(status);
         if (!FromBytes(bytes, answer_.get())) {
           return AnswerError(absl::InternalError("the answer is damaged"));
         }
         if (shape == nullptr) return AnswerMessage(*answer_);
         Answer(shape(*answer_));
       });
  return absl::OkStatus();
}

namespace {

class ClassifyExchange final : public RpcExchange {
 public:
  ClassifyExchange(Api* api, const Request& request, Origin origin,
                   std::shared_ptr<Responder> responder)
      : RpcExchange(api, MethodNamed("Classify"), request, std::move(origin),
                    std::move(responder)),
        form_(api->most_items(), api->options().max_batch_items) {}

  absl::Status Prepare() override {
    type_ = TypeOfBody(request_);
    // What curl says of --data-binary unless it is told; an image is no form.
    if (type_ == BodyType::kUrlEncoded) type_ = BodyType::kBytes;
    if (type_ == BodyType::kNone) return form_.Check();
    if (type_ == BodyType::kOther) {
      return ContentTypeNotSupported(
          request_,
          "multipart/form-data, image/*, application/octet-stream and "
          "application/json");
    }
    auto body = BodyReader::Make(request_, type_, &form_);
    if (!body.ok()) return body.status();
    body_ = *std::move(body);
    return TakeQuery(request_, &form_);
  }

  int memory_factor() const override {
    return type_ == BodyType::kJson ? 2 : 1;  // base64, and what it stands for
  }

  int64_t max_body_bytes() const override {
    const ServerOptions& options = api_->options();
    const int64_t most =
        type_ == BodyType::kBytes  ? options.embedder.max_image_bytes
        : type_ == BodyType::kJson ? options.max_request_bytes / 3 * 4
                                   : options.max_request_bytes;
    return MostBytes(most, memory_factor());
  }

  absl::Status Take(absl::string_view bytes) override {
    return body_->Take(bytes);
  }

  absl::Status End() override {
    if (body_ != nullptr) {
      absl::Status read = body_->End();
      if (!read.ok()) return read;
    }
    absl::Status good = form_.Check();
    if (!good.ok()) return good;
    const bool batch = form_.is_batch();
    Call(MethodNamed(batch ? "ClassifyBatch" : "Classify").path,
         form_.request(), std::move(form_.images()),
         [this, batch](const absl::Status& status, grpc::ByteBuffer* bytes) {
           if (!status.ok()) return AnswerError(status);
           v1::ClassifyResponse one;
           v1::ClassifyBatchResponse many;
           google::protobuf::Message* answer = &one;
           if (batch) answer = &many;
           if (!FromBytes(bytes, answer)) {
             return AnswerError(absl::InternalError("the answer is damaged"));
           }
           AnswerMessage(*answer);
         });
    return absl::OkStatus();
  }

 private:
  BodyType type_ = BodyType::kNone;
  ClassifyForm form_;
  std::unique_ptr<BodyReader> body_;
};

}  // namespace

std::shared_ptr<RpcExchange> MakeClassify(
    Api* api, const Request& request, Origin origin,
    std::shared_ptr<Responder> responder) {
  return std::make_shared<ClassifyExchange>(api, request, std::move(origin),
                                            std::move(responder));
}

}  // namespace zeroshot::server::http
