// Classify: picture + weight sets -> the best classes (zeroshot/scores.h).
#ifndef ZEROSHOT_ZEROSHOT_CLASSIFIER_H_
#define ZEROSHOT_ZEROSHOT_CLASSIFIER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
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
  bool embedding_cached = false;  // the picture was known
};

struct ClassifyCall {
  absl::string_view image;  // encoded
  std::string weight_set_id;
  std::vector<std::string> more_weight_set_ids;  // for the same image pass
  int top_k = 5;                                 // more than C means C
  bool return_probabilities = false;
  // Asked once all sets are found, before the picture is decoded, with the
  // bytes that the answer will have at most: an error ends the call. May be
  // null.
  std::function<absl::Status(int64_t)> admit_answer;
};

// Thread rule: every method may be called from many threads at once.
class Classifier {
 public:
  // Borrows all three.
  Classifier(const clip::Model* model, Embedder* embedder,
             stores::WeightStore* sets)
      : model_(model), embedder_(embedder), sets_(sets) {}

  // InvalidArgument: not a picture. NotFound: unknown weight set.
  // FailedPrecondition: a weight set of another model; both name it. Internal:
  // a logit is NaN or infinite.
  // DeadlineExceeded, Cancelled: the caller has left.
  absl::StatusOr<Answer> Classify(const ClassifyCall& call,
                                  const base::Caller& caller);

 private:
  absl::StatusOr<std::shared_ptr<const stores::WeightSet>> Find(
      const std::string& id);

  const clip::Model* const model_;
  Embedder* const embedder_;
  stores::WeightStore* const sets_;
  Scorer scorer_;
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_CLASSIFIER_H_
