// Requests that become calls with a stream: builds with progress, exports and
// imports.
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "base/quoted.h"
#include "server/http/errors.h"
#include "server/http/forms.h"
#include "server/http/json_message.h"
#include "server/http/rpc_exchange.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::server::http {
namespace {

// Of a file that is imported: kept here, and sent on at once.
constexpr size_t kPieceBytes = 256 << 10;

// An exchange that reads a stream to its end.
class StreamExchange : public RpcExchange {
 public:
  using RpcExchange::RpcExchange;

 protected:
  // One message each, on the connection's thread. `Received` goes on by
  // ReadNext.
  virtual void Received(grpc::ByteBuffer* bytes) = 0;
  virtual void Finished(const absl::Status& status) = 0;

  // Sends the one message that there is, and reads.
  void Run(const char* path, const google::protobuf::Message& request) {
    stream_ = MakeStream(path);
    stream_->Begin(Next(
        [this, request = std::make_shared<grpc::ByteBuffer>(ToBytes(request))] {
          stream_->Write(*request, Next([this] {
            stream_->WritesDone(Next([this] { ReadNext(); }));
          }));
        }));
  }

  void ReadNext() {
    stream_->Read(Next([this] { Received(&stream_->received()); }));
  }

  // Goes on with `task` on the connection's thread if all is well, else
  // finishes.
  InsideCalls::Stream::Then Next(std::function<void()> task) {
    return [this, self = shared_from_this(), task = std::move(task)](bool ok) {
      Post([this, task, ok] { ok ? task() : FinishStream(); });
    };
  }

  void FinishStream() {
    if (finishing_) return;
    finishing_ = true;
    stream_->Finish(
        [this, self = shared_from_this()](const absl::Status& status) {
          Post([this, status] { Finished(status); });
        });
  }

  // What has been begun is over.
  void EndAnswer() {
    over_ = true;
    responder_->End();
  }
  void AbortAnswer() {
    over_ = true;
    responder_->Abort();
  }

  std::shared_ptr<InsideCalls::Stream> stream_;
  bool begun_ = false;

 private:
  bool finishing_ = false;
};

class BuildExchange final : public StreamExchange {
 public:
  BuildExchange(Api* api, const Request& request, Origin origin,
                std::shared_ptr<Responder> responder)
      : StreamExchange(api, MethodNamed("BuildClassifier"), request,
                       std::move(origin), std::move(responder)),
        form_(&message_, api->most_items()) {}

  absl::Status Prepare() override {
    const BodyType type = TypeOfBody(request_);
    if (type == BodyType::kNone) return TakeQuery(request_, &form_);
    if (type == BodyType::kOther || type == BodyType::kBytes) {
      return ContentTypeNotSupported(
          request_,
          "application/json, application/x-www-form-urlencoded and "
          "multipart/form-data");
    }
    auto body = BodyReader::Make(request_, type, &form_);
    if (!body.ok()) return body.status();
    body_ = *std::move(body);
    return TakeQuery(request_, &form_);
  }

  // JSON may have example images in base64, and what it stands for.
  int memory_factor() const override { return 2; }

  int64_t max_body_bytes() const override {
    return MostBytes(api_->options().max_request_bytes / 3 * 4,
                     memory_factor());
  }

  absl::Status Take(absl::string_view bytes) override {
    return body_->Take(bytes);
  }

  absl::Status End() override {
    if (body_ != nullptr) {
      absl::Status read = body_->End();
      if (!read.ok()) return read;
    }
    if (absl::StrContains(request_.Header("accept"), "text/event-stream")) {
      Run(MethodNamed("BuildClassifierStream").path, message_);
      return absl::OkStatus();
    }
    Call(method_.path, message_, {},
         [this](const absl::Status& status, grpc::ByteBuffer* bytes) {
           if (!status.ok()) return AnswerError(status);
           v1::BuildClassifierResponse answer;
           if (!FromBytes(bytes, &answer)) {
             return AnswerError(absl::InternalError("the answer is damaged"));
           }
           AnswerMessage(answer);
         });
    return absl::OkStatus();
  }

