// What scoring embeddings against many classes does between memory and answer.
//
// One source, kernels/score_kernels_isa.cc, is compiled for several instruction
// sets; ScoreKernels::Best() picks what this CPU has. The dot product of two
// rows is the same number whatever other rows are asked for with it.
#ifndef ZEROSHOT_CLIP_SCORE_KERNELS_H_
#define ZEROSHOT_CLIP_SCORE_KERNELS_H_

#include <cstdint>
#include <vector>

namespace clip {

struct ScoreKernels {
  // The fastest that this CPU can run, and all that it can.
  static const ScoreKernels& Best();
  static std::vector<const ScoreKernels*> Supported();

  const char* instruction_set;

  // products[x][row] = rows[row] . xs[x] for all rows of [num_rows, dim] and n
  // xs of [dim]. The rows are read once for all xs.
  void (*dot_products)(const float* rows, int64_t num_rows, int64_t dim,
                       const float* const* xs, int64_t n,
                       float* const* products);

  // The sum of exp(x - max) over x [n]. REQUIRES: nothing is NaN or over max.
  // An exp is right to 2e-7 of itself.
  double (*sum_of_exps)(const float* x, int64_t n, float max);
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_SCORE_KERNELS_H_
