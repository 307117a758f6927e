// Reads a JSON text (RFC 8259) from front to end, taking what it expects, and
// builds nothing of it: strings are handed out as they stand in the text. What
// a hostile text costs is its own length, however it is made: no tree grows
// from it, and nothing is nested deeper than the reader's own calls.
#ifndef ZEROSHOT_BASE_JSON_READER_H_
#define ZEROSHOT_BASE_JSON_READER_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace base {

// Each Take moves on only if what it is named after stands there, and returns
// false otherwise; blanks before it are skipped.
// Thread rule: one object, one thread.
class JsonReader {
 public:
  // Borrows the text.
  explicit JsonReader(absl::string_view text) : text_(text), rest_(text) {}

  // One character of { } [ ] : ,
  bool Take(char structure);

  // A string of valid UTF-8 and escapes. `raw`: what is between its quotes, see
  // JsonUnescape.
  bool TakeString(absl::string_view* raw);

  // For messages, after a Take that returned false: the line where the reader
  // stands, from 1, and what is wrong with a string that begins there; empty if
  // something else stands there.
  int64_t line() const;
  absl::string_view cause() const { return cause_; }

  // A number without sign, fraction and exponent that fits 64 bits.
  bool TakeUnsigned(uint64_t* number);

  // A value that is neither an object nor an array. `raw`: as it stands in the
  // text, a string's quotes included.
  bool TakeScalar(absl::string_view* raw);
  bool SkipScalar();

  // Whether nothing but blanks is left.
  bool AtEnd();

  // {"KEY": VALUE, ...}: `take_value(raw_key)` takes each value. False also if
  // that is.
  template <typename TakeValue>
  bool TakeObject(TakeValue take_value) {
    if (!Take('{')) return false;
    if (Take('}')) return true;
    do {
      absl::string_view key;
      if (!TakeString(&key) || !Take(':') || !take_value(key)) return false;
    } while (Take(','));
    return Take('}');
  }

  // [ITEM, ...], likewise.
  template <typename TakeItem>
  bool TakeArray(TakeItem take_item) {
    if (!Take('[')) return false;
    if (Take(']')) return true;
    do {
      if (!take_item()) return false;
    } while (Take(','));
    return Take(']');
  }

 private:
  void SkipBlanks();

  const absl::string_view text_;
  absl::string_view rest_;
  absl::string_view cause_;
};

// The text that a string of JsonReader stands for.
std::string JsonUnescape(absl::string_view raw);

// Appends `text` as a JSON string, quotes included. Bytes that are not UTF-8
// become U+FFFD each.
void AppendJsonString(absl::string_view text, std::string* out);

}  // namespace base

#endif  // ZEROSHOT_BASE_JSON_READER_H_
