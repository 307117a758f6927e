// EncodeText for tests: all rows at once.
#ifndef ZEROSHOT_TESTS_TESTING_ENCODE_TEXT_H_
#define ZEROSHOT_TESTS_TESTING_ENCODE_TEXT_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "clip/model.h"

namespace clip::testing {

// Unit rows [n, embedding_dim] in the order of the sequences.
inline absl::StatusOr<std::vector<float>> EncodeText(
    Model& model, absl::Span<const std::vector<int32_t>> sequences) {
  const size_t dim = model.info().embedding_dim;
  std::vector<float> rows(sequences.size() * dim);
  const absl::Status status =
      model
          .EncodeText(
              sequences,
              [&](int64_t sequence, absl::Span<const float> row) {
                std::copy(row.begin(), row.end(), &rows[sequence * dim]);
              },
              nullptr)
          .status();
  if (!status.ok()) return status;
  return rows;
}

}  // namespace clip::testing

#endif  // ZEROSHOT_TESTS_TESTING_ENCODE_TEXT_H_
