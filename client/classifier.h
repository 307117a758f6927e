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
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/client.h"
#include "client/types.h"

namespace zeroshot::client {

// Thread rule: every method may be called from many threads at once.
class Classifier {
 public:
  // Builds the weight set, or finds it. Borrows the client. Errors: those of
  // Client::Build.
  static absl::StatusOr<std::unique_ptr<Classifier>> Build(
      Client* client, ClassifierSpec spec,
      const OnBuildProgress& on_progress = {});

  // Ends a build that is under way. No other method may be running.
  ~Classifier();

  // As Client::Classify, but if the weight set is unknown to the server, or is
  // of another model than it has now, it is built again and the picture is
  // tried once more, all within ClientOptions::timeout. Threads that miss the
  // set together share one build and its result, also where that is an error.
  // DeadlineExceeded: the build takes longer; it goes on, up to
  // ClientOptions::build_timeout, and a later call finds it done.
  absl::StatusOr<Answer> Classify(absl::string_view image,
                                  const ClassifyOptions& options = {});

  // As Client::ClassifyWithEach: one answer a classifier for one pass of the
  // picture through the image tower. If one of them is unknown to the server,
  // or of another model, all are built again, which costs nothing for those
  // that it knows. InvalidArgument: no classifier. REQUIRES: all borrow the
  // same client.
  static absl::StatusOr<std::vector<Answer>> ClassifyWithEach(
      absl::Span<Classifier* const> classifiers, absl::string_view image,
      const ClassifyOptions& options = {});

  // The first build's result. Its id changes with a rebuild only if the server
  // has changed its model meanwhile: weight_set_id() is the one in use.
  const BuildResult& built() const { return built_; }
  std::string weight_set_id() const;

 private:
  struct Current {
    std::string id;
    int64_t builds = 0;  // how often it was built again
  };
  struct Rebuild;  // one that is under way

  Classifier(Client* client, ClassifierSpec spec, BuildResult built);

  Current current() const;

  // What is in use instead of `missed`: waits for the build that is under way,
  // or begins one. DeadlineExceeded: it is not done by `until`.
  absl::StatusOr<Current> Replace(const Current& missed, absl::Time until);

  Client* const client_;
  const ClassifierSpec spec_;
  const BuildResult built_;

  // std::mutex rather than ours: the client depends on nothing else of ours.
  mutable std::mutex mu_;  // guards all below
  Current current_;
  std::shared_ptr<Rebuild> rebuild_;  // the last that was begun; may be null
};

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLASSIFIER_H_
