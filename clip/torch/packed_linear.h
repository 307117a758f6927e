// Matrix products of the CPU's transformers, with weights packed once.
//
// oneDNN and FBGEMM, reached through LibTorch's dispatcher, run at the
// machine's rate when their weights are reordered ahead; what differs by
// precision and CPU stays in this file:
//
//   fp32  oneDNN, float32
//   bf16  oneDNN, bfloat16; on CPUs without AVX512_BF16 the same rounded
//         weights and rows in a float32 product, which gains nothing
//   int8  weights by output channel, rows by token: oneDNN where the CPU has
//         AVX512_VNNI, else FBGEMM, whose AVX2 kernels add pairs of products
//         in 16 bits, so that weights get 7 bits there
#ifndef ZEROSHOT_CLIP_TORCH_PACKED_LINEAR_H_
#define ZEROSHOT_CLIP_TORCH_PACKED_LINEAR_H_

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>

#include <cstdint>
#include <optional>

#include "clip/checkpoint/architecture.h"
#include "clip/kernels/tower_kernels.h"
#include "clip/torch/cpu_precision.h"

namespace clip {

// Rows [n, width] between kernels and products. `scales` [n] and `bias`
// [width], where defined, are still to be applied (RowsIn has the rule).
struct Rows {
  at::Tensor data;
  at::Tensor scales;
  at::Tensor bias;

  // Borrowed: valid as long as the tensors.
  RowsIn in() const;
  RowsOut out() const;
  Rows Select(const at::Tensor& indices) const;  // [m, width]
};

// Thread rule: const after construction.
class PackedLinear {
 public:
  PackedLinear() = default;
  // y = x W^T + b. Float32 weight [out, in] and bias [out], which may be
  // undefined. `activation` is what follows, for a product that can apply it.
  PackedLinear(const at::Tensor& weight, const at::Tensor& bias,
               CpuPrecision precision,
               std::optional<Activation> activation = std::nullopt);

  // Whether rows come with the activation applied: oneDNN's float products do
  // it while they have them in registers.
  bool activates() const { return applied_.has_value(); }
  // Rows that come activated are so many times as large: oneDNN has no
  // QuickGELU, but x sigmoid(x).
  double factor() const { return factor_; }

  // Rows to be filled with what the product reads.
  Rows Input(int64_t n) const;
  Rows operator()(const Rows& x) const;

 private:
  CpuPrecision precision_ = CpuPrecision::kFp32;
  int64_t in_ = 0;
  int64_t out_ = 0;
  c10::IValue weight_;  // packed; a plain tensor where packing is not to be had
  at::Tensor bias_;     // [out] in the type of the product, or float32 (int8)
  at::Tensor scales_;   // [out] of int8 weights
  at::Tensor zeros_;    // [out] zero points of int8 weights
  std::optional<Activation> applied_;
  double factor_ = 1;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_PACKED_LINEAR_H_
