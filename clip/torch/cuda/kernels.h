// What the CUDA towers compute besides matrix products and image attention:
// from bytes to patch rows, from tokens to embeddings, sums with layer norms,
// activations, attention over a trie's ancestors, unit rows.
//
// All pointers are to memory of the current device unless a comment says host;
// arrays are row-major, shapes in brackets. `void*` rows have elements of the
// call's type; everything is computed in float32 and rounded once, when a row
// is written. Work is queued on `stream`; nothing waits and nothing allocates,
// so that every call can be captured in a graph, once it has been made outside
// of one: the driver loads a kernel when it is first launched.
//
// REQUIRES, of all: widths are multiples of 8 and at most kMaxWidth where a
// row is normed; pointers to rows and vectors are 16-byte aligned and strides
// multiples of 8 (whole tensors are; so are the parts of a fused QKV row);
// outputs overlap no input unless it says in place. What the host can see of
// this is checked: cudaErrorInvalidValue. No rows at all is nothing to do.
//
// What comes back is the launch's own error, which is then no longer what
// cudaGetLastError() answers; an error of the computation itself appears later,
// in a call that waits.
//
// Thread rule: functions without state; any thread, any stream.
#ifndef ZEROSHOT_CLIP_TORCH_CUDA_KERNELS_H_
#define ZEROSHOT_CLIP_TORCH_CUDA_KERNELS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

namespace clip {

enum class Activation;  // clip/checkpoint/architecture.h

// The element type of `void*` rows.
enum class Half { kFp16, kBf16, kFp32 };

// Widths are multiples of it.
constexpr int kWidthUnit = 8;

// The widest row that can be normed: one warp holds it in registers.
constexpr int kMaxWidth = 2048;

// A layer norm: (x - mean) / sqrt(variance + epsilon) * weight + bias.
struct NormWeights {
  const float* weight;  // [width]
  const float* bias;    // [width]
  float epsilon;
};

// Crops [n, size, size, 3] to the rows of a patch embedding's product,
// [n * grid * grid, PatchRowWidth(patch)], where grid = size / patch: pixels
// that fill no patch are cut off, as by a convolution whose stride is its
// kernel. A row is its patch in the crop's own order (y, x, channel), so the
// weight [width, channel, y, x] is permuted to [width, y, x, channel] once at
// load. An element is (byte / 255 - mean) / std of its channel. Zeros pad a row
// to PatchRowWidth(patch) elements. mean and std: host. REQUIRES: patch >= 3.
[[nodiscard]] cudaError_t PatchRows(Half type, const uint8_t* crops, int64_t n,
                                    int size, int patch, const float mean[3],
                                    const float std[3], void* rows,
                                    cudaStream_t stream);

// A multiple of 8, so that rows are 16-byte aligned: what the patch's product
// needs for the fast kernels, and L/14's 588 elements are not.
constexpr int PatchRowWidth(int patch) {
  return (patch * patch * 3 + kWidthUnit - 1) / kWidthUnit * kWidthUnit;
}

// The image tower's input x [n, 1 + patches, width], finished: the class
// embedding [width] or the patch's row of `products` [n * patches, width],
// plus its position's row of `positions` [1 + patches, width], then ln_pre.
[[nodiscard]] cudaError_t AssembleTokens(Half type, const void* products,
                                         const float* class_embedding,
                                         const float* positions,
                                         NormWeights ln_pre, int64_t n,
                                         int patches, int width, float* x,
                                         cudaStream_t stream);

// The text tower's input x [rows, width]:
// token_table[tokens[row]] + positions[depths[row]].
[[nodiscard]] cudaError_t EmbedTokens(const int32_t* tokens,
                                      const int32_t* depths,
                                      const float* token_table,
                                      const float* positions, int64_t rows,
                                      int width, float* x, cudaStream_t stream);

// x [rows, width] += delta [rows, width] + delta_bias [width], in place;
// out [rows, width] = its layer norm, which may go where delta is. delta and
// delta_bias may each be null.
[[nodiscard]] cudaError_t AddNorm(Half type, float* x, const void* delta,
                                  const float* delta_bias, NormWeights norm,
                                  int64_t rows, int width, void* out,
                                  cudaStream_t stream);

// The same for some rows, as the last block needs: row i of x_kept [count,
// width] and of out [count, width] come from row kept[i] of x and of delta.
// x stays as it is. x_kept may be null if only `out` is wanted.
[[nodiscard]] cudaError_t AddNormKept(Half type, const float* x,
                                      const void* delta,
                                      const float* delta_bias, NormWeights norm,
                                      const int32_t* kept, int64_t count,
                                      int width, float* x_kept, void* out,
                                      cudaStream_t stream);

// hidden [rows, width] = activation(hidden + bias [width]), in place. bias may
// be null. Any width that is a multiple of 8.
[[nodiscard]] cudaError_t BiasActivation(Half type, void* hidden,
                                         const float* bias,
                                         Activation activation, int64_t rows,
                                         int width, cudaStream_t stream);

// Query i attends to rows ancestors[offsets[i]] ... ancestors[offsets[i+1]-1]
// of keys and values (clip/token_trie.h), each head on its own head_dim
// columns: out = sum over j of softmax_j(q . k_j / sqrt(head_dim)) v_j.
// Strides are elements from one row to the next. A query without ancestors
// gets zeros. Quick where neighbouring queries share most of their ancestors,
// as the nodes of a trie do.
// REQUIRES: head_dim is a multiple of 8 and at most 128.
struct TrieAttentionCall {
  Half type;
  const void *queries, *keys, *values;
  int64_t query_stride, key_stride, value_stride;
  const int32_t* offsets;  // [count + 1]
  const int32_t* ancestors;
  int64_t count;
  int heads, head_dim;
  void* out;  // [count, heads * head_dim]
};
[[nodiscard]] cudaError_t TrieAttention(const TrieAttentionCall& call,
                                        cudaStream_t stream);

// rows [n, width] to float32 rows of length 1, whatever their magnitude; a
// row of zeros stays one.
[[nodiscard]] cudaError_t UnitRows(Half type, const void* rows, int64_t n,
                                   int width, float* out, cudaStream_t stream);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_CUDA_KERNELS_H_
