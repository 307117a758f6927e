#include "client/cli/prompts_file.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/utf8.h"

namespace zeroshot::client {
namespace {

// The part of JSON (RFC 8259) that such a file is made of: one object of texts
// and lists of texts. The first error sticks.
class Parser {
 public:
  explicit Parser(absl::string_view text) : text_(text) {}

  absl::StatusOr<std::vector<ClassDefinition>> Parse() {
    std::vector<ClassDefinition> classes;
    if (!Take('{')) Fail("expected { and prompts by class");
    if (status_.ok() && !Take('}')) {
      do {
        ClassDefinition definition;
        definition.name = Text("a class name in quotes");
        if (!Take(':')) Fail("expected : after a class name");
        definition.prompts = Prompts();
        classes.push_back(std::move(definition));
      } while (status_.ok() && Take(','));
      if (!Take('}')) Fail("expected , or } after the prompts of a class");
    }
    SkipBlanks();
    if (at_ < text_.size()) Fail("expected the end of the file");
    if (classes.empty()) Fail("no class is there");
    if (!status_.ok()) return status_;
    return classes;
  }

 private:
  std::vector<std::string> Prompts() {
    std::vector<std::string> prompts;
    if (!status_.ok()) return prompts;
    if (!Take('[')) {
      prompts.push_back(Text("a prompt, or a list of prompts in [ ]"));
      return prompts;
    }
    do {
      prompts.push_back(Text("a prompt in quotes"));
    } while (status_.ok() && Take(','));
    if (!Take(']')) Fail("expected , or ] after a prompt");
    return prompts;
  }

  void SkipBlanks() {
    while (at_ < text_.size() && absl::ascii_isspace(text_[at_])) ++at_;
  }

  // The next sign, if it is that one.
  bool Take(char sign) {
    SkipBlanks();
    if (!status_.ok() || at_ >= text_.size() || text_[at_] != sign)
      return false;
    ++at_;
    return true;
  }

  std::string Text(absl::string_view what) {
    std::string out;
    if (!Take('"')) {
      Fail(absl::StrCat("expected ", what));
      return out;
    }
    while (status_.ok()) {
      if (at_ >= text_.size() || text_[at_] == '\n') {
        Fail("a text has no end");
      } else if (text_[at_] == '"') {
        ++at_;
        break;
      } else if (text_[at_] == '\\') {
        ++at_;
        Escape(&out);
      } else {
        out += text_[at_++];
      }
    }
    return out;
  }

  void Escape(std::string* out) {
    constexpr absl::string_view kSigns = "\"\\/bfnrt",
                                kMean = "\"\\/\b\f\n\r\t";
    const char sign = at_ < text_.size() ? text_[at_++] : '\0';
    if (const size_t known = kSigns.find(sign); known != kSigns.npos) {
      *out += kMean[known];
      return;
    }
    const std::optional<uint32_t> first =
        sign == 'u' ? FourDigits() : std::nullopt;
    if (!first) return Fail("\\ is followed by what JSON does not know");
    uint32_t code = *first;
    if (code >= 0xd800 && code < 0xdc00) {
      // The first half of a pair.
      const bool more = text_.substr(at_, 2) == "\\u";
      if (more) at_ += 2;
      const std::optional<uint32_t> second = more ? FourDigits() : std::nullopt;
      if (!second || *second < 0xdc00 || *second > 0xdfff)
        return Fail("\\u holds half a character");
      code = 0x10000 + ((code - 0xd800) << 10) + (*second - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
      return Fail("\\u holds half a character");
    }
    const auto character = static_cast<char32_t>(code);
    *out += base::EncodeUtf8(std::u32string_view(&character, 1));
  }

  std::optional<uint32_t> FourDigits() {
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      if (at_ >= text_.size() || !absl::ascii_isxdigit(text_[at_]))
        return std::nullopt;
      const char digit = absl::ascii_tolower(text_[at_]);
      value = value * 16 + (digit <= '9' ? digit - '0' : digit - 'a' + 10);
    }
    return value;
  }

  void Fail(absl::string_view what) {
    if (!status_.ok()) return;
    const absl::string_view before = text_.substr(0, at_);
    status_ = absl::InvalidArgumentError(absl::StrCat(
        "line ", std::count(before.begin(), before.end(), '\n') + 1, ": ", what,
        "; it should be {\"class\": [\"prompt\", ...], ...}"));
  }

  const absl::string_view text_;
  size_t at_ = 0;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<std::vector<ClassDefinition>> ParsePrompts(
    absl::string_view json) {
  return Parser(json).Parse();
}

}  // namespace zeroshot::client
