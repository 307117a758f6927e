#include "clip/torch/cuda/kernels.h"
#include "clip/torch/cuda/launch.cuh"
#include "clip/torch/cuda/rows.cuh"

namespace clip {
namespace {

// A row of at most kChunks * 256 columns, eight a lane and chunk; columns that
// the row has not are left alone.
template <int kChunks>
struct Row {
  Eight chunks[kChunks];
};

// f(chunk, column) for the columns of this lane.
template <int kChunks, typename Function>
__device__ void ForChunks(int width, const Function& f) {
#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    const int column = chunk * kWarpColumns + Lane() * kEight;
    if (column < width) f(chunk, column);
  }
}

template <int kChunks, typename T>
__device__ void Read(Row<kChunks>& row, const T* from, int width) {
  ForChunks<kChunks>(width, [&](int chunk, int column) {
    row.chunks[chunk] = Load(from + column);
  });
}

template <int kChunks, typename T>
__device__ void Add(Row<kChunks>& row, const T* from, int width) {
  ForChunks<kChunks>(width, [&](int chunk, int column) {
    const Eight e = Load(from + column);
#pragma unroll
    for (int i = 0; i < kEight; ++i) row.chunks[chunk].v[i] += e.v[i];
  });
}

template <int kChunks, typename T>
__device__ void Write(const Row<kChunks>& row, T* to, int width) {
  ForChunks<kChunks>(width, [&](int chunk, int column) {
    Store(row.chunks[chunk], to + column);
  });
}

// The mean first, then the mean square of what differs from it, so that rows
// far from zero lose nothing.
template <int kChunks>
__device__ void Norm(Row<kChunks>& row, const NormWeights& norm, int width) {
  const float share = 1.0f / width;
  float sum = 0;
  ForChunks<kChunks>(width, [&](int chunk, int) {
#pragma unroll
    for (int i = 0; i < kEight; ++i) sum += row.chunks[chunk].v[i];
  });
  const float mean = WarpSum(sum) * share;
  float squares = 0;
  ForChunks<kChunks>(width, [&](int chunk, int) {
#pragma unroll
    for (int i = 0; i < kEight; ++i) {
      const float difference = row.chunks[chunk].v[i] - mean;
      squares += difference * difference;
    }
  });
  const float scale = rsqrtf(WarpSum(squares) * share + norm.epsilon);
  ForChunks<kChunks>(width, [&](int chunk, int column) {
    const Eight weight = Load(norm.weight + column);
    const Eight bias = Load(norm.bias + column);
#pragma unroll
    for (int i = 0; i < kEight; ++i) {
      float& v = row.chunks[chunk].v[i];
      v = (v - mean) * scale * weight.v[i] + bias.v[i];
    }
  });
}

// A warp a row. Row i is row kept[i] of x and delta, or row i where kept is
// null; sums go to row i of x_out unless it is null. Nothing is written before
// all of the row has been read: x_out may be x.
template <typename T, int kChunks>
__global__ void __launch_bounds__(kThreads)
    AddNormKernel(const float* x, const T* delta, const float* delta_bias,
                  NormWeights norm, const int32_t* kept, int64_t rows,
                  int width, float* x_out, T* out) {
  for (int64_t i = FirstRow(); i < rows; i += RowStep()) {
    const int64_t from = (kept == nullptr ? i : kept[i]) * width;
    Row<kChunks> row;
    Read(row, x + from, width);
    if (delta != nullptr) Add(row, delta + from, width);
    if (delta_bias != nullptr) Add(row, delta_bias, width);
    if (x_out != nullptr) Write(row, x_out + i * width, width);
    Norm(row, norm, width);
    Write(row, out + i * width, width);
  }
}

template <typename T, int kChunks>
__global__ void __launch_bounds__(kThreads)
    AssembleTokensKernel(const T* products, const float* class_embedding,
                         const float* positions, NormWeights norm, int64_t rows,
                         int patches, int width, float* x) {
  for (int64_t i = FirstRow(); i < rows; i += RowStep()) {
    const int64_t image = i / (1 + patches);
    const int64_t token = i - image * (1 + patches);
    Row<kChunks> row;
    Read(row, positions + token * width, width);
    if (token == 0) {
      Add(row, class_embedding, width);
    } else {
      Add(row, products + (image * patches + token - 1) * width, width);
    }
    Norm(row, norm, width);
    Write(row, x + i * width, width);
  }
}

__device__ inline float4 Sum(const float4& a, const float4& b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w};
}

