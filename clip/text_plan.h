// Which token sequences go through the text tower, and in which steps.
//
// A sequence is pooled at its first highest id (openai/CLIP's model.py,
// encode_text: text.argmax). The tower is causal, so the tokens behind that
// place change nothing and are cut; equal sequences are encoded once; a step
// holds sequences of similar length, padded to its longest.
//
// Thread rule: plain values and a free function.
#ifndef ZEROSHOT_CLIP_TEXT_PLAN_H_
#define ZEROSHOT_CLIP_TEXT_PLAN_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace clip {

// Rows [begin, end) of TextPlan::rows, at most `length` tokens each.
struct TextStep {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t length = 0;
};

struct TextPlan {
  // The distinct sequences, shortest first, each pooled at its last token.
  // Borrowed from the planned sequences.
  std::vector<absl::Span<const int32_t>> rows;
  std::vector<int64_t> row_of;     // of each planned sequence
  std::vector<int64_t> sequences;  // how many planned sequences have this row
  std::vector<TextStep> steps;     // in order, together all rows
};

// Steps hold at most `max_positions` token positions, padding included, and at
// least one sequence. REQUIRES: no sequence is empty.
TextPlan PlanText(absl::Span<const std::vector<int32_t>> sequences,
                  int64_t max_positions);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_PLAN_H_
