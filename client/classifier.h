// Classifier: a weight set together with what it was built from, so that it
// survives a server that has forgotten it (restarted, evicted, replaced).
//
//   auto classifier = zeroshot::client::Classifier::Build(
//       client.get(), {.classes = {{"cat"}, {"dog"}}});
//   auto answer = (*classifier)->Classify(jpeg_bytes);
#ifndef ZEROSHOT_CLIENT_CLASSIFIER_H_
#define ZEROSHOT_CLIENT_CLASSIFIER_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "client/client_interface.h"
#include "client/types.h"

namespace zeroshot::client {

// Thread rule: every method may be called from many threads at once.
class Classifier {
 public:
  // Builds the weight set, or finds it. Borrows the client. Errors: those of
  // ClientInterface::Build. The call's metadata and token go with later builds
  // too; its deadline and cancellation are for this one only.
  static absl::StatusOr<std::unique_ptr<Classifier>> Build(
      ClientInterface* client, ClassifierSpec spec,
      const OnBuildProgress& on_progress = {}, const CallOptions& call = {});

  // Ends a build that is under way. No other method may be running.
  ~Classifier();

  // As ClientInterface::Classify. If the server does not know the weight set,
  // or has another model now, the set is built again and the image is tried
  // once more, all by the call's deadline or within ClientOptions::timeout.
  // Threads that miss the set together share one build and its result, also an
  // error. DeadlineExceeded: the build takes longer. It goes on up to
  // ClientOptions::build_timeout, also if this call is cancelled, and a later
  // call finds it done. If several servers without a common store get the calls
  // in turn, the call carries the classifier itself, up to
  // Limits::max_inline_prompts; NotFound: it has more prompts.
  absl::StatusOr<Answer> Classify(absl::string_view image,
                                  const ClassifyOptions& options = {},
                                  const CallOptions& call = {});

  // As ClientInterface::ClassifyBatch, and built again as for Classify.
  absl::StatusOr<BatchAnswer> ClassifyBatch(
      absl::Span<const std::string> images, const ClassifyOptions& options = {},
      const CallOptions& call = {});

  // As ClientInterface::ClassifyEmbeddings, and built again as for Classify.
  absl::StatusOr<BatchAnswer> ClassifyEmbeddings(
      absl::Span<const float> embeddings, const ClassifyOptions& options = {},
      const CallOptions& call = {});

  // As ClientInterface::ClassifyWithEach: one answer per classifier for one
  // pass of the image through the image tower. If one of them is unknown to the
  // server, or of another model, all are built again, which costs nothing for
  // those that it knows. InvalidArgument: no classifier. REQUIRES: all borrow
  // the same client.
  static absl::StatusOr<std::vector<Answer>> ClassifyWithEach(
      absl::Span<Classifier* const> classifiers, absl::string_view image,
      const ClassifyOptions& options = {}, const CallOptions& call = {});

  // The first build's result. A rebuild changes the id only if the server has
  // changed its model meanwhile; weight_set_id() is the one in use.
  const BuildResult& built() const { return built_; }
  std::string weight_set_id() const;

 private:
  struct Current {
    std::string id;
    int64_t builds = 0;  // how often it was built again
  };
  struct Rebuild;  // one that is under way

  Classifier(ClientInterface* client, ClassifierSpec spec, CallOptions call,
             BuildResult built);

  Current current() const;

  // Calls `ask` with the ids in use. If the server does not know a set, or has
  // another model now, builds again and calls `ask` once more with the new ids.
  template <typename Result, typename AskIds>
  static absl::StatusOr<Result> WithIds(
      absl::Span<Classifier* const> classifiers, const CallOptions& call,
      const AskIds& ask);

  // The same of a batch; at last with the classifier in the call, if the set is
  // unknown again.
  template <typename AskId, typename AskInline>
  absl::StatusOr<BatchAnswer> BatchWithId(const CallOptions& call,
                                          const AskId& ask,
                                          const AskInline& ask_inline);

  // What is in use instead of `missed`: waits for the build that is under way,
  // or begins one. DeadlineExceeded: it is not done by the call's deadline.
  // REQUIRES: the call has one.
  absl::StatusOr<Current> Replace(const Current& missed,
                                  const CallOptions& call);

  ClientInterface* const client_;
  const ClassifierSpec spec_;
  const CallOptions build_call_;  // without deadline and cancellation
  const BuildResult built_;

  // std::mutex, because the client library uses nothing of base/.
  mutable std::mutex mu_;  // guards all below
  Current current_;
  std::shared_ptr<Rebuild> rebuild_;  // the last that was begun; may be null
};

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLASSIFIER_H_
