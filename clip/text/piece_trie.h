// A trie over the bytes of a vocabulary's pieces, as a double array: one look
// for each byte of text finds all pieces that the text starts with.
//
// Thread rule: immutable once made.
#ifndef ZEROSHOT_CLIP_TEXT_PIECE_TRIE_H_
#define ZEROSHOT_CLIP_TEXT_PIECE_TRIE_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace clip {

class PieceTrie {
 public:
  using Entry = std::pair<absl::string_view, int32_t>;  // piece, id

  // A trie without pieces.
  PieceTrie() : PieceTrie(std::vector<Entry>()) {}

  // Of pieces that are there twice the last one counts; empty ones are left
  // out. Ids are not negative. Copies what it needs.
  explicit PieceTrie(std::vector<Entry> entries);

  // Calls `found(length, id)` for each piece that `text` starts with, the
  // shortest first.
  template <typename Found>
  void ForEachPrefix(absl::string_view text, Found found) const {
    int32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      const int32_t next =
          units_[node].base ^ static_cast<unsigned char>(text[i]);
      if (units_[next].parent != node) return;
      node = next;
      if (units_[node].id >= 0) found(i + 1, units_[node].id);
    }
  }

  // The longest of them; length 0: there is none.
  struct Match {
    size_t length = 0;
    int32_t id = -1;
  };
  Match Longest(absl::string_view text) const {
    Match longest;
    ForEachPrefix(text, [&](size_t length, int32_t id) {
      longest = {length, id};
    });
    return longest;
  }

 private:
  // The child of a node by a byte is at base ^ byte if its parent is the node.
  struct Unit {
    int32_t base = 0;
    int32_t parent = -1;  // -1: free, or the root
    int32_t id = -1;      // -1: no piece ends here
  };
  struct Builder;

  std::vector<Unit> units_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_PIECE_TRIE_H_
