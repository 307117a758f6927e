#include "server/answer_budget.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "server/after_answer.h"
#include "server/metrics.h"
#include "zeroshot/admission.h"

namespace zeroshot::server {
namespace {

constexpr absl::Duration kRetryDelay = absl::Milliseconds(500);

}  // namespace

absl::Status AnswerBudget::Take(int64_t bytes) {
  if (bytes > max_answer_bytes_) {
    return absl::InvalidArgumentError(
        absl::StrCat("the answer would have ", bytes, " bytes; at most ",
                     max_answer_bytes_, " are allowed (--max_answer_bytes)"));
  }
  if (bytes <= kSmallBytes) return absl::OkStatus();
  // Gives them back when the answer has been sent, or is not made.
  const std::shared_ptr<void> share(
      nullptr, [taken = taken_, bytes](void*) { taken->fetch_sub(bytes); });
  if (taken_->fetch_add(bytes) + bytes > kLargest * max_answer_bytes_) {
    absl::Status full = absl::ResourceExhaustedError(absl::StrCat(
        "the answer would have ", bytes,
        " bytes, and those on their way take too many; try again later"));
    SetRetryDelay(full, kRetryDelay);
    return base::WithReason(full, base::kOverloaded, {{"cause", "answers"}});
  }
  KeepUntilSent(share);
  return absl::OkStatus();
}

}  // namespace zeroshot::server
