#include "server/http/json_message.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "base/error_info.h"
#include "base/quoted.h"
#include "server/grpc_status.h"
#include "server/http/errors.h"
#include "server/http/image_text.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::server::http {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Of a value that is skipped.
constexpr int kMaxDepth = 32;

template <typename Number>
void AppendFinite(Number number, std::string* out) {
  if (!std::isfinite(number)) {
    out->append("null");
    return;
  }
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), number).ptr;
  out->append(text, end);
}

void AppendKey(absl::string_view key, bool* first, std::string* out) {
  if (!*first) out->append(", ");
  *first = false;
  out->push_back('"');
  out->append(key.data(), key.size());
  out->append("\": ");
}

void AppendSingle(const Message& message, const FieldDescriptor* field,
                  std::string* out);
void AppendItem(const Message& message, const FieldDescriptor* field, int i,
                std::string* out);

// Messages that are written as something else than an object of their fields.
bool AppendSpecial(const Message& message, std::string* out) {
  const Descriptor* const type = message.GetDescriptor();
  if (type == google::protobuf::Duration::descriptor()) {
    const auto& duration =
        static_cast<const google::protobuf::Duration&>(message);
    AppendNumber(static_cast<double>(duration.seconds()) +
                     static_cast<double>(duration.nanos()) / 1e9,
                 out);
    return true;
  }
  if (type == google::protobuf::Timestamp::descriptor()) {
    const auto& time = static_cast<const google::protobuf::Timestamp&>(message);
    absl::StrAppend(out, "\"",
                    absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ",
                                     absl::FromUnixSeconds(time.seconds()) +
                                         absl::Nanoseconds(time.nanos()),
                                     absl::UTCTimeZone()),
                    "\"");
    return true;
  }
  if (type == v1::ClassifyBatchItem::descriptor()) {
    const auto& item = static_cast<const v1::ClassifyBatchItem&>(message);
    if (item.status().code() == 0) return false;
    *out += ErrorJson(FromItemStatus(item.status()));
    return true;
  }
  return false;
}

}  // namespace

void AppendNumber(float number, std::string* out) { AppendFinite(number, out); }
void AppendNumber(double number, std::string* out) {
  AppendFinite(number, out);
}

std::string EnumWord(const EnumValueDescriptor& value) {
  // SCORE_FUNCTION_SOFTMAX of ScoreFunction: the zero value has the prefix.
  const std::string& zero = value.type()->value(0)->name();
  absl::string_view prefix = zero;
  absl::ConsumeSuffix(&prefix, "UNSPECIFIED");
  absl::string_view word = value.name();
  absl::ConsumePrefix(&word, prefix);
  return absl::AsciiStrToLower(word);
}

void AppendJson(const Message& message, std::string* out) {
  if (AppendSpecial(message, out)) return;
  const Descriptor* const type = message.GetDescriptor();
  const Reflection* const reflection = message.GetReflection();
  const bool batch_item = type == v1::ClassifyBatchItem::descriptor();
  bool first = true;
  out->push_back('{');
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* const field = type->field(i);
    if (batch_item && field->name() == "status") continue;
    if (field->is_repeated()) {
      AppendKey(field->name(), &first, out);
      out->push_back('[');
      const int size = reflection->FieldSize(message, field);
      for (int item = 0; item < size; ++item) {
        if (item > 0) out->append(", ");
        AppendItem(message, field, item, out);
      }
      out->push_back(']');
      continue;
    }
    if (field->has_presence() && !reflection->HasField(message, field)) {
      continue;
    }
    AppendKey(field->name(), &first, out);
    AppendSingle(message, field, out);
  }
  out->push_back('}');
}

