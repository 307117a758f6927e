#include "client/cli/json.h"

#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/utf8.h"

namespace zeroshot::client {

std::string JsonString(absl::string_view text) {
  std::string result = "\"";
  while (!text.empty()) {
    const Utf8Character c = FirstCharacter(text);
    if (!c.valid) {
      result += kReplacementCharacter;
    } else if (c.code_point == '"' || c.code_point == '\\') {
      result += '\\';
      result += text[0];
    } else if (c.code_point < 0x20 || c.code_point == 0x7f) {
      absl::StrAppendFormat(&result, "\\u%04x", c.code_point);
    } else {
      result.append(text.data(), c.length);
    }
    text.remove_prefix(c.length);
  }
  return result + "\"";
}

std::string JsonNumber(float number) {
  if (!std::isfinite(number)) return "null";
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), number).ptr;
  return std::string(buffer, end);
}

namespace {

template <typename Texts>
std::string ArrayOf(const Texts& texts) {
  return absl::StrCat("[",
                      absl::StrJoin(texts, ",",
                                    [](std::string* out, const auto& text) {
                                      out->append(JsonString(text));
                                    }),
                      "]");
}

}  // namespace

std::string JsonArray(absl::Span<const std::string> texts) {
  return ArrayOf(texts);
}

std::string JsonArray(
    const google::protobuf::RepeatedPtrField<std::string>& texts) {
  return ArrayOf(texts);
}

std::string JsonArray(absl::Span<const float> numbers) {
  return absl::StrCat("[",
                      absl::StrJoin(numbers, ",",
                                    [](std::string* out, float number) {
                                      out->append(JsonNumber(number));
                                    }),
                      "]");
}

JsonObject& JsonObject::Json(absl::string_view name, absl::string_view value) {
  if (members_.size() > 1) members_ += ",";
  absl::StrAppend(&members_, JsonString(name), ":", value);
  return *this;
}

JsonObject& JsonObject::Text(absl::string_view name, absl::string_view value) {
  return Json(name, JsonString(value));
}

JsonObject& JsonObject::Integer(absl::string_view name, int64_t value) {
  return Json(name, absl::StrCat(value));
}

JsonObject& JsonObject::Milliseconds(absl::string_view name,
                                     absl::Duration value) {
  return Float(name, static_cast<float>(absl::ToDoubleMilliseconds(value)));
}

JsonObject& JsonObject::Float(absl::string_view name, float value) {
  return Json(name, JsonNumber(value));
}

JsonObject& JsonObject::Bool(absl::string_view name, bool value) {
  return Json(name, value ? "true" : "false");
}

}  // namespace zeroshot::client
