// Client: calls a zeroshot server.
//
//   auto client = zeroshot::Client::Connect("127.0.0.1:50051");
//   auto built = (*client)->Build({.classes = {{"cat"}, {"dog"}}});
//   auto answer = (*client)->Classify(jpeg_bytes, built->weight_set_id());
//   // answer->predictions[0].class_name, .probability
//
// Errors are the server's gRPC status: the same code and message.
// client/error_info.h has the reason, for programs; the binary details are the
// payload of kErrorDetailsUrl. In addition, any call may fail with
//   Unavailable        the server cannot be reached or is stopping; this is
//                      after max_attempts attempts,
//   DeadlineExceeded   no answer by the call's deadline or within the timeout,
//   Cancelled          the call's Cancellation was cancelled,
//   ResourceExhausted  the server is full (try later), or a message is larger
//                      than max_message_bytes,
//   InvalidArgument    a text is not UTF-8 (the message names the field), or
//                      metadata that cannot be sent,
//   Internal           the answer contradicts the wire contract.
//
// A deadline, metadata or a cancellation for one call: client/call_options.h.
// A fake for tests: client/client_interface.h.
// A classifier that survives a server that forgets: client/classifier.h.
// Many images at once: client/in_order.h.
#ifndef ZEROSHOT_CLIENT_CLIENT_H_
#define ZEROSHOT_CLIENT_CLIENT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/call_options.h"
#include "client/client_interface.h"
#include "client/types.h"

namespace grpc {
class Channel;
class ChannelCredentials;
}  // namespace grpc

namespace zeroshot::client {

inline constexpr char kErrorDetailsUrl[] =
    "type.googleapis.com/google.rpc.Status";

struct ClientOptions {
  absl::Duration timeout = absl::Seconds(60);     // of any call but a build
  absl::Duration build_timeout = absl::Hours(1);  // of a build

  // Attempts of one call while the server answers Unavailable, 1 to 5. gRPC
  // makes them itself, after about 0.1, 0.2, 0.4, 0.8 s or, while the server
  // loads its model, after the time that it asks for, all within the timeout.
  // A call that a full server refused (ResourceExhausted) with a delay is made
  // again as often, if there is time for the delay. 1 turns both off.
  // DeleteWeightSet is made again only if the server said that it did nothing,
  // because the first attempt may have deleted the set.
  int max_attempts = 5;

  // For a target that has the servers' own addresses (a headless Service, a
  // list): a server that loads or stops is left out as soon as it says so. Do
  // not set it behind a proxy: one server's health would count for all.
  bool watch_health = false;

  // Of a request and of an answer.
  int max_message_bytes = 64 << 20;

  // Null: plain text. For TLS, grpc::SslCredentials(...), which takes the
  // client's own certificate too.
  std::shared_ptr<grpc::ChannelCredentials> credentials = {};

  // Sent with every call ("authorization: Bearer ...") as gRPC's call
  // credentials, which never cross a connection that is not encrypted. Empty:
  // none. Without TLS, Connect refuses a token for servers on other machines,
  // unless token_without_tls says that the network is safe (because a mesh
  // encrypts, for example).
  std::string token = {};
  bool token_without_tls = false;
};

// Thread rule: every method may be called from many threads at once. A call
// blocks its thread; calls of all threads share one connection.
class Client final : public ClientInterface {
 public:
  // Does not wait for the server; the first call does, for a moment. Calls to
  // a name that has several addresses ("dns:///HOST:PORT") go to them in turn;
  // servers that cannot be reached are left out.
  // InvalidArgument: an empty target, an option out of its range, or a token
  // that would cross the network in plain text.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(
      const std::string& target, ClientOptions options = {});

  // Calls through a channel of the caller's own: one that it shares with other
  // clients, or made with interceptors or arguments of its own. How it
  // connects, balances and retries, and how large its messages may be, is then
  // up to the channel; the timeouts, max_attempts for full servers and the
  // token are still the client's. A channel does not show whether it encrypts:
  // calls with a token fail if it does not (also to this machine), unless
  // token_without_tls is set.
  // InvalidArgument: no channel, credentials or watch_health, which belong to
  // the channel, or an option out of its range.
  static absl::StatusOr<std::unique_ptr<Client>> Over(
      std::shared_ptr<grpc::Channel> channel, ClientOptions options = {});

