#include "clip/torch/cuda/row_buffers.h"

#include <utility>

#include "clip/torch/cuda/queue.h"

namespace clip {

RowBuffers::RowBuffers(int64_t rows, int64_t dim) : rows_(rows), dim_(dim) {
  base::MutexLock lock(&free_->mu);
  for (int i = 0; i < 2; ++i) {
    free_->buffers.push_back(Pinned({rows, dim}, at::kFloat));
  }
}

std::shared_ptr<const at::Tensor> RowBuffers::Take(int64_t rows) {
  if (rows > rows_) {
    return std::make_shared<at::Tensor>(Pinned({rows, dim_}, at::kFloat));
  }
  at::Tensor buffer;
  {
    base::MutexLock lock(&free_->mu);
    if (!free_->buffers.empty()) {
      buffer = std::move(free_->buffers.back());
      free_->buffers.pop_back();
    }
  }
  if (!buffer.defined()) buffer = Pinned({rows_, dim_}, at::kFloat);
  return {new at::Tensor(std::move(buffer)),
          [free = free_](const at::Tensor* given_back) {
            const std::unique_ptr<const at::Tensor> owned(given_back);
            base::MutexLock lock(&free->mu);
            free->buffers.push_back(*owned);
          }};
}

}  // namespace clip