 private:
  void Received(grpc::ByteBuffer* bytes) override {
    v1::BuildClassifierStreamResponse event;
    if (!FromBytes(bytes, &event)) return AbortAnswer();
    std::string text = event.has_result() ? "event: result\ndata: "
                                          : "event: progress\ndata: ";
    if (event.has_result()) {
      AppendJson(event.result(), &text);
    } else {
      AppendJson(event.progress(), &text);
    }
    if (!begun_) {
      begun_ = true;
      Response head;
      head.content_type = "text/event-stream";
      head.headers.emplace_back("Cache-Control", "no-cache");
      // nginx would hold events back.
      head.headers.emplace_back("X-Accel-Buffering", "no");
      responder_->Begin(std::move(head), -1);
    }
    // The next event is read when this one has left.
    responder_->Write(text + "\n\n", [self = shared_from_this(), this] {
      if (!over_) ReadNext();
    });
  }

  void Finished(const absl::Status& status) override {
    if (!begun_) {
      return AnswerError(status.ok() ? absl::InternalError("there is no answer")
                                     : status);
    }
    if (!status.ok()) {
      responder_->Write(
          absl::StrCat("event: error\ndata: ", ErrorJson(status), "\n\n"),
          nullptr);
    }
    EndAnswer();
  }

  v1::BuildClassifierRequest message_;
  MessageForm form_;
  std::unique_ptr<BodyReader> body_;
};

class ExportExchange final : public StreamExchange {
 public:
  ExportExchange(Api* api, const Request& request, Origin origin,
                 std::shared_ptr<Responder> responder,
                 std::string weight_set_id)
      : StreamExchange(api, MethodNamed("ExportWeightSet"), request,
                       std::move(origin), std::move(responder)) {
    message_.set_weight_set_id(std::move(weight_set_id));
  }

  absl::Status Prepare() override {
    MessageForm form(&message_, api_->most_items());
    return TakeQuery(request_, &form);
  }

  absl::Status End() override {
    Run(method_.path, message_);
    return absl::OkStatus();
  }

 private:
  void Received(grpc::ByteBuffer* bytes) override {
    v1::ExportWeightSetResponse piece;
    if (!FromBytes(bytes, &piece)) return AbortAnswer();
    if (!begun_) {
      begun_ = true;
      Response head;
      head.content_type = "application/octet-stream";
      head.headers.emplace_back(
          "Content-Disposition",
          absl::StrCat("attachment; filename=\"", message_.weight_set_id(),
                       message_.format() == v1::WEIGHT_SET_FORMAT_NPY
                           ? ".npy\""
                           : ".safetensors\""));
      responder_->Begin(std::move(head), piece.total_bytes());
      if (request_.method == "HEAD") {
        stream_->Cancel();
        return EndAnswer();
      }
    }
    responder_->Write(std::move(*piece.mutable_data()),
                      [self = shared_from_this(), this] {
                        if (!over_) ReadNext();
                      });
  }

  void Finished(const absl::Status& status) override {
    if (!begun_) {
      return AnswerError(status.ok() ? absl::InternalError("there is no answer")
                                     : status);
    }
    status.ok() ? EndAnswer() : AbortAnswer();
  }

  v1::ExportWeightSetRequest message_;
};

// The file goes on to the call as it arrives.
class ImportExchange final : public StreamExchange, public Form {
 public:
  ImportExchange(Api* api, const Request& request, Origin origin,
                 std::shared_ptr<Responder> responder)
      : StreamExchange(api, MethodNamed("ImportWeightSet"), request,
                       std::move(origin), std::move(responder)) {}

  absl::Status Prepare() override {
    const BodyType type = TypeOfBody(request_);
    if (type != BodyType::kBytes && type != BodyType::kMultipart) {
      return ContentTypeNotSupported(
          request_, "application/octet-stream and multipart/form-data");
    }
    if (type == BodyType::kBytes && request_.content_length > 0) {
      first_.mutable_header()->set_total_bytes(request_.content_length);
    }
    auto body = BodyReader::Make(request_, type, this);
    if (!body.ok()) return body.status();
    body_ = *std::move(body);
    first_.mutable_header();
    return TakeQuery(request_, this);
  }

