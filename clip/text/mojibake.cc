#include "clip/text/mojibake.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "base/utf8.h"
#include "clip/text/ftfy_tables.h"

namespace clip {
namespace {

bool IsAscii(std::u32string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char32_t c) { return c < 0x80; });
}

// --- Patterns over bytes -------------------------------------------------

using ByteRange = std::pair<uint8_t, uint8_t>;
using ByteClass = std::vector<ByteRange>;
// A sequence of classes; a pattern is a choice among them, the first that
// matches counts.
using ByteSequence = std::vector<ByteClass>;

bool StartsWith(absl::string_view bytes, const ByteSequence& sequence) {
  if (bytes.size() < sequence.size()) return false;
  for (size_t i = 0; i < sequence.size(); ++i) {
    const uint8_t byte = static_cast<uint8_t>(bytes[i]);
    const bool accepted = std::any_of(
        sequence[i].begin(), sequence[i].end(), [byte](ByteRange range) {
          return range.first <= byte && byte <= range.second;
        });
    if (!accepted) return false;
  }
  return true;
}

// How many bytes of the start of `bytes` match; 0: none.
size_t MatchLength(absl::string_view bytes,
                   const std::vector<ByteSequence>& pattern) {
  for (const ByteSequence& sequence : pattern) {
    if (StartsWith(bytes, sequence)) return sequence.size();
  }
  return 0;
}

// chardata.ALTERED_UTF8_RE: UTF-8 but for one byte A0 that is now a space.
const std::vector<ByteSequence>& AlteredUtf8() {
  static const auto* const pattern = [] {
    const ByteClass space = {{' ', ' '}};
    const ByteClass any = {{0x80, 0xBF}};
    const ByteClass some = {{0x80, 0x84}, {0x86, 0x9F}, {0xA1, 0xBF}};
    const ByteClass first_of_4 = {{0xF0, 0xF0}};
    return new std::vector<ByteSequence>{
        {{{0xC2, 0xC3}, {0xC5, 0xC5}, {0xCE, 0xCE}, {0xD0, 0xD0}, {0xD9, 0xD9}},
         space},
        {{{0xE2, 0xE3}}, space, some},
        {{{0xE0, 0xE3}}, some, space},
        {first_of_4, space, any, any},
        {first_of_4, any, space, any},
        {first_of_4, any, any, space}};
  }();
  return *pattern;
}

// chardata.LOSSY_UTF8_RE: UTF-8 and CESU-8 with bytes lost. At most one of
// them is a question mark.
const std::vector<ByteSequence>& LossyUtf8() {
  static const auto* const pattern = [] {
    const ByteClass lost = {{0x1A, 0x1A}};
    const ByteClass question = {{'?', '?'}};
    const ByteClass either = {{0x1A, 0x1A}, {'?', '?'}};
    const ByteClass rest = {{0x1A, 0x1A}, {0x80, 0xBF}};
    const ByteClass any = {{0x1A, 0x1A}, {'?', '?'}, {0x80, 0xBF}};
    const ByteClass surrogate = {{0xED, 0xED}};
    const ByteClass high = {{0xA0, 0xAF}};
    const ByteClass low = {{0xB0, 0xBF}};
    const ByteClass first_of_3 = {{0xE0, 0xEF}};
    const ByteClass first_of_4 = {{0xF0, 0xF4}};
    return new std::vector<ByteSequence>{
        {{{0xC2, 0xDF}}, lost},
        {{{0xC2, 0xC3}}, question},
        {surrogate, high, either, surrogate, low, any},
        {surrogate, high, any, surrogate, low, either},
        {first_of_3, either, rest},
        {first_of_3, rest, either},
        {first_of_4, either, rest, rest},
        {first_of_4, rest, either, rest},
        {first_of_4, rest, rest, either},
        {lost}};
  }();
  return *pattern;
}

// --- Patterns over characters --------------------------------------------

// How many characters of the start of `text` look like UTF-8 sequences in the
// wrong encoding (the repeated group of chardata.UTF8_DETECTOR_RE).
size_t Utf8LookalikeLength(std::u32string_view text) {
  const FtfyTables& tables = Tables();
  size_t length = 0;
  for (;;) {
    const std::u32string_view rest = text.substr(length);
    size_t sequence = 0;
    for (size_t size = 2; size <= 4 && sequence == 0; ++size) {
      if (rest.size() >= size && tables.utf8_first_of[size].Contains(rest[0]) &&
          std::all_of(rest.begin() + 1, rest.begin() + size, [&](char32_t c) {
            return tables.utf8_continuation.Contains(c);
          })) {
        sequence = size;
      }
    }
    if (sequence == 0) return length;
    length += sequence;
  }
}

