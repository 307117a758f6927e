// What reading a parsed JSON file takes: members that may be absent, and words
// for those that are not as they should be.
#ifndef ZEROSHOT_CLIP_TEXT_JSON_PARTS_H_
#define ZEROSHOT_CLIP_TEXT_JSON_PARTS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "clip/text/sentencepiece_model.h"
#include "nlohmann/json.hpp"

namespace clip {

// For messages: the beginning of it.
inline std::string Shown(const nlohmann::json& value) {
  const std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true,
                                      nlohmann::json::error_handler_t::replace);
  return text.size() > 80 ? text.substr(0, 80) + "..." : text;
}

// The member; null if there is none, or if `object` is none.
inline const nlohmann::json& Member(const nlohmann::json& object,
                                    const char* key) {
  static const auto* const null = new nlohmann::json();
  if (!object.is_object()) return *null;
  const auto found = object.find(key);
  return found == object.end() ? *null : *found;
}

// A member that is a string; else "".
inline std::string Text(const nlohmann::json& object, const char* key) {
  const nlohmann::json& value = Member(object, key);
  return value.is_string() ? value.get<std::string>() : "";
}

// An integer from 0 to kMaxVocabulary - 1.
inline std::optional<int32_t> Id(const nlohmann::json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  const auto id = value.get<int64_t>();  // negative if it does not fit
  if (id < 0 || id >= kMaxVocabulary) return std::nullopt;
  return static_cast<int32_t>(id);
}

// InvalidArgument: a part of a type, or a value, that is not supported.
inline absl::Status NotSupported(absl::string_view part,
                                 const nlohmann::json& value) {
  return absl::InvalidArgumentError(
      absl::StrCat("its ", part, " ", Shown(value), " is not supported"));
}

// The value of a member that is a boolean, or is absent; else sets `*status`,
// unless it has an error already.
inline bool Flag(const nlohmann::json& object, const char* key, bool fallback,
                 absl::Status* status) {
  const nlohmann::json& value = Member(object, key);
  if (value.is_boolean()) return value.get<bool>();
  if (!value.is_null())
    status->Update(NotSupported(absl::StrCat("'", key, "'"), value));
  return fallback;
}

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_JSON_PARTS_H_