namespace {

void AppendSingle(const Message& message, const FieldDescriptor* field,
                  std::string* out) {
  const Reflection* const reflection = message.GetReflection();
  std::string scratch;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      absl::StrAppend(out, reflection->GetInt32(message, field));
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      absl::StrAppend(out, reflection->GetInt64(message, field));
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      absl::StrAppend(out, reflection->GetUInt32(message, field));
      break;
    case FieldDescriptor::CPPTYPE_UINT64:
      absl::StrAppend(out, reflection->GetUInt64(message, field));
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      AppendNumber(reflection->GetDouble(message, field), out);
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
      AppendNumber(reflection->GetFloat(message, field), out);
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      out->append(reflection->GetBool(message, field) ? "true" : "false");
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      absl::StrAppend(out, "\"", EnumWord(*reflection->GetEnum(message, field)),
                      "\"");
      break;
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string& text =
          reflection->GetStringReference(message, field, &scratch);
      if (field->type() == FieldDescriptor::TYPE_BYTES) {
        base::AppendJsonString(absl::Base64Escape(text), out);
      } else {
        base::AppendJsonString(text, out);
      }
      break;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      AppendJson(reflection->GetMessage(message, field), out);
      break;
  }
}

// Of a list. What is answered has lists of these kinds only.
void AppendItem(const Message& message, const FieldDescriptor* field, int i,
                std::string* out) {
  const Reflection* const reflection = message.GetReflection();
  std::string scratch;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_FLOAT:
      AppendNumber(reflection->GetRepeatedFloat(message, field, i), out);
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      absl::StrAppend(out, reflection->GetRepeatedInt64(message, field, i));
      break;
    case FieldDescriptor::CPPTYPE_STRING:
      base::AppendJsonString(
          reflection->GetRepeatedStringReference(message, field, i, &scratch),
          out);
      break;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      AppendJson(reflection->GetRepeatedMessage(message, field, i), out);
      break;
    default:
      out->append("null");
  }
}

std::string JoinPath(absl::string_view path, absl::string_view key) {
  return path.empty() ? std::string(key) : absl::StrCat(path, ".", key);
}

absl::Status NotA(absl::string_view path, absl::string_view expected) {
  return base::InvalidField(path, absl::StrCat(path, " must be ", expected));
}

// "softmax", "SCORE_FUNCTION_SOFTMAX" or the number. Null: none of them.
const EnumValueDescriptor* FindWord(const EnumDescriptor* type,
                                    absl::string_view word) {
  for (int i = 0; i < type->value_count(); ++i) {
    const EnumValueDescriptor* const value = type->value(i);
    if (absl::EqualsIgnoreCase(word, value->name()) ||
        absl::EqualsIgnoreCase(word, EnumWord(*value)) ||
        word == absl::StrCat(value->number())) {
      return value;
    }
  }
  return nullptr;
}

std::string WordsOf(const EnumDescriptor* type) {
  std::string words;
  for (int i = 1; i < type->value_count(); ++i) {
    absl::StrAppend(&words, i == 1 ? "" : " or ", "\"",
                    EnumWord(*type->value(i)), "\"");
  }
  return words;
}

absl::Status TooMany(absl::string_view path, int64_t most) {
  return base::InvalidField(
      path, absl::StrCat(path, " has too many items; at most ", most,
                         " are allowed"));
}

absl::Status SetInteger(Message* message, const FieldDescriptor* field,
                        absl::string_view path, int64_t value) {
  const Reflection* const reflection = message->GetReflection();
  const auto fits = [&](int64_t low, int64_t high) {
    return value >= low && value <= high;
  };
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      if (!fits(std::numeric_limits<int32_t>::min(),
                std::numeric_limits<int32_t>::max())) {
        return NotA(path, "a whole number of 32 bits");
      }
      reflection->SetInt32(message, field, static_cast<int32_t>(value));
      return absl::OkStatus();
    case FieldDescriptor::CPPTYPE_UINT32:
      if (!fits(0, std::numeric_limits<uint32_t>::max())) {
        return NotA(path, "a whole number from 0 to 4294967295");
      }
      reflection->SetUInt32(message, field, static_cast<uint32_t>(value));
      return absl::OkStatus();
    default:
      if (field->is_repeated()) {
        reflection->AddInt64(message, field, value);
      } else {
        reflection->SetInt64(message, field, value);
      }
      return absl::OkStatus();
  }
}

// A class that has no more than a name.
bool IsClass(const FieldDescriptor* field) {
  return field->message_type() == v1::ClassDefinition::descriptor();
}

}  // namespace

absl::Status UnknownField(absl::string_view name) {
  // A stranger's text of any length.
  constexpr size_t kMaxName = 100;
  return base::InvalidField(
      name.size() <= kMaxName ? name : "",
      absl::StrCat("there is no field ", base::Quoted(name),
                   "; /openapi.json lists those that there are"));
}

