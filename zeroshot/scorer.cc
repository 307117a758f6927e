#include "zeroshot/scorer.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

#include "clip/score_kernels.h"

namespace zeroshot {

void Scorer::Multiply(const stores::WeightSet& set,
                      const std::list<Job*>& jobs) {
  constexpr int kTogether = 64;
  const float* embeddings[kTogether];
  float* cosines[kTogether];
  int n = 0;
  const auto multiply = [&] {
    clip::ScoreKernels::Best().dot_products(set.weights.data(), set.num_rows(),
                                            set.embedding_dim, embeddings,
                                            std::exchange(n, 0), cosines);
  };
  for (const Job* job : jobs) {
    for (size_t i = 0; i < job->n; ++i) {
      embeddings[n] = job->embeddings + i * set.embedding_dim;
      cosines[n] = job->cosines + i * set.num_rows();
      if (++n == kTogether) multiply();
    }
  }
  if (n > 0) multiply();
}

std::vector<float> Scorer::Cosines(const stores::WeightSet& set,
                                   absl::Span<const float> embeddings) {
  Job job{.set = &set,
          .embeddings = embeddings.data(),
          .n = embeddings.size() / set.embedding_dim};
  std::vector<float> result(job.n * set.num_rows());
  job.cosines = result.data();
  // The lists' nodes are made here and only moved below: where memory runs out
  // nobody waits for what does not come.
  std::list<Job*> together = {&job};
  std::list<const stores::WeightSet*> mine = {&set};
  if (static_cast<int64_t>(set.weights.size()) <= kSmallSet) {
    Multiply(set, together);
    return result;
  }
  {
    base::MutexLock lock(&mu_);
    waiting_.splice(waiting_.end(), together);
    while (!job.taken &&
           std::count(busy_.begin(), busy_.end(), &set) >= kAtOnce) {
      changed_.Wait(&mu_);
    }
    while (job.taken && !job.done) changed_.Wait(&mu_);
    if (job.done) return result;
    // There is room for a product: this thread's, for all who wait.
    busy_.splice(busy_.end(), mine);
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      const auto next = std::next(it);
      if ((*it)->set == &set) {
        (*it)->taken = true;
        together.splice(together.end(), waiting_, it);
      }
      it = next;
    }
    ++products_;
  }
  Multiply(set, together);
  base::MutexLock lock(&mu_);
  for (Job* waiting : together) waiting->done = true;
  busy_.erase(std::find(busy_.begin(), busy_.end(), &set));
  changed_.NotifyAll();
  return result;
}

int Scorer::products() {
  base::MutexLock lock(&mu_);
  return products_;
}

}  // namespace zeroshot