  ~Client() override;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // What each does: client/client_interface.h.
  absl::StatusOr<BuildResult> Build(const ClassifierSpec& spec,
                                    const OnBuildProgress& on_progress = {},
                                    const CallOptions& call = {}) override;
  absl::StatusOr<Answer> Classify(absl::string_view image,
                                  absl::string_view weight_set_id,
                                  const ClassifyOptions& options = {},
                                  const CallOptions& call = {}) override;
  absl::StatusOr<std::vector<Answer>> ClassifyWithEach(
      absl::string_view image, absl::Span<const std::string> weight_set_ids,
      const ClassifyOptions& options = {},
      const CallOptions& call = {}) override;
  absl::StatusOr<Answer> ClassifyInline(absl::string_view image,
                                        const ClassifierSpec& classifier,
                                        const ClassifyOptions& options = {},
                                        const CallOptions& call = {}) override;
  absl::StatusOr<BatchAnswer> ClassifyBatch(
      absl::Span<const std::string> images, absl::string_view weight_set_id,
      const ClassifyOptions& options = {},
      const CallOptions& call = {}) override;
  absl::StatusOr<BatchAnswer> ClassifyBatchInline(
      absl::Span<const std::string> images, const ClassifierSpec& classifier,
      const ClassifyOptions& options = {},
      const CallOptions& call = {}) override;
  absl::StatusOr<BatchAnswer> ClassifyEmbeddings(
      absl::Span<const float> embeddings, absl::string_view weight_set_id,
      const ClassifyOptions& options = {},
      const CallOptions& call = {}) override;
  absl::StatusOr<BatchAnswer> ClassifyEmbeddingsInline(
      absl::Span<const float> embeddings, const ClassifierSpec& classifier,
      const ClassifyOptions& options = {},
      const CallOptions& call = {}) override;
  absl::StatusOr<std::vector<absl::StatusOr<Embedding>>> EmbedImages(
      absl::Span<const std::string> images,
      const CallOptions& call = {}) override;
  absl::StatusOr<std::vector<absl::StatusOr<Embedding>>> EmbedTexts(
      absl::Span<const std::string> texts,
      const CallOptions& call = {}) override;
  absl::StatusOr<ModelInfo> GetModel(const CallOptions& call = {}) override;
  absl::StatusOr<std::vector<TemplateSet>> ListTemplateSets(
      const CallOptions& call = {}) override;
  absl::StatusOr<std::vector<ClassSet>> ListClassSets(
      const CallOptions& call = {}) override;
  absl::StatusOr<std::vector<std::string>> GetClassSet(
      absl::string_view class_set, const CallOptions& call = {}) override;
  absl::StatusOr<std::vector<WeightSetInfo>> ListWeightSets(
      const CallOptions& call = {}) override;
  absl::StatusOr<WeightSet> GetWeightSet(absl::string_view weight_set_id,
                                         const CallOptions& call = {}) override;
  absl::StatusOr<WeightSetInfo> DescribeWeightSet(
      absl::string_view weight_set_id, const CallOptions& call = {}) override;
  absl::Status DeleteWeightSet(absl::string_view weight_set_id,
                               const CallOptions& call = {}) override;
  absl::Status Export(absl::string_view weight_set_id,
                      const ExportOptions& options, const OnPiece& on_piece,
                      const CallOptions& call = {}) override;
  absl::StatusOr<ImportResult> Import(absl::string_view file,
                                      const ImportOptions& options = {},
                                      const CallOptions& call = {}) override;
  absl::Status Health(absl::Duration wait = absl::ZeroDuration(),
                      const CallOptions& call = {}) override;
  absl::Duration timeout() const override;

 private:
  struct Connection;
  explicit Client(std::unique_ptr<Connection> connection);

  const std::unique_ptr<Connection> connection_;
};

}  // namespace zeroshot::client

namespace zeroshot {
using client::Client;
}

#endif  // ZEROSHOT_CLIENT_CLIENT_H_