__global__ void __launch_bounds__(kThreads)
    EmbedTokensKernel(const int32_t* tokens, const int32_t* depths,
                      const float* token_table, const float* positions,
                      int64_t rows, int width, float* x) {
  for (int64_t i = FirstRow(); i < rows; i += RowStep()) {
    const float* token = token_table + static_cast<int64_t>(tokens[i]) * width;
    const float* position = positions + static_cast<int64_t>(depths[i]) * width;
    for (int c = Lane() * kEight; c < width; c += kWarpColumns) {
      // By fours: of a loop over eight the compiler makes eight stores.
      const Raw<float> t = LoadRaw(token + c), p = LoadRaw(position + c);
      float4* const to = reinterpret_cast<float4*>(x + i * width + c);
      to[0] = Sum(t.low, p.low);
      to[1] = Sum(t.high, p.high);
    }
  }
}

bool CanNorm(int width, const NormWeights& norm) {
  return width > 0 && width % kEight == 0 && width <= kMaxWidth &&
         AllAligned(norm.weight, norm.bias);
}

// f.operator()<kChunks>() with room for `width` columns: as many as the
// widths of known models need.
template <typename Function>
cudaError_t WithChunks(int width, const Function& f) {
  const int chunks = (width + kWarpColumns - 1) / kWarpColumns;
  if (chunks <= 2) return f.template operator()<2>();
  if (chunks <= 3) return f.template operator()<3>();
  if (chunks <= 4) return f.template operator()<4>();
  if (chunks <= 5) return f.template operator()<5>();
  static_assert(kMaxWidth <= 8 * kWarpColumns);
  return f.template operator()<8>();
}

cudaError_t LaunchAddNorm(Half type, const float* x, const void* delta,
                          const float* delta_bias, NormWeights norm,
                          const int32_t* kept, int64_t rows, int width,
                          float* x_out, void* out, cudaStream_t stream) {
  if (!CanNorm(width, norm) || !AllAligned(x, delta, delta_bias, x_out, out))
    return cudaErrorInvalidValue;
  if (rows == 0) return cudaSuccess;
  return WithType(type, [&]<typename T>() {
    return WithChunks(width, [&]<int kChunks>() {
      return Launch(Blocks(rows, kWarps), kThreads, stream,
                    AddNormKernel<T, kChunks>, x, static_cast<const T*>(delta),
                    delta_bias, norm, kept, rows, width, x_out,
                    static_cast<T*>(out));
    });
  });
}

}  // namespace

cudaError_t AddNorm(Half type, float* x, const void* delta,
                    const float* delta_bias, NormWeights norm, int64_t rows,
                    int width, void* out, cudaStream_t stream) {
  const bool changes = delta != nullptr || delta_bias != nullptr;
  return LaunchAddNorm(type, x, delta, delta_bias, norm, nullptr, rows, width,
                       changes ? x : nullptr, out, stream);
}

cudaError_t AddNormKept(Half type, const float* x, const void* delta,
                        const float* delta_bias, NormWeights norm,
                        const int32_t* kept, int64_t count, int width,
                        float* x_kept, void* out, cudaStream_t stream) {
  if (kept == nullptr && count > 0) return cudaErrorInvalidValue;
  return LaunchAddNorm(type, x, delta, delta_bias, norm, kept, count, width,
                       x_kept, out, stream);
}

cudaError_t AssembleTokens(Half type, const void* products,
                           const float* class_embedding, const float* positions,
                           NormWeights ln_pre, int64_t n, int patches,
                           int width, float* x, cudaStream_t stream) {
  if (!CanNorm(width, ln_pre) || patches < 0 ||
      !AllAligned(products, class_embedding, positions, x))
    return cudaErrorInvalidValue;
  if (n == 0) return cudaSuccess;
  const int64_t rows = n * (1 + patches);
  return WithType(type, [&]<typename T>() {
    return WithChunks(width, [&]<int kChunks>() {
      return Launch(Blocks(rows, kWarps), kThreads, stream,
                    AssembleTokensKernel<T, kChunks>,
                    static_cast<const T*>(products), class_embedding, positions,
                    ln_pre, rows, patches, width, x);
    });
  });
}

cudaError_t EmbedTokens(const int32_t* tokens, const int32_t* depths,
                        const float* token_table, const float* positions,
                        int64_t rows, int width, float* x,
                        cudaStream_t stream) {
  if (width <= 0 || width % kEight != 0 ||
      !AllAligned(token_table, positions, x))
    return cudaErrorInvalidValue;
  if (rows == 0) return cudaSuccess;
  return Launch(Blocks(rows, kWarps), kThreads, stream, EmbedTokensKernel,
                tokens, depths, token_table, positions, rows, width, x);
}

}  // namespace clip
