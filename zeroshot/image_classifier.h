// Classify: images + weight sets -> the best classes (zeroshot/scores.h).
#ifndef ZEROSHOT_ZEROSHOT_IMAGE_CLASSIFIER_H_
#define ZEROSHOT_ZEROSHOT_IMAGE_CLASSIFIER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/caller.h"
#include "clip/model.h"
#include "stores/weight_set.h"
#include "stores/weight_store.h"
#include "zeroshot/embedder.h"
#include "zeroshot/scorer.h"
#include "zeroshot/scores.h"

namespace zeroshot {

struct Answer : Scores {
  std::vector<Scores> more;  // of more_weight_set_ids, in their order
  EmbedTiming timing;
  bool embedding_cached = false;  // the image was known
};

struct ClassifyCall {
  std::vector<absl::string_view> images;  // encoded; one, or a batch
  // Instead of images: their embeddings [n, D], unit rows. Borrowed.
  absl::Span<const float> embeddings = {};
  std::string weight_set_id;
  // Instead of weight_set_id, if it is not null.
  std::shared_ptr<const stores::WeightSet> set;
  std::vector<std::string> more_weight_set_ids;  // for the same image pass
  int top_k = 5;                                 // more than C means C
  bool return_probabilities = false;
  std::optional<clip::ScoreFunction> score_function = {};  // none: the model's
  std::optional<float> min_probability = {};  // of classes without their own
  // Called when all sets are found, before any image is decoded, with the
  // largest size that all answers together may have, in bytes. An error ends
  // the call. May be null.
  std::function<absl::Status(int64_t)> admit_answer;
};

// Thread rule: every method may be called from many threads at once.
class ImageClassifier {
 public:
  // Borrows all three.
  ImageClassifier(const clip::Model* model, Embedder* embedder,
                  stores::WeightStore* sets)
      : model_(model), embedder_(embedder), sets_(sets) {}

  // One answer per image, or embedding, in their order. An image fails alone
  // with InvalidArgument: it is none; Internal: a logit is NaN or infinite.
  // Each set is scored with all images at once (zeroshot/scorer.h).
  //
  // The call fails as a whole with NotFound: unknown weight set;
  // FailedPrecondition: a weight set of another model; both name it.
  // DeadlineExceeded, Cancelled: the caller has left.
  absl::StatusOr<std::vector<absl::StatusOr<Answer>>> Classify(
      const ClassifyCall& call, const base::Caller& caller);

  // The weight set of that id. NotFound, FailedPrecondition: see Classify.
  absl::StatusOr<std::shared_ptr<const stores::WeightSet>> Find(
      const std::string& id);

 private:
  using Sets = std::vector<std::shared_ptr<const stores::WeightSet>>;

  absl::StatusOr<Sets> FindAll(const ClassifyCall& call,
                               const base::Caller& caller);

  // What a call's images are before they are scored: answers without scores, or
  // with what is wrong, and the unit rows of the good ones without gaps.
  struct Embedded {
    std::vector<absl::StatusOr<Answer>> answers;
    std::vector<size_t> good;      // [g] of the answers
    std::vector<float> made;       // the rows that images were made into
    absl::Span<const float> rows;  // [g, D]
  };
  absl::StatusOr<Embedded> Embed(const ClassifyCall& call,
                                 const base::Caller& caller);

  // Scores the good ones with a set, the call's first or another one.
  absl::Status Score(const ClassifyCall& call, const stores::WeightSet& set,
                     bool is_first, const base::Caller& caller,
                     Embedded* embedded);

  const clip::Model* const model_;
  Embedder* const embedder_;
  stores::WeightStore* const sets_;
  Scorer scorer_;
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_IMAGE_CLASSIFIER_H_