absl::Status JsonMessageReader::Wrong(absl::string_view path,
                                      absl::string_view expected) {
  if (!reader_.cause().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the body is no JSON, line ", reader_.line(), ": ", reader_.cause()));
  }
  absl::string_view raw;
  const bool is_value = AtObject() || AtList() || reader_.TakeScalar(&raw);
  if (!is_value || path.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the body is no JSON, line ",
                                                   reader_.line(), ": ",
                                                   expected, " is expected"));
  }
  return NotA(path, expected);
}

bool JsonMessageReader::AtObject() {
  base::JsonReader ahead = reader_;
  return ahead.Take('{');
}

bool JsonMessageReader::AtList() {
  base::JsonReader ahead = reader_;
  return ahead.Take('[');
}

bool JsonMessageReader::TakeNull() {
  base::JsonReader ahead = reader_;
  absl::string_view raw;
  if (!ahead.TakeScalar(&raw) || raw != "null") return false;
  (void)reader_.SkipScalar();
  return true;
}

absl::StatusOr<std::string> JsonMessageReader::TakeText(
    absl::string_view path) {
  absl::string_view raw;
  if (!reader_.TakeString(&raw)) return Wrong(path, "a text");
  return base::JsonUnescape(raw);
}

absl::StatusOr<absl::string_view> JsonMessageReader::TakeScalar(
    absl::string_view path) {
  absl::string_view raw;
  if (AtObject() || AtList() || !reader_.TakeScalar(&raw)) {
    return Wrong(path, "a text, a number, true or false");
  }
  return raw;
}

absl::StatusOr<double> JsonMessageReader::TakeDouble(absl::string_view path) {
  base::JsonReader ahead = reader_;
  absl::string_view raw;
  double number = 0;
  if (!ahead.TakeScalar(&raw) || raw.empty() || raw[0] == '"' ||
      !absl::SimpleAtod(raw, &number) || !std::isfinite(number)) {
    return Wrong(path, "a number");
  }
  (void)reader_.SkipScalar();
  return number;
}

absl::StatusOr<int64_t> JsonMessageReader::TakeInteger(absl::string_view path) {
  const absl::StatusOr<double> number = TakeDouble(path);
  if (!number.ok()) return number.status();
  // Beyond that a double does not hold every whole number.
  constexpr double kLargest = 9007199254740992;
  if (*number != std::floor(*number) || std::abs(*number) > kLargest) {
    return NotA(path, "a whole number");
  }
  return static_cast<int64_t>(*number);
}

absl::Status JsonMessageReader::TakeList(
    absl::string_view path, int64_t most,
    const std::function<absl::Status(int)>& take_item) {
  if (!AtList()) return Wrong(path, "a list");
  absl::Status status;
  int count = 0;
  const bool taken = reader_.TakeArray([&] {
    status = count >= most ? TooMany(path, most) : take_item(count);
    ++count;
    return status.ok();
  });
  if (!status.ok() || taken) return status;
  return Wrong("", "the end of a list");
}

absl::Status JsonMessageReader::TakeObject(absl::string_view path,
                                           const TakeOther& take) {
  if (!AtObject()) return Wrong(path, "an object");
  absl::Status status;
  std::set<std::string> seen;
  // Each key that is taken is one of a few names, so that few are remembered.
  const bool taken = reader_.TakeObject([&](absl::string_view raw) {
    const std::string key = base::JsonUnescape(raw);
    const std::string name = JoinPath(path, key);
    if (!seen.insert(key).second) {
      status = base::InvalidField(
          name, absl::StrCat("the body has ", base::Quoted(name), " twice"));
      return false;
    }
    const absl::StatusOr<bool> known = take(key);
    status = known.ok() ? (*known ? absl::OkStatus() : UnknownField(name))
                        : known.status();
    return status.ok();
  });
  if (!status.ok() || taken) return status;
  return Wrong("", "\"KEY\": VALUE or the end of an object");
}

