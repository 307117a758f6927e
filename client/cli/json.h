// Writing JSON (RFC 8259) on one line. Bytes that are not UTF-8 become
// U+FFFD, numbers that JSON lacks (NaN, infinity) null; floats are the shortest
// text that reads back as the same float.
#ifndef ZEROSHOT_CLIENT_CLI_JSON_H_
#define ZEROSHOT_CLIENT_CLI_JSON_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "google/protobuf/repeated_ptr_field.h"

namespace zeroshot::client {

std::string JsonString(absl::string_view text);
std::string JsonNumber(float number);
std::string JsonArray(absl::Span<const std::string> texts);
std::string JsonArray(absl::Span<const float> numbers);
std::string JsonArray(
    const google::protobuf::RepeatedPtrField<std::string>& texts);

// An object, its members in the order of the calls.
class JsonObject {
 public:
  JsonObject& Text(absl::string_view name, absl::string_view value);
  JsonObject& Integer(absl::string_view name, int64_t value);
  JsonObject& Float(absl::string_view name, float value);
  JsonObject& Milliseconds(absl::string_view name, absl::Duration value);
  JsonObject& Bool(absl::string_view name, bool value);

  // `value` is JSON already: an object or an array.
  JsonObject& Json(absl::string_view name, absl::string_view value);

  std::string str() const { return members_ + "}"; }

 private:
  std::string members_ = "{";
};

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_JSON_H_
