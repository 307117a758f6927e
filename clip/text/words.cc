#include "clip/text/words.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/strings/strip.h"
#include "base/utf8.h"
#include "clip/embedded_text_tables.h"
#include "clip/text/code_point_set.h"
#include "clip/text/table_lines.h"

namespace clip {
namespace {

enum class WordClass : uint8_t { kGap, kLetter, kNumber, kOther };

// The classes of the pattern, from data/unicode/word_classes.txt. The gap is
// white space and U+0345, a mark whose upper case is a letter: because the
// pattern ignores case, the reference finds it in none of the classes.
struct WordClasses {
  CodePointSet letter;
  CodePointSet number;
  CodePointSet gap;

  WordClass Of(char32_t c) const {
    if (letter.Contains(c)) return WordClass::kLetter;
    if (number.Contains(c)) return WordClass::kNumber;
    return gap.Contains(c) ? WordClass::kGap : WordClass::kOther;
  }
};

const WordClasses& Classes() {
  static const auto* const classes = [] {
    auto* result = new WordClasses;
    for (const TableLine& line : ParseTable(embedded::WordClasses())) {
      CodePointSet* set = line.key == "letter"   ? &result->letter
                          : line.key == "number" ? &result->number
                                                 : &result->gap;
      *set = CodePointSet::Parse(line.fields.front());
    }
    return result;
  }();
  return *classes;
}

WordClass NextClass(absl::string_view text, size_t* position) {
  static const auto ascii = [] {
    std::array<WordClass, 0x80> classes;
    for (char32_t c = 0; c < 0x80; ++c) classes[c] = Classes().Of(c);
    return classes;
  }();
  const unsigned char byte = text[*position];
  if (byte < 0x80) {
    ++*position;
    return ascii[byte];
  }
  return Classes().Of(
      static_cast<char32_t>(base::NextCodePoint(text, position)));
}

// How many bytes at the start of `text` spell `word`; 0: it does not. The
// text is in lower case, but an `s` is also spelled by a long s (U+017F),
// which ignoring case makes the same letter.
size_t SpelledLength(absl::string_view text, absl::string_view word) {
  const size_t length = text.size();
  for (const char c : word) {
    if (!absl::ConsumePrefix(&text, absl::string_view(&c, 1)) &&
        !(c == 's' && absl::ConsumePrefix(&text, "\u017F"))) {
      return 0;
    }
  }
  return length - text.size();
}

// The alternatives that are spelled out.
size_t FixedWordLength(absl::string_view text) {
  static constexpr absl::string_view kWords[] = {kStartOfTextWord,
                                                 kEndOfTextWord,
                                                 "'s",
                                                 "'t",
                                                 "'re",
                                                 "'ve",
                                                 "'m",
                                                 "'ll",
                                                 "'d"};
  if (text[0] != '<' && text[0] != '\'') return 0;
  for (absl::string_view word : kWords) {
    if (const size_t length = SpelledLength(text, word)) return length;
  }
  return 0;
}

// The length of the run, or single number, that `text` starts with.
size_t RunLength(absl::string_view text, WordClass* word_class) {
  size_t end = 0;
  *word_class = NextClass(text, &end);
  if (*word_class == WordClass::kNumber) return end;
  for (size_t next = end; next < text.size(); end = next) {
    if (NextClass(text, &next) != *word_class) break;
  }
  return end;
}

WordClass AsciiClass(char c) {
  size_t position = 0;
  return NextClass(absl::string_view(&c, 1), &position);
}

}  // namespace

bool PartWords(absl::string_view left, absl::string_view right) {
  const WordClass last = AsciiClass(left.back());
  const WordClass first = AsciiClass(right.front());
  // No word holds white space.
  if (last == WordClass::kGap || first == WordClass::kGap) return true;
  if (last == first) return false;
  // What is spelled out may begin in `left`, if all of its end up to there may
  // be such a beginning: "'l" or "<|startoftext|" at most.
  const auto end_of = [&](size_t length) {
    return left.substr(left.size() - std::min(length, left.size()));
  };
  return end_of(2).find('\'') == left.npos &&
         end_of(kStartOfTextWord.size() - 1).find('<') == left.npos;
}

bool WordScanner::Next(absl::string_view* word) {
  while (!rest_.empty()) {
    WordClass word_class = WordClass::kOther;
    size_t length = FixedWordLength(rest_);
    if (length == 0) length = RunLength(rest_, &word_class);
    *word = rest_.substr(0, length);
    rest_.remove_prefix(length);
    if (word_class != WordClass::kGap) return true;
  }
  return false;
}

}  // namespace clip
