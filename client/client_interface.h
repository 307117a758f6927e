// The calls of a zeroshot server, as Client makes them (client/client.h) and as
// a program's own tests fake them:
//
//   class FakeClient : public zeroshot::client::ClientInterface {
//     absl::StatusOr<Answer> Classify(absl::string_view, absl::string_view,
//                                     const ClassifyOptions&,
//                                     const CallOptions&) override {
//       return Answer{.predictions = {{.class_name = "cat"}}};
//     }
//   };
//
// client/example has such a test. Classifier (client/classifier.h) takes
// either.
#ifndef ZEROSHOT_CLIENT_CLIENT_INTERFACE_H_
#define ZEROSHOT_CLIENT_CLIENT_INTERFACE_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/call_options.h"
#include "client/types.h"

namespace zeroshot::client {

using OnBuildProgress = std::function<void(const BuildProgress&)>;

// Takes the next piece of a file; an error ends the call and is its answer.
using OnPiece = std::function<absl::Status(absl::string_view)>;

// A call that your class does not override answers Unimplemented; so do calls
// that later versions add. Every call may have a deadline, metadata and a
// cancellation: client/call_options.h.
//
// Thread rule: every method may be called from many threads at once. A call
// blocks its thread.
class ClientInterface {
 public:
  virtual ~ClientInterface() = default;

  // Builds a weight set, or finds it: safe to repeat. `on_progress`, if not
  // null, is called on this thread; a set that is there already may report
  // nothing.
  virtual absl::StatusOr<BuildResult> Build(
      const ClassifierSpec& spec, const OnBuildProgress& on_progress = {},
      const CallOptions& call = {});

  // Classifies one encoded image (JPEG, PNG, ...). NotFound: the weight
  // set is gone, Build brings it back.
  virtual absl::StatusOr<Answer> Classify(absl::string_view image,
                                          absl::string_view weight_set_id,
                                          const ClassifyOptions& options = {},
                                          const CallOptions& call = {});

  // The same with several weight sets for one pass of the image through the
  // image tower: one answer per id, in their order, all with the same timing.
  // Fails as a whole if one of the ids does; the message names it.
  // InvalidArgument: no id, or more than Limits::max_weight_sets.
  virtual absl::StatusOr<std::vector<Answer>> ClassifyWithEach(
      absl::string_view image, absl::Span<const std::string> weight_set_ids,
      const ClassifyOptions& options = {}, const CallOptions& call = {});

  // Classify with the classifier itself, whose weight set is found or else
  // built first, all within the time of a call: one call where Build and
  // Classify would be two. Answer::weight_set_id is good for later calls, which
  // are cheaper. InvalidArgument: more prompts than Limits::max_inline_prompts,
  // which Build takes. PermissionDenied: the token lacks the permission build.
  virtual absl::StatusOr<Answer> ClassifyInline(
      absl::string_view image, const ClassifierSpec& classifier,
      const ClassifyOptions& options = {}, const CallOptions& call = {});

  // Several images in one call, each as Classify answers it. At most
  // Limits::max_batch_items, and Limits::max_request_bytes together.
  virtual absl::StatusOr<BatchAnswer> ClassifyBatch(
      absl::Span<const std::string> images, absl::string_view weight_set_id,
      const ClassifyOptions& options = {}, const CallOptions& call = {});
  virtual absl::StatusOr<BatchAnswer> ClassifyBatchInline(
      absl::Span<const std::string> images, const ClassifierSpec& classifier,
      const ClassifyOptions& options = {}, const CallOptions& call = {});

  // ClassifyBatch of images that were embedded before, by EmbedImages of a
  // server with the same model: their embeddings, one after the other, are
  // scored without an image pass. At most Limits::max_batch_items.
  // InvalidArgument: no multiple of ModelInfo::embedding_dim floats, or one
  // that is not of length 1.
  virtual absl::StatusOr<BatchAnswer> ClassifyEmbeddings(
      absl::Span<const float> embeddings, absl::string_view weight_set_id,
      const ClassifyOptions& options = {}, const CallOptions& call = {});
  virtual absl::StatusOr<BatchAnswer> ClassifyEmbeddingsInline(
      absl::Span<const float> embeddings, const ClassifierSpec& classifier,
      const ClassifyOptions& options = {}, const CallOptions& call = {});

  // One result per item, in the same order; a bad item fails alone. At most
  // Limits::max_batch_items items.
  virtual absl::StatusOr<std::vector<absl::StatusOr<Embedding>>> EmbedImages(
      absl::Span<const std::string> images, const CallOptions& call = {});
  virtual absl::StatusOr<std::vector<absl::StatusOr<Embedding>>> EmbedTexts(
      absl::Span<const std::string> texts, const CallOptions& call = {});

  virtual absl::StatusOr<ModelInfo> GetModel(const CallOptions& call = {});

  // The template lists and class lists that the server knows by name; the names
  // of one's classes, all pages. InvalidArgument: no such class set.
  virtual absl::StatusOr<std::vector<TemplateSet>> ListTemplateSets(
      const CallOptions& call = {});
  virtual absl::StatusOr<std::vector<ClassSet>> ListClassSets(
      const CallOptions& call = {});
  virtual absl::StatusOr<std::vector<std::string>> GetClassSet(
      absl::string_view class_set, const CallOptions& call = {});

  // All pages, in the order of the ids.
  virtual absl::StatusOr<std::vector<WeightSetInfo>> ListWeightSets(
      const CallOptions& call = {});

  // By id, or its beginning: at least 8 digits, after "imported-" if the id has
  // that. InvalidArgument: several ids begin with it; the message names some.
  // Gets the names of all classes; DescribeWeightSet gets none.
  virtual absl::StatusOr<WeightSet> GetWeightSet(
      absl::string_view weight_set_id, const CallOptions& call = {});
  virtual absl::StatusOr<WeightSetInfo> DescribeWeightSet(
      absl::string_view weight_set_id, const CallOptions& call = {});
  virtual absl::Status DeleteWeightSet(absl::string_view weight_set_id,
                                       const CallOptions& call = {});

  // Hands the weight set's file to `on_piece`, in order, on this thread. Has
  // the timeout of a build. DataLoss: pieces are missing at the end.
  virtual absl::Status Export(absl::string_view weight_set_id,
                              const ExportOptions& options,
                              const OnPiece& on_piece,
                              const CallOptions& call = {});

  // Makes a weight set of a file's bytes. Safe to repeat. Has the timeout of a
  // build. FailedPrecondition: the file is of another model. DataLoss: other
  // bytes arrived than were sent, which their SHA-256 tells.
  virtual absl::StatusOr<ImportResult> Import(absl::string_view file,
                                              const ImportOptions& options = {},
                                              const CallOptions& call = {});

  // OK if the server takes calls, or begins to within `wait`, whatever happens
  // meanwhile. Unavailable: it is starting or stopping, or cannot be reached.
  virtual absl::Status Health(absl::Duration wait = absl::ZeroDuration(),
                              const CallOptions& call = {});

  // The time limit of a call that is not a build and has no deadline.
  virtual absl::Duration timeout() const { return absl::Seconds(60); }
};

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLIENT_INTERFACE_H_