absl::Status JsonMessageReader::Skip(int depth) {
  if (depth == kMaxDepth) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the body nests too deep; at most ", kMaxDepth, " levels are allowed"));
  }
  if (AtList()) {
    return TakeList("", std::numeric_limits<int64_t>::max(),
                    [&](int) { return Skip(depth + 1); });
  }
  if (AtObject()) {
    absl::Status status;
    const bool taken = reader_.TakeObject([&](absl::string_view) {
      status = Skip(depth + 1);
      return status.ok();
    });
    return taken || !status.ok() ? status : Wrong("", "the end of an object");
  }
  return reader_.SkipScalar() ? absl::OkStatus() : Wrong("", "a value");
}

absl::Status JsonMessageReader::End() {
  return reader_.AtEnd() ? absl::OkStatus() : Wrong("", "the end of the body");
}

absl::Status JsonMessageReader::Read(Message* message,
                                     const TakeOther& take_other) {
  if (!AtObject()) return Wrong("", "an object {...}");
  absl::Status status = TakeMessage(message, "", take_other);
  return status.ok() ? End() : status;
}

absl::Status JsonMessageReader::ReadObject(const TakeOther& take) {
  if (!AtObject()) return Wrong("", "an object {...}");
  absl::Status status = TakeObject("", take);
  return status.ok() ? End() : status;
}

absl::Status JsonMessageReader::TakeMessage(Message* message,
                                            const std::string& path,
                                            const TakeOther& take_other) {
  return TakeObject(path, [&](const std::string& key) -> absl::StatusOr<bool> {
    const FieldDescriptor* const field =
        message->GetDescriptor()->FindFieldByName(key);
    // The outermost object's images are its reader's.
    if (field == nullptr || (take_other != nullptr &&
                             field->type() == FieldDescriptor::TYPE_BYTES)) {
      if (take_other == nullptr) return false;
      return take_other(key);
    }
    absl::Status taken = TakeField(message, field, JoinPath(path, key));
    if (!taken.ok()) return taken;
    return true;
  });
}

absl::Status JsonMessageReader::TakeField(Message* message,
                                          const FieldDescriptor* field,
                                          const std::string& path) {
  if (TakeNull()) return absl::OkStatus();
  if (!field->is_repeated()) return TakeOne(message, field, path);
  const int64_t most = most_items_(field);
  return TakeList(path, most, [&](int i) {
    const std::string item = absl::StrCat(path, "[", i, "]");
    // Vectors may stand one after the other, or be lists of their own.
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_FLOAT || !AtList()) {
      return TakeOne(message, field, item);
    }
    const int64_t left =
        most - message->GetReflection()->FieldSize(*message, field);
    return TakeList(item, left, [&](int j) {
      return TakeOne(message, field, absl::StrCat(item, "[", j, "]"));
    });
  });
}

