#include "clip/text/unigram.h"

#include <algorithm>

namespace clip {

size_t CharacterLength(absl::string_view text) {
  const unsigned char first = text[0];
  const size_t length = first < 0xC0   ? 1
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                                       : 4;
  return std::min(length, text.size());
}

template <typename Sum>
void Unigram::CutBy(absl::string_view text, std::vector<CutPiece>* cut) const {
  // The best way to cut all that is before a byte.
  struct Best {
    Sum sum = 0;
    int32_t id = 0;
    int32_t begin = -1;  // of the last piece; -1: none ends here
  };
  std::vector<Best> best(text.size() + 1);
  const auto consider = [&](size_t begin, size_t length, double score,
                            int32_t id) {
    const Sum sum = static_cast<Sum>(score) + best[begin].sum;
    Best& end = best[begin + length];
    if (end.begin >= 0 && !(sum > end.sum)) return;
    end = {sum, id, static_cast<int32_t>(begin)};
  };
  for (size_t begin = 0; begin < text.size();) {
    const absl::string_view rest = text.substr(begin);
    const size_t character = CharacterLength(rest);
    bool known = false;
    pieces_.ForEachPrefix(rest, [&](size_t length, int32_t id) {
      consider(begin, length, scores_[id], id);
      known |= length == character;
    });
    if (!known) consider(begin, character, unknown_score_, unknown_id_);
    begin += character;
  }
  cut->clear();
  for (size_t end = text.size(); end > 0;) {
    const size_t begin = best[end].begin;
    cut->push_back({text.substr(begin, end - begin), best[end].id});
    end = begin;
  }
  std::reverse(cut->begin(), cut->end());
}

void Unigram::Cut(absl::string_view text, std::vector<CutPiece>* cut) const {
  sums_ == Sums::kFloat ? CutBy<float>(text, cut) : CutBy<double>(text, cut);
}

}  // namespace clip
