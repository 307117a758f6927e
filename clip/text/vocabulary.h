// The pieces of a tokenizer and their ids.
//
// Thread rule: const methods from any thread.
#ifndef ZEROSHOT_CLIP_TEXT_VOCABULARY_H_
#define ZEROSHOT_CLIP_TEXT_VOCABULARY_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace clip {

class Vocabulary {
 public:
  // A piece that is there already gets the new id.
  void Add(absl::string_view piece, int32_t id) {
    const auto found = ids_.find(piece);
    if (found != ids_.end()) {
      found->second = id;
    } else {
      ids_.emplace(pieces_.emplace_back(piece), id);
    }
    end_ = std::max(end_, id + 1);
  }

  std::optional<int32_t> Find(absl::string_view piece) const {
    const auto found = ids_.find(piece);
    if (found == ids_.end()) return std::nullopt;
    return found->second;
  }

  int32_t size() const { return static_cast<int32_t>(ids_.size()); }
  // One more than the highest id.
  int32_t end() const { return end_; }

  const absl::flat_hash_map<absl::string_view, int32_t>& ids() const {
    return ids_;
  }

 private:
  std::deque<std::string> pieces_;  // which the keys are views of
  absl::flat_hash_map<absl::string_view, int32_t> ids_;
  int32_t end_ = 0;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_VOCABULARY_H_
