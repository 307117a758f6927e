// Client: calls a zeroshot server.
//
//   auto client = zeroshot::Client::Connect("127.0.0.1:50051");
//   auto built = (*client)->Build({.classes = {{"cat"}, {"dog"}}});
//   auto answer = (*client)->Classify(jpeg_bytes, built->weight_set_id);
//   // answer->predictions[0].class_name, .probability
//
// Errors are the server's gRPC status: the same code and message, and its
// reason, for programs, in client/error_info.h. Its binary details are the
// payload of kErrorDetailsUrl. Besides, any call may fail with
//   Unavailable        the server cannot be reached or is stopping; this is
//                      after max_attempts attempts,
//   DeadlineExceeded   no answer within ClientOptions' timeout,
//   ResourceExhausted  the server is full (try later), or a message is larger
//                      than max_message_bytes,
//   InvalidArgument    a text is not UTF-8; the message names the field,
//   Internal           the answer contradicts the wire contract.
//
// A classifier that survives a server that forgets: client/classifier.h.
// Many pictures at once: client/in_order.h.
#ifndef ZEROSHOT_CLIENT_CLIENT_H_
#define ZEROSHOT_CLIENT_CLIENT_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/types.h"

namespace grpc {
class ChannelCredentials;
}

namespace zeroshot::client {

inline constexpr char kErrorDetailsUrl[] =
    "type.googleapis.com/google.rpc.Status";

struct ClientOptions {
  absl::Duration timeout = absl::Seconds(60);     // of any call but a build
  absl::Duration build_timeout = absl::Hours(1);  // of a build

  // Attempts of one call while the server answers Unavailable, 1 to 5. gRPC
  // makes them itself, after about 0.1, 0.2, 0.4, 0.8 s or, while the server
  // loads its model, after the time that it asks for, all within the timeout.
  // As often a call is made again that a full server refused
  // (ResourceExhausted) with a delay to wait for, if there is time for it. 1
  // turns both off. DeleteWeightSet is made again only where the server said
  // that it did nothing: it could have been done.
  int max_attempts = 5;

  // For a target that has the servers' own addresses (a headless Service, a
  // list): one that loads or stops is left out as soon as it says so. Not
  // through a proxy: of the servers behind it one would be asked for all.
  bool watch_health = false;

  // Of a request and of an answer.
  int max_message_bytes = 64 << 20;

  // Null: plain text. For TLS, grpc::SslCredentials(...), which takes the
  // client's own certificate too.
  std::shared_ptr<grpc::ChannelCredentials> credentials = {};

  // Sent with every call ("authorization: Bearer ..."); empty: none. Without
  // TLS Connect refuses it, but for servers on this machine, unless
  // token_without_tls says that the network is safe (a mesh encrypts, say).
  std::string token = {};
  bool token_without_tls = false;
};

using OnBuildProgress = std::function<void(const BuildProgress&)>;

// Takes the next piece of a file; an error ends the call and is its answer.
using OnPiece = std::function<absl::Status(absl::string_view)>;

// Thread rule: every method may be called from many threads at once. A call
// blocks its thread; calls of all threads share one connection.
class Client {
 public:
  // Does not wait for the server: the first call does, for a moment. Calls to
  // a name that has several addresses ("dns:///HOST:PORT") go to them in turn;
  // those that are away are left out.
  // InvalidArgument: an empty target, an option out of its range, or a token
  // that others could read on its way.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(
      const std::string& target, ClientOptions options = {});
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Builds a weight set, or finds it: safe to repeat. `on_progress`, if not
  // null, is called on this thread; a set that is there already may report
  // nothing.
  absl::StatusOr<BuildResult> Build(const ClassifierSpec& spec,
                                    const OnBuildProgress& on_progress = {});

  // Classifies one encoded picture (JPEG, PNG, ...). NotFound: the weight
  // set is gone, Build brings it back.
  absl::StatusOr<Answer> Classify(absl::string_view image,
                                  absl::string_view weight_set_id,
                                  const ClassifyOptions& options = {});

  // The same with several weight sets for one pass of the picture through the
  // image tower: one answer an id, in their order, all with the same timing.
  // Fails as a whole if one of the ids does; the message names it.
  // InvalidArgument: no id, or more than Limits::max_weight_sets.
  absl::StatusOr<std::vector<Answer>> ClassifyWithEach(
      absl::string_view image, absl::Span<const std::string> weight_set_ids,
      const ClassifyOptions& options = {});

  // One result an item, in the same order; a bad item fails alone. At most
  // Limits::max_batch_items items.
  absl::StatusOr<std::vector<absl::StatusOr<Embedding>>> EmbedImages(
      absl::Span<const std::string> images);
  absl::StatusOr<std::vector<absl::StatusOr<Embedding>>> EmbedTexts(
      absl::Span<const std::string> texts);

  absl::StatusOr<ModelInfo> GetModel();

  // All pages, in the order of the ids.
  absl::StatusOr<std::vector<WeightSetInfo>> ListWeightSets();
  absl::StatusOr<WeightSet> GetWeightSet(absl::string_view weight_set_id);
  absl::Status DeleteWeightSet(absl::string_view weight_set_id);

  // Hands the weight set's file to `on_piece`, in order, on this thread. Has
  // the timeout of a build. DataLoss: pieces are missing at the end.
  absl::Status Export(absl::string_view weight_set_id,
                      const ExportOptions& options, const OnPiece& on_piece);

  // Makes a weight set of a file's bytes. Safe to repeat. Has the timeout of a
  // build. FailedPrecondition: the file is of another model.
  absl::StatusOr<ImportResult> Import(absl::string_view file,
                                      const ImportOptions& options = {});

  // OK if the server takes calls, or begins to within `wait`, whatever happens
  // meanwhile. Unavailable: it is starting or stopping, or cannot be reached.
  absl::Status Health(absl::Duration wait = absl::ZeroDuration());

 private:
  friend class Classifier;
  struct Connection;
  explicit Client(std::unique_ptr<Connection> connection);

  const std::unique_ptr<Connection> connection_;
};

}  // namespace zeroshot::client

namespace zeroshot {
using client::Client;
}

#endif  // ZEROSHOT_CLIENT_CLIENT_H_
