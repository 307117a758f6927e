// Requests that become calls of zeroshot.v1.ZeroShot and of
// inference.GRPCInferenceService.
#ifndef ZEROSHOT_SERVER_HTTP_RPC_EXCHANGE_H_
#define ZEROSHOT_SERVER_HTTP_RPC_EXCHANGE_H_

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/http/api.h"
#include "server/http/body.h"
#include "server/http/exchange.h"
#include "server/http/inside_calls.h"
#include "server/methods.h"

namespace zeroshot::server::http {

// The message's bytes, and behind them items of its list of that number, which
// is 1 for images of every request that has any. They are moved, not copied.
grpc::ByteBuffer ToBytes(const google::protobuf::Message& message,
                         std::vector<std::string> items = {}, int field = 1);
bool FromBytes(grpc::ByteBuffer* bytes, google::protobuf::Message* message);

// What all have in common: who calls, until when, and that one answer is given.
// Thread rule: the connection's thread.
class RpcExchange : public Exchange,
                    public std::enable_shared_from_this<RpcExchange> {
 public:
  // InvalidArgument: the request's timeout is no number of seconds.
  static absl::StatusOr<Origin> OriginOf(const Request& request);

  RpcExchange(Api* api, const Method& method, const Request& request,
              Origin origin, std::shared_ptr<Responder> responder)
      : api_(api),
        method_(method),
        request_(request),
        origin_(std::move(origin)),
        responder_(std::move(responder)) {}

  // What can be said before the body is read. An error is the answer.
  virtual absl::Status Prepare() { return absl::OkStatus(); }

  void Stop(const absl::Status& why) override;

 protected:
  // Makes a call; `then` runs on the connection's thread unless the exchange
  // has been stopped meanwhile. `items`, `field`: see ToBytes.
  void Call(const char* path, const google::protobuf::Message& request,
            std::vector<std::string> items,
            std::function<void(const absl::Status&, grpc::ByteBuffer*)> then,
            int field = 1);
  // Runs `task` on the connection's thread unless the exchange has been
  // stopped.
  void Post(std::function<void()> task);
  std::shared_ptr<InsideCalls::Stream> MakeStream(const char* path);

  // The answer; then it is over.
  void Answer(Response response);
  // An error of a call, which has been logged, or of ours.
  void AnswerError(const absl::Status& error);
  void AnswerMessage(const google::protobuf::Message& message);

  // The body's memory may be others'.
  int64_t MostBytes(int64_t most, int factor) const;

  Api* const api_;
  const Method& method_;
  const Request request_;
  const Origin origin_;
  const std::shared_ptr<Responder> responder_;
  const absl::Time start_ = base::MonotonicNow();
  bool called_ = false;  // a call logs and counts itself
  bool over_ = false;
  std::vector<std::shared_ptr<InsideCalls::Call>> calls_;
};

// A request of one message whose answer is a message.
class UnaryExchange final : public RpcExchange {
 public:
  // `form`: whether the query has fields of the request.
  UnaryExchange(Api* api, const Method& method, const Request& request,
                Origin origin, std::shared_ptr<Responder> responder,
                std::unique_ptr<google::protobuf::Message> message,
                std::unique_ptr<google::protobuf::Message> answer)
      : RpcExchange(api, method, request, std::move(origin),
                    std::move(responder)),
        message_(std::move(message)),
        answer_(std::move(answer)) {}

  // Instead of the answer's fields.
  std::function<Response(const google::protobuf::Message&)> shape;
  // Whether there may be a body, with the message's fields as JSON.
  bool takes_json = false;

  absl::Status Prepare() override;
  int64_t max_body_bytes() const override;
  absl::Status Take(absl::string_view bytes) override;
  absl::Status End() override;

 private:
  const std::unique_ptr<google::protobuf::Message> message_;
  const std::unique_ptr<google::protobuf::Message> answer_;
  std::string body_;
};

// POST /v1/classify.
std::shared_ptr<RpcExchange> MakeClassify(Api* api, const Request& request,
                                          Origin origin,
                                          std::shared_ptr<Responder> responder);
// POST /v1/classifiers, with or without progress.
std::shared_ptr<RpcExchange> MakeBuild(Api* api, const Request& request,
                                       Origin origin,
                                       std::shared_ptr<Responder> responder);
// GET /v1/classifiers/{id}/file.
std::shared_ptr<RpcExchange> MakeExport(Api* api, const Request& request,
                                        Origin origin,
                                        std::shared_ptr<Responder> responder,
                                        std::string weight_set_id);
// POST /v1/classifiers/import.
std::shared_ptr<RpcExchange> MakeImport(Api* api, const Request& request,
                                        Origin origin,
                                        std::shared_ptr<Responder> responder);
// POST /v1/embeddings.
std::shared_ptr<RpcExchange> MakeEmbed(Api* api, const Request& request,
                                       Origin origin,
                                       std::shared_ptr<Responder> responder);

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_RPC_EXCHANGE_H_