absl::Status JsonMessageReader::TakeOne(Message* message,
                                        const FieldDescriptor* field,
                                        const std::string& path) {
  const Reflection* const reflection = message->GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING: {
      absl::StatusOr<std::string> text = TakeText(path);
      if (text.ok() && field->type() == FieldDescriptor::TYPE_BYTES) {
        text = DecodeImageText(*text, path);
      }
      if (!text.ok()) return text.status();
      if (field->is_repeated()) {
        reflection->AddString(message, field, *std::move(text));
      } else {
        reflection->SetString(message, field, *std::move(text));
      }
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      Message* const inner = field->is_repeated()
                                 ? reflection->AddMessage(message, field)
                                 : reflection->MutableMessage(message, field);
      if (!IsClass(field) || AtObject()) {
        return TakeMessage(inner, path, nullptr);
      }
      absl::string_view raw;
      if (!reader_.TakeString(&raw)) {
        return Wrong(path, "a name, or an object with a name");
      }
      static_cast<v1::ClassDefinition*>(inner)->set_name(
          base::JsonUnescape(raw));
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_BOOL: {
      absl::string_view raw;
      base::JsonReader ahead = reader_;
      if (!ahead.TakeScalar(&raw) || (raw != "true" && raw != "false")) {
        return Wrong(path, "true or false");
      }
      reflection->SetBool(message, field, raw == "true");
      (void)reader_.SkipScalar();
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_FLOAT: {
      const absl::StatusOr<double> number = TakeDouble(path);
      if (!number.ok()) return number.status();
      const auto value = static_cast<float>(*number);
      if (field->is_repeated()) {
        reflection->AddFloat(message, field, value);
      } else {
        reflection->SetFloat(message, field, value);
      }
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      absl::string_view raw;
      base::JsonReader ahead = reader_;
      const EnumValueDescriptor* const value =
          ahead.TakeScalar(&raw)
              ? FindWord(field->enum_type(),
                         absl::StripSuffix(absl::StripPrefix(raw, "\""), "\""))
              : nullptr;
      if (value == nullptr) return Wrong(path, WordsOf(field->enum_type()));
      reflection->SetEnum(message, field, value);
      (void)reader_.SkipScalar();
      return absl::OkStatus();
    }
    default: {
      const absl::StatusOr<int64_t> number = TakeInteger(path);
      if (!number.ok()) return number.status();
      return SetInteger(message, field, path, *number);
    }
  }
}

namespace {

// Words between commas or, if there are line breaks, lines. Blanks around them
// and empty ones are left out.
std::vector<absl::string_view> ItemsOf(absl::string_view text) {
  std::vector<absl::string_view> items;
  const char separator = absl::StrContains(text, '\n') ? '\n' : ',';
  for (absl::string_view item : absl::StrSplit(text, separator)) {
    item = absl::StripAsciiWhitespace(item);
    if (!item.empty()) items.push_back(item);
  }
  return items;
}

absl::Status AddItems(Message* message, const FieldDescriptor* field,
                      absl::string_view text, const MostItems& most_items) {
  const Reflection* const reflection = message->GetReflection();
  const int64_t most = most_items(field);
  if (std::count(text.begin(), text.end(), ',') +
          std::count(text.begin(), text.end(), '\n') >
      2 * most + 2) {
    return TooMany(field->name(), most);
  }
  for (absl::string_view item : ItemsOf(text)) {
    if (reflection->FieldSize(*message, field) >= most) {
      return TooMany(field->name(), most);
    }
    if (IsClass(field)) {
      static_cast<v1::ClassDefinition*>(reflection->AddMessage(message, field))
          ->set_name(std::string(item));
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
      float number = 0;
      if (!absl::SimpleAtof(item, &number) || !std::isfinite(number)) {
        return NotA(field->name(), "numbers");
      }
      reflection->AddFloat(message, field, number);
    } else {
      reflection->AddString(message, field, std::string(item));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SetFromText(Message* message, const FieldDescriptor* field,
                         absl::string_view text, const MostItems& most_items) {
  const Reflection* const reflection = message->GetReflection();
  const std::string& name = field->name();
  if (!google::protobuf::internal::IsStructurallyValidUTF8(
          text.data(), static_cast<int>(text.size()))) {
    return base::InvalidField(name, absl::StrCat(name, " is not UTF-8"));
  }
  const absl::string_view word = absl::StripAsciiWhitespace(text);
  const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
  if ((field->is_repeated() && absl::StartsWith(word, "[")) ||
      (is_message && !field->is_repeated())) {
    JsonMessageReader reader(text, most_items);
    return reader.TakeField(message, field, name);
  }
  if (field->is_repeated()) return AddItems(message, field, text, most_items);
  if (reflection->HasField(*message, field)) {
    return base::InvalidField(name,
                              absl::StrCat("the request has ", name, " twice"));
  }
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      reflection->SetString(message, field, std::string(text));
      return absl::OkStatus();
    case FieldDescriptor::CPPTYPE_BOOL: {
      const std::string lower = absl::AsciiStrToLower(word);
      const bool yes = lower == "true" || lower == "1";
      if (!yes && lower != "false" && lower != "0") {
        return NotA(name, "true or false");
      }
      reflection->SetBool(message, field, yes);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_FLOAT: {
      float number = 0;
      if (!absl::SimpleAtof(word, &number) || !std::isfinite(number)) {
        return NotA(name, "a number");
      }
      reflection->SetFloat(message, field, number);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      const EnumValueDescriptor* const value =
          FindWord(field->enum_type(), word);
      if (value == nullptr) return NotA(name, WordsOf(field->enum_type()));
      reflection->SetEnum(message, field, value);
      return absl::OkStatus();
    }
    default: {
      int64_t number = 0;
      if (!absl::SimpleAtoi(word, &number)) return NotA(name, "a whole number");
      return SetInteger(message, field, name, number);
    }
  }
}

}  // namespace zeroshot::server::http