  // Names and the form's own bytes come besides the file.
  int64_t max_body_bytes() const override {
    return api_->options().max_import_bytes + (1 << 20);
  }
  int memory_factor() const override { return 0; }  // it is not kept

  absl::Status Take(absl::string_view bytes) override {
    absl::Status taken = body_->Take(bytes);
    if (!taken.ok()) return taken;
    Pump();
    return absl::OkStatus();
  }

  bool full() const override { return pending_.size() >= kPieceBytes; }

  absl::Status End() override {
    absl::Status read = body_->End();
    if (!read.ok()) return read;
    ended_ = true;
    Pump();
    return absl::OkStatus();
  }

 private:
  // --- Form ---
  absl::Status TakeField(const std::string& name,
                         absl::string_view text) override {
    if (stream_ != nullptr || in_file_) {
      return base::InvalidField(
          name, absl::StrCat("the part ", base::Quoted(name),
                             " stands behind `file`; it must stand before it"));
    }
    MessageForm form(first_.mutable_header(), api_->most_items());
    return form.TakeField(name, text);
  }
  bool IsFile(absl::string_view name) const override { return name == "file"; }
  absl::Status TakeFile(const std::string&) override {
    if (in_file_) {
      return base::InvalidField("file",
                                "the request has the part `file` twice");
    }
    in_file_ = true;
    return absl::OkStatus();
  }
  absl::Status TakeBytes(absl::string_view bytes) override {
    in_file_ = true;
    pending_.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }
  absl::Status TakeJson(absl::string_view) override { return absl::OkStatus(); }

  // Sends what there is to send.
  void Pump() {
    if (sending_ || over_) return;
    if (stream_ == nullptr) {
      if (!in_file_ && !ended_) return;
      sending_ = true;
      stream_ = MakeStream(method_.path);
      stream_->Begin(Next([this] { Send(first_); }));
      return;
    }
    if (pending_.size() >= kPieceBytes || (ended_ && !pending_.empty())) {
      sending_ = true;
      v1::ImportWeightSetRequest piece;
      piece.set_data(std::move(pending_));
      pending_.clear();
      return Send(piece);
    }
    if (!ended_) return;
    sending_ = true;
    stream_->WritesDone(Next([this] { ReadNext(); }));
  }

  void Send(const v1::ImportWeightSetRequest& piece) {
    stream_->Write(ToBytes(piece), Next([this] {
                     sending_ = false;
                     responder_->Resume();
                     Pump();
                   }));
  }

  void Received(grpc::ByteBuffer* bytes) override {
    good_ = FromBytes(bytes, &answer_);
    ReadNext();
  }

  void Finished(const absl::Status& status) override {
    if (!status.ok()) return AnswerError(status);
    if (!good_) return AnswerError(absl::InternalError("there is no answer"));
    AnswerMessage(answer_);
  }

  std::unique_ptr<BodyReader> body_;
  v1::ImportWeightSetRequest first_;
  v1::ImportWeightSetResponse answer_;
  bool good_ = false;
  bool in_file_ = false;
  bool ended_ = false;
  bool sending_ = false;  // an operation is on its way
  std::string pending_;
};

}  // namespace

std::shared_ptr<RpcExchange> MakeBuild(Api* api, const Request& request,
                                       Origin origin,
                                       std::shared_ptr<Responder> responder) {
  return std::make_shared<BuildExchange>(api, request, std::move(origin),
                                         std::move(responder));
}

std::shared_ptr<RpcExchange> MakeExport(Api* api, const Request& request,
                                        Origin origin,
                                        std::shared_ptr<Responder> responder,
                                        std::string weight_set_id) {
  return std::make_shared<ExportExchange>(api, request, std::move(origin),
                                          std::move(responder),
                                          std::move(weight_set_id));
}

std::shared_ptr<RpcExchange> MakeImport(Api* api, const Request& request,
                                        Origin origin,
                                        std::shared_ptr<Responder> responder) {
  return std::make_shared<ImportExchange>(api, request, std::move(origin),
                                          std::move(responder));
}

}  // namespace zeroshot::server::http
