#include "clip/text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "clip/text/unicode.h"

namespace clip {
namespace {

PieceTrie TrieOf(const std::vector<AddedToken>& tokens) {
  std::vector<PieceTrie::Entry> entries;
  for (size_t i = 0; i < tokens.size(); ++i)
    entries.emplace_back(tokens[i].text, static_cast<int32_t>(i));
  return PieceTrie(std::move(entries));
}

bool IsSpace(absl::string_view text, size_t* position) {
  const int32_t c = base::NextCodePoint(text, position);
  return c >= 0 && IsWhiteSpace(static_cast<char32_t>(c));
}

// Where the white space begins that ends at `end`.
size_t SpaceBefore(absl::string_view text, size_t begin, size_t end) {
  size_t space = begin;
  for (size_t i = begin; i < end;) {
    if (!IsSpace(text.substr(0, end), &i)) space = i;
  }
  return space;
}

// Where the white space ends that begins at `begin`.
size_t SpaceAfter(absl::string_view text, size_t begin) {
  for (size_t i = begin; i < text.size(); begin = i) {
    if (!IsSpace(text, &i)) break;
  }
  return begin;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens)
    : tokens_(std::move(tokens)), trie_(TrieOf(tokens_)) {}

std::vector<TextPart> AddedTokens::Split(absl::string_view text) const {
  std::vector<TextPart> parts;
  size_t done = 0;
  for (size_t i = 0; i < text.size() && !tokens_.empty();) {
    const PieceTrie::Match match = trie_.Longest(text.substr(i));
    if (match.length == 0) {
      ++i;
      continue;
    }
    const AddedToken& token = tokens_[match.id];
    size_t begin = i, end = i + match.length;
    i = end;
    if (token.takes_space_before)
      begin = std::max(done, SpaceBefore(text, std::min(done, begin), begin));
    if (token.takes_space_after) end = SpaceAfter(text, end);
    if (begin > done) parts.push_back({text.substr(done, begin - done), {}});
    // A token may begin in space that the one before has taken.
    begin = std::min(begin, end);
    parts.push_back({text.substr(begin, end - begin), token.id});
    done = std::max(done, end);
  }
  if (done < text.size()) parts.push_back({text.substr(done), {}});
  return parts;
}

}  // namespace clip
