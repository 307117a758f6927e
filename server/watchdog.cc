#include "server/watchdog.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/caller.h"
#include "base/monotonic.h"

namespace zeroshot::server {
namespace {

// A PNG of one pixel.
constexpr unsigned char kCanary[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d,
    0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01,
    0x08, 0x02, 0x00, 0x00, 0x00, 0x90, 0x77, 0x53, 0xde, 0x00, 0x00, 0x00,
    0x0c, 0x49, 0x44, 0x41, 0x54, 0x78, 0xda, 0x63, 0x38, 0x51, 0xa1, 0x01,
    0x00, 0x03, 0x74, 0x01, 0x69, 0xf5, 0x07, 0x03, 0x7b, 0x00, 0x00, 0x00,
    0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};

// Least cosine of two rows of the canary: batches differ by rounding alone,
// also in int8.
constexpr double kMinCosine = 0.98;

// Failed looks in a row after which a port is deaf.
constexpr int kMaxSilences = 3;

// A batch may take that many times as long as the one before it.
constexpr int kBatchStretch = 4;

constexpr absl::string_view kCanaryText = "a photo of a canary.";

// The row of a call with one item.
absl::StatusOr<std::vector<float>> OnlyRow(
    absl::StatusOr<Embeddings> embeddings) {
  if (!embeddings.ok()) return embeddings.status();
  if (!embeddings->statuses[0].ok()) return embeddings->statuses[0];
  return std::move(embeddings->rows);
}

double Dot(const std::vector<float>& a, const std::vector<float>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

}  // namespace

Watchdog::Watchdog(Embedder* embedder, const Options& options,
                   std::function<bool()> is_served,
                   std::function<void(const absl::Status&)> on_verdict,
                   std::function<void()> on_deaf)
    : embedder_(embedder),
      options_(options),
      is_served_(std::move(is_served)),
      on_verdict_(std::move(on_verdict)),
      on_deaf_(std::move(on_deaf)) {
  // On a thread of its own: what a device has begun cannot be taken back.
  canary_began_ = base::MonotonicNow();
  patience_ = options_.first_timeout;
  canary_ = std::async(std::launch::async,
                       [this] { return RunCanary(absl::InfiniteDuration()); });
  first_came_back_ =
      canary_.wait_for(absl::ToChronoNanoseconds(options_.first_timeout)) ==
      std::future_status::ready;
  if (first_came_back_) Judge(canary_.get());
  thread_ = std::thread([this] { Loop(); });
}

Watchdog::~Watchdog() {
  {
    base::MutexLock lock(&mu_);
    ended_ = true;
  }
  ending_.NotifyAll();
  thread_.join();
}

absl::StatusOr<Watchdog::Rows> Watchdog::RunCanary(absl::Duration patience) {
  base::Caller caller;
  caller.deadline = base::MonotonicNow() + patience;
  const absl::string_view image(reinterpret_cast<const char*>(kCanary),
                                sizeof(kCanary));
  absl::StatusOr<Row> image_row =
      OnlyRow(embedder_->EmbedImages({image}, caller, Reuse::kNever));
  if (!image_row.ok()) return image_row.status();
  absl::StatusOr<Row> text_row =
      OnlyRow(embedder_->EmbedTexts({kCanaryText}, caller));
  if (!text_row.ok()) return text_row.status();
  return Rows{*std::move(image_row), *std::move(text_row)};
}

void Watchdog::Judge(const absl::StatusOr<Rows>& rows) {
  if (!rows.ok()) {
    Report(absl::UnavailableError(
        absl::StrCat("the canary failed: ", rows.status().message())));
    return;
  }
  // The first that comes back is what is right.
  if (expected_.image.empty()) expected_ = *rows;
  const double image = Dot(rows->image, expected_.image);
  const double text = Dot(rows->text, expected_.text);
  if (!(image > kMinCosine && text > kMinCosine)) {  // or are not numbers
    Report(absl::UnavailableError(absl::StrCat(
        "the canary's embeddings have changed: cosine ", image,
        " of the image and ", text, " of the text to those at start, at least ",
        kMinCosine, " is right")));
  } else if (!stuck_) {
    Report(absl::OkStatus());
  }
}

void Watchdog::Report(const absl::Status& verdict) {
  if (verdict.ok() == verdict_.ok()) return;
  verdict_ = verdict;
  on_verdict_(verdict);
}

void Watchdog::LookAtTower() {
  const absl::Time now = base::MonotonicNow();
  LookForStuckBatch(now);
  if (!canary_.valid()) {
    if (now - canary_began_ < options_.timeout / 2) return;
    canary_began_ = now;
    patience_ = Patience();
    batches_before_ = embedder_->latency().batches();
    try {
      canary_ = std::async(std::launch::async,
                           [this] { return RunCanary(patience_); });
    } catch (const std::system_error&) {
      // No thread is to be had: the next one has half a timeout to find one.
    }
    return;
  }
  const bool back =
      canary_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  if (back) {
    const absl::StatusOr<Rows> rows = canary_.get();
    if (!absl::IsDeadlineExceeded(rows.status())) return Judge(rows);
  } else if (now - canary_began_ < patience_) {
    return;
  }
  // A long queue is no fault; a device that finishes nothing is one.
  if (embedder_->latency().batches() == batches_before_)
    ReportStuck(now - canary_began_);
}

absl::Duration Watchdog::Patience() {
  return std::max(options_.timeout,
                  embedder_->latency().LatestBatch() * kBatchStretch);
}

void Watchdog::LookForStuckBatch(absl::Time now) {
  const absl::Duration since = now - embedder_->latency().OldestBegan();
  stuck_ = since >= Patience();
  if (stuck_) ReportStuck(since);
}

void Watchdog::ReportStuck(absl::Duration since) {
  Report(absl::UnavailableError(absl::StrCat(
      "a device has finished nothing for ",
      absl::FormatDuration(absl::Trunc(since, absl::Seconds(1))))));
}

void Watchdog::LookAtPort() {
  silences_ = is_served_() ? 0 : silences_ + 1;
  if (silences_ == kMaxSilences) on_deaf_();
}

void Watchdog::Loop() {
  while (true) {
    {
      base::MutexLock lock(&mu_);
      const absl::Time until = base::MonotonicNow() + options_.interval;
      while (!ended_ && ending_.WaitUntil(&mu_, until)) {
      }
      if (ended_) return;
    }
    LookAtTower();
    LookAtPort();
  }
}

}  // namespace zeroshot::server
