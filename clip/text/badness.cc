#include "clip/text/badness.h"

#include <cstdlib>
#include <optional>
#include <string>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "clip/text/code_point_set.h"
#include "clip/text/unicode.h"

namespace clip {
namespace {

// A class of characters as the table writes it.
struct CharacterClass {
  bool negated = false;
  bool space = false;
  bool word = false;
  CodePointSet listed;

  bool Accepts(char32_t c) const {
    const bool member =
        listed.Contains(c) || (space && IsReSpace(c)) || (word && IsReWord(c));
    return member != negated;
  }
};

CharacterClass ParseClass(absl::string_view element) {
  CharacterClass result;
  result.negated = absl::ConsumePrefix(&element, "!");
  std::vector<absl::string_view> ranges;
  for (absl::string_view part : absl::StrSplit(element, ',')) {
    if (part == "space") {
      result.space = true;
    } else if (part == "word") {
      result.word = true;
    } else {
      ranges.push_back(part);
    }
  }
  if (!ranges.empty()) {
    result.listed = CodePointSet::Parse(absl::StrJoin(ranges, ","));
  }
  return result;
}

// One of each kind of character that no class lists; a kind's place in
// BadnessPattern::unnamed_.
enum Kind { kOther, kSpace, kWord };
constexpr char32_t kExample[] = {U'\u2603', U'\u2003', U'\u4E2D'};

Kind KindOf(char32_t c) {
  if (IsReWord(c)) return kWord;
  return IsReSpace(c) ? kSpace : kOther;
}

}  // namespace

void BadnessPattern::AddAlternative(
    const std::vector<absl::string_view>& elements) {
  size_t next = elements.front() == "^" ? 1 : 0;
  (next == 1 ? anchored_ : floating_).set(num_elements_);
  for (; next < elements.size(); ++next) {
    if (num_elements_ == kMaxElements) std::abort();
    const CharacterClass accepted = ParseClass(elements[next]);
    for (const auto& [first, last] : accepted.listed.ranges()) {
      for (char32_t c = first; c <= last; ++c) {
        named_.try_emplace(c, unnamed_[KindOf(c)]);
      }
    }
    for (auto& [c, bits] : named_) bits[num_elements_] = accepted.Accepts(c);
    for (Kind kind : {kOther, kSpace, kWord}) {
      unnamed_[kind][num_elements_] = accepted.Accepts(kExample[kind]);
    }
    ++num_elements_;
  }
  last_.set(num_elements_ - 1);
}

BadnessPattern::Bits BadnessPattern::AcceptedBy(char32_t c) const {
  const auto found = named_.find(c);
  return found != named_.end() ? found->second : unnamed_[KindOf(c)];
}

bool BadnessPattern::Matches(std::u32string_view text) const {
  Bits state;
  Bits entry = anchored_ | floating_;
  for (const char32_t c : text) {
    state = ((state << 1) | entry) & AcceptedBy(c);
    if ((state & last_).any()) return true;
    entry = floating_;
  }
  return false;
}

}  // namespace clip
