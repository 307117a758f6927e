#include "clip/torch/rotary.h"

#include <ATen/Parallel.h>

namespace clip {
namespace {

constexpr double kTemperature = 10000;
constexpr int64_t kRowsPerThread = 16;

}  // namespace

Rotary::Rotary(const WeightLoader& loader, const VitShape& shape) {
  const int64_t grid = shape.grid(loader.architecture().image_size),
                head_width = shape.transformer.width / shape.transformer.heads,
                bands = head_width / 4;
  // In float32 and in the reference's order of operations.
  const at::Tensor frequencies =
      1 / at::pow(kTemperature, at::arange(bands, at::kFloat) / bands);
  at::Tensor places = at::arange(grid, at::kFloat) + shape.rotary.offset;
  if (shape.rotary.reference_grid > 0)
    places = places / grid * shape.rotary.reference_grid;
  const at::Tensor angles = places.unsqueeze(1) * frequencies;  // [grid, bands]
  const at::Tensor by_row =
      angles.unsqueeze(1).expand({grid, grid, bands}).reshape({-1, bands});
  const at::Tensor by_column =
      angles.unsqueeze(0).expand({grid, grid, bands}).reshape({-1, bands});
  at::Tensor turns = shape.rotary.columns_first
                         ? at::cat({by_column, by_row}, /*dim=*/1)
                         : at::cat({by_row, by_column}, /*dim=*/1);
  if (shape.class_token)
    turns = at::cat({at::zeros({1, 2 * bands}), turns}, /*dim=*/0);
  cos_ = turns.cos().to(loader.compute().device);
  sin_ = turns.sin().to(loader.compute().device);
}

void Rotary::Rotate(const at::Tensor& rows) const {
  if (rows.is_cpu() && rows.scalar_type() == at::kFloat)
    return RotateOnCpu<float>(rows);
  if (rows.is_cpu() && rows.scalar_type() == at::kBFloat16)
    return RotateOnCpu<at::BFloat16>(rows);
  const int64_t pairs = cos_.size(1);
  const at::Tensor split = rows.unflatten(1, {-1, pairs, 2})
                               .unflatten(0, {-1, cos_.size(0)}),
                   x = split.select(-1, 0), y = split.select(-1, 1),
                   cos = cos_.unsqueeze(1), sin = sin_.unsqueeze(1);
  const at::Tensor turned = x * cos - y * sin;
  y.copy_(y * cos + x * sin);
  x.copy_(turned);
}

template <typename T>
void Rotary::RotateOnCpu(const at::Tensor& rows) const {
  const int64_t length = cos_.size(0), pairs = cos_.size(1),
                heads = rows.size(1) / (2 * pairs), stride = rows.stride(0);
  T* const data = rows.data_ptr<T>();
  at::parallel_for(
      0, rows.size(0), kRowsPerThread, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const float* const cos = cos_.data_ptr<float>() + r % length * pairs;
          const float* const sin = sin_.data_ptr<float>() + r % length * pairs;
          for (int64_t h = 0; h < heads; ++h) {
            T* const head = data + r * stride + h * 2 * pairs;
            for (int64_t i = 0; i < pairs; ++i) {
              const float x = head[2 * i], y = head[2 * i + 1];
              head[2 * i] = x * cos[i] - y * sin[i];
              head[2 * i + 1] = y * cos[i] + x * sin[i];
            }
          }
        }
      });
}

}  // namespace clip
