#include "zeroshot/latency_model.h"

#include <algorithm>
#include <vector>

namespace zeroshot {
namespace {

// What a batch weighs when one more has ended.
constexpr double kFade = 0.8;

// Sizes that differ by less than about a tenth say nothing of the slope, noise
// would decide it: this share of the mean square is added to their variance,
// which draws the slope towards zero.
constexpr double kLeastVariance = 0.01;

}  // namespace

void LatencyModel::BatchBegan(int images, absl::Time now) {
  base::MutexLock lock(&mu_);
  running_.emplace(now, images);
}

void LatencyModel::BatchEnded(int images, absl::Time began, absl::Time now) {
  base::MutexLock lock(&mu_);
  auto [it, end] = running_.equal_range(began);
  while (it != end && it->second != images) ++it;
  if (it != end) running_.erase(it);
  ++batches_;
  latest_ = now - began;
  const double n = images;
  const double t = absl::ToDoubleSeconds(latest_);
  count_ = count_ * kFade + 1;
  n_ = n_ * kFade + n;
  nn_ = nn_ * kFade + n * n;
  t_ = t_ * kFade + t;
  nt_ = nt_ * kFade + n * t;
}

absl::Duration LatencyModel::Predict(int images) const {
  if (batches_ == 0) return absl::ZeroDuration();
  const double mean_n = n_ / count_;
  const double mean_t = t_ / count_;
  const double mean_nn = nn_ / count_;
  const double variance = mean_nn - mean_n * mean_n;
  const double covariance = nt_ / count_ - mean_n * mean_t;
  const double slope =
      std::max(0.0, covariance / (variance + kLeastVariance * mean_nn));
  const double fixed = mean_t - slope * mean_n;
  // A fixed part below zero: the line through the origin fits best.
  const double seconds =
      fixed >= 0 ? fixed + slope * images : nt_ / nn_ * images;
  return absl::Seconds(seconds);
}

absl::Duration LatencyModel::BatchTime(int images) {
  base::MutexLock lock(&mu_);
  return Predict(images);
}

absl::Duration LatencyModel::TimeToStart(int ahead, int max_batch, int at_once,
                                         absl::Time now) {
  // When each of the places for a batch is free, from now on.
  std::vector<absl::Duration> free_in(std::max(1, at_once));
  const auto earliest = [&] {
    return std::min_element(free_in.begin(), free_in.end());
  };
  base::MutexLock lock(&mu_);
  for (const auto& [began, images] : running_) {
    ahead -= images;
    *earliest() +=
        std::max(absl::ZeroDuration(), Predict(images) - (now - began));
  }
  const absl::Duration whole = Predict(max_batch);
  for (; ahead >= max_batch; ahead -= max_batch) *earliest() += whole;
  return *earliest();
}

int64_t LatencyModel::batches() {
  base::MutexLock lock(&mu_);
  return batches_;
}

absl::Duration LatencyModel::LatestBatch() {
  base::MutexLock lock(&mu_);
  return latest_;
}

absl::Time LatencyModel::OldestBegan() {
  base::MutexLock lock(&mu_);
  return running_.empty() ? absl::InfiniteFuture() : running_.begin()->first;
}

}  // namespace zeroshot
