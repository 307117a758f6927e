// Embeddings times weight sets. Reading a large set takes as long as memory
// takes, so calls that score the same set at the same time share one product.
#ifndef ZEROSHOT_ZEROSHOT_SCORER_H_
#define ZEROSHOT_ZEROSHOT_SCORER_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <vector>

#include "absl/types/span.h"
#include "base/mutex.h"
#include "stores/weight_set.h"

namespace zeroshot {

// Thread rule: every method may be called from many threads at once.
class Scorer {
 public:
  // Floats of a set that is read faster than others are waited for.
  static constexpr int64_t kSmallSet = int64_t{1} << 17;
  // Products of one set at once: one core does not use up the memory's speed
  // once it has several embeddings.
  static constexpr int kAtOnce = 2;

  // Of embeddings [n, D] and all rows of a set: [n, C + B]. There is no delay:
  // what shares a product came while the one before was computed. REQUIRES:
  // equal D.
  std::vector<float> Cosines(const stores::WeightSet& set,
                             absl::Span<const float> embeddings);

  // Products computed for sets that are not small.
  int products();

 private:
  struct Job {
    const stores::WeightSet* set;
    const float* embeddings = nullptr;  // [n, D]
    size_t n = 0;
    float* cosines = nullptr;  // [n, C + B]
    bool taken = false;        // by a thread that multiplies
    bool done = false;
  };
  static void Multiply(const stores::WeightSet& set,
                       const std::list<Job*>& jobs);

  base::Mutex mu_;
  base::CondVar changed_;
  std::list<Job*> waiting_ ABSL_GUARDED_BY(mu_);
  std::list<const stores::WeightSet*> busy_ ABSL_GUARDED_BY(mu_);
  int products_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_SCORER_H_
