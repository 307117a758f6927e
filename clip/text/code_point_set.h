// A set of code points, written as ranges: "41-5A,5F".
// Thread rule: immutable after Parse.
#ifndef ZEROSHOT_CLIP_TEXT_CODE_POINT_SET_H_
#define ZEROSHOT_CLIP_TEXT_CODE_POINT_SET_H_

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "clip/text/table_lines.h"

namespace clip {

class CodePointSet {
 public:
  using Range = std::pair<char32_t, char32_t>;  // both ends belong to it

  // REQUIRES: well-formed ranges in ascending order.
  static CodePointSet Parse(absl::string_view ranges) {
    CodePointSet set;
    for (absl::string_view range : absl::StrSplit(ranges, ',')) {
      const std::pair<absl::string_view, absl::string_view> ends =
          absl::StrSplit(range, absl::MaxSplits('-', 1));
      const char32_t first = ParseCodePoint(ends.first);
      set.ranges_.emplace_back(
          first, ends.second.empty() ? first : ParseCodePoint(ends.second));
    }
    return set;
  }

  bool Contains(char32_t c) const {
    const auto after = std::upper_bound(
        ranges_.begin(), ranges_.end(), c,
        [](char32_t value, const Range& range) { return value < range.first; });
    return after != ranges_.begin() && c <= std::prev(after)->second;
  }

  const std::vector<Range>& ranges() const { return ranges_; }

 private:
  std::vector<Range> ranges_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_CODE_POINT_SET_H_
