// Bounds what the answers that are being made and sent take together: an answer
// of a few bytes of request may have megabytes (the probabilities of 200,000
// classes, the names of as many), and it stays in memory until its client has
// taken it.
#ifndef ZEROSHOT_SERVER_ANSWER_BUDGET_H_
#define ZEROSHOT_SERVER_ANSWER_BUDGET_H_

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"

namespace zeroshot::server {

// Thread rule: every method may be called from many threads at once.
class AnswerBudget {
 public:
  // An answer up to this is not counted: admission bounds how many there are.
  static constexpr int64_t kSmallBytes = 64 << 10;
  // So many of the largest answers at once.
  static constexpr int kLargest = 2;

  explicit AnswerBudget(int64_t max_answer_bytes)
      : max_answer_bytes_(max_answer_bytes) {}

  // Before an answer of so many bytes is made, on the request's thread: takes
  // its share of the budget until the answer has been sent. InvalidArgument:
  // larger than --max_answer_bytes. ResourceExhausted, with a retry delay: the
  // others take too much. REQUIRES: once a call, which ends by
  // StalledCalls::WaitUntilSent.
  absl::Status Take(int64_t bytes);

  int64_t taken() const { return taken_->load(); }

 private:
  const int64_t max_answer_bytes_;
  // Shared with the shares that are given back after this has gone.
  const std::shared_ptr<std::atomic<int64_t>> taken_ =
      std::make_shared<std::atomic<int64_t>>(0);
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_ANSWER_BUDGET_H_