// fixes.decode_inconsistent_utf8: fixes such sequences each on its own.
// A sequence must be shorter than the text, so the recursion into
// FixEncoding ends; every level decodes, which at least halves the text.
std::u32string DecodeInconsistentUtf8(std::u32string_view text) {
  const FtfyTables& tables = Tables();
  std::u32string result;
  for (size_t i = 0; i < text.size();) {
    const bool follows_garble =
        i > 0 && tables.utf8_continuation_strict.Contains(text[i - 1]);
    const size_t length =
        follows_garble ? 0 : Utf8LookalikeLength(text.substr(i));
    if (length == 0) {
      result.push_back(text[i++]);
      continue;
    }
    std::u32string sequence(text.substr(i, length));
    if (length < text.size() && tables.badness.Matches(sequence)) {
      sequence = FixEncoding(std::move(sequence));
    }
    result += sequence;
    i += length;
  }
  return result;
}

// fixes.fix_c1_controls
std::u32string FixC1Controls(std::u32string text) {
  for (char32_t& c : text) {
    if (c >= 0x80 && c <= 0x9F) c = Windows1252OfC1(c);
  }
  return text;
}

// ftfy._fix_encoding_one_step_and_explain
std::u32string FixEncodingOnce(const std::u32string& text) {
  const FtfyTables& tables = Tables();
  if (IsAscii(text) || !tables.badness.Matches(text)) return text;
  for (const SingleByteCodec& codec : tables.codecs) {
    std::optional<std::string> bytes = codec.Encode(text);
    if (!bytes) continue;
    // In MacRoman it would take an en dash and a space for a sequence.
    if (codec.name() != "macroman") bytes = RestoreByteA0(*bytes);
    if (codec.is_sloppy()) bytes = ReplaceLossySequences(*bytes);
    if (std::optional<std::u32string> fixed = DecodeUtf8Variants(*bytes)) {
      return *std::move(fixed);
    }
  }
  std::u32string fixed = DecodeInconsistentUtf8(text);
  if (fixed != text) return fixed;
  // The reference has two cases here, Latin-1 that should be windows-1252 and
  // single C1 controls; both come to this.
  return FixC1Controls(text);
}

// The code point of a surrogate pair in CESU-8 at the start of `bytes`, or
// -1. The sixth byte may be a newline that ends the text: the reference's
// expression says `$` there, which matches before one.
int32_t CesuCodePoint(absl::string_view bytes) {
  static const auto* const pair = new ByteSequence{
      {{0xED, 0xED}}, {{0xA0, 0xAF}}, {{0x80, 0xBF}},
      {{0xED, 0xED}}, {{0xB0, 0xBF}}, {{0x80, 0xBF}, {'\n', '\n'}}};
  if (!StartsWith(bytes, *pair)) return -1;
  if (bytes[5] == '\n' && bytes.size() != 6) return -1;
  return ((bytes[1] & 0x0F) << 16) + ((bytes[2] & 0x3F) << 10) +
         ((bytes[4] & 0x0F) << 6) + (bytes[5] & 0x3F) + 0x10000;
}

}  // namespace

std::optional<std::u32string> DecodeUtf8Variants(absl::string_view bytes) {
  std::u32string text;
  text.reserve(bytes.size());
  for (size_t i = 0; i < bytes.size();) {
    const absl::string_view rest = bytes.substr(i);
    // Here too `$` makes a newline at the very end pass for the second byte.
    if (absl::StartsWith(rest, "\xC0\x80") || rest == "\xC0\n") {
      text.push_back(U'\0');
      i += 2;
      continue;
    }
    int32_t c = CesuCodePoint(rest);
    if (c >= 0) {
      i += 6;
    } else {
      c = base::NextCodePoint(bytes, &i);
      if (c < 0) return std::nullopt;
    }
    text.push_back(static_cast<char32_t>(c));
  }
  return text;
}

std::string RestoreByteA0(absl::string_view bytes) {
  // "Ã la mode" is "à la mode", whose space is there already; but not in
  // Portuguese contractions like "Ã s" (fixes.A_GRAVE_WORD_RE).
  std::string words;
  while (!bytes.empty()) {
    const bool a_grave = absl::StartsWith(bytes, "\xC3 ");
    const absl::string_view after = a_grave ? bytes.substr(2) : bytes;
    bool contraction = false;
    for (const char* ending : {" ", "quele", "quela", "quilo", "s "}) {
      contraction |= absl::StartsWith(after, ending);
    }
    if (a_grave && !contraction) {
      words += "\xC3\xA0 ";
      bytes = after;
    } else {
      words.push_back(bytes[0]);
      bytes.remove_prefix(1);
    }
  }
  for (size_t i = 0; i < words.size();) {
    const size_t length =
        MatchLength(absl::string_view(words).substr(i), AlteredUtf8());
    std::replace(words.begin() + i, words.begin() + i + length, ' ', '\xA0');
    i += std::max<size_t>(length, 1);
  }
  return words;
}

std::string ReplaceLossySequences(absl::string_view bytes) {
  std::string result;
  while (!bytes.empty()) {
    const size_t length = MatchLength(bytes, LossyUtf8());
    if (length > 0) {
      result += "\xEF\xBF\xBD";
    } else {
      result.push_back(bytes[0]);
    }
    bytes.remove_prefix(std::max<size_t>(length, 1));
  }
  return result;
}

std::u32string FixEncoding(std::u32string text) {
  for (;;) {
    std::u32string fixed = FixEncodingOnce(text);
    if (fixed == text) return text;
    text = std::move(fixed);
  }
}

}  // namespace clip
