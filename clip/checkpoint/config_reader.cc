#include "clip/checkpoint/config_reader.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "clip/checkpoint/mapped_file.h"
#include "clip/checkpoint/weights_file.h"

namespace clip {
namespace {

using nlohmann::json;

// Copying, comparing and printing JSON recurse: a file of a million brackets
// would end the stack. Configurations have three levels.
constexpr int kMaxDepth = 100;

bool NestedTooDeeply(absl::Span<const uint8_t> text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = static_cast<char>(text[i]);
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

std::string Shown(const json& value) {
  const std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true,
                                      json::error_handler_t::replace);
  return text.size() > 80 ? text.substr(0, 80) + "..." : text;
}

std::optional<int> AsInt(const json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  const bool fits =
      value.is_number_unsigned()
          ? value.get<uint64_t>() <= uint64_t{std::numeric_limits<int>::max()}
          : value.get<int64_t>() >= std::numeric_limits<int>::min();
  if (!fits) return std::nullopt;
  return value.get<int>();
}

}  // namespace

absl::StatusOr<json> ReadJson(const std::string& path) {
  auto file = MappedFile::Open(path);
  if (!file.ok()) return file.status();
  const absl::Span<const uint8_t> bytes = (*file)->bytes();
  if (NestedTooDeeply(bytes)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", BaseName(path), "' is nested deeper than ", kMaxDepth, " levels"));
  }
  json value = json::parse(bytes.begin(), bytes.end(), nullptr,
                           /*allow_exceptions=*/false);
  if (!value.is_discarded()) return value;
  const std::string kind = KindOfFile(bytes);
  return absl::InvalidArgumentError(
      absl::StrCat("'", BaseName(path), "' is not JSON",
                   kind.empty() ? "" : absl::StrCat(", it is ", kind)));
}

absl::StatusOr<json> ReadJsonObject(const std::string& path) {
  absl::StatusOr<json> value = ReadJson(path);
  if (value.ok() && !value->is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", BaseName(path), "' is not a JSON object"));
  }
  return value;
}

ConfigReader::ConfigReader(const json& object, std::string where,
                           absl::Status* status)
    : object_(object.is_object() ? object : json::object()),
      where_(std::move(where)),
      status_(status) {}

void ConfigReader::Fail(const std::string& key, const std::string& what) {
  if (status_->ok())
    *status_ = absl::InvalidArgumentError(
        absl::StrCat(base::Quoted(where_ + key), " ", what));
}

const json* ConfigReader::Find(const std::string& key) {
  named_.insert(key);
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

int ConfigReader::Int(const std::string& key, std::optional<int> fallback) {
  const json* value = Find(key);
  if (value == nullptr) {
    if (!fallback) Fail(key, "is missing, expected an integer");
    return fallback.value_or(0);
  }
  const std::optional<int> integer = AsInt(*value);
  if (!integer)
    Fail(key, absl::StrCat("is ", Shown(*value), ", expected an integer"));
  return integer.value_or(0);
}

double ConfigReader::Number(const std::string& key, double fallback) {
  const json* value = Find(key);
  if (value == nullptr) return fallback;
  if (value->is_number()) return value->get<double>();
  Fail(key, absl::StrCat("is ", Shown(*value), ", expected a number"));
  return fallback;
}

bool ConfigReader::Bool(const std::string& key, bool fallback) {
  const json* value = Find(key);
  if (value == nullptr) return fallback;
  if (value->is_boolean()) return value->get<bool>();
  Fail(key, absl::StrCat("is ", Shown(*value), ", expected true or false"));
  return fallback;
}

std::string ConfigReader::Text(const std::string& key,
                               const std::string& fallback) {
  const json* value = Find(key);
  if (value == nullptr) return fallback;
  if (value->is_string()) return value->get<std::string>();
  Fail(key, absl::StrCat("is ", Shown(*value), ", expected a text"));
  return fallback;
}

std::array<float, 3> ConfigReader::Triple(
    const std::string& key, const std::array<float, 3>& fallback) {
  const json* value = Find(key);
  if (value == nullptr) return fallback;
  const bool numbers = value->is_array() && value->size() == 3 &&
                       (*value)[0].is_number() && (*value)[1].is_number() &&
                       (*value)[2].is_number();
  if (!numbers) {
    Fail(key, absl::StrCat("is ", Shown(*value), ", expected three numbers"));
    return fallback;
  }
  return {(*value)[0].get<float>(), (*value)[1].get<float>(),
          (*value)[2].get<float>()};
}

std::vector<int> ConfigReader::Integers(const std::string& key, size_t count) {
  const json* value = Find(key);
  std::vector<int> integers;
  if (value != nullptr && value->is_array() && value->size() == count) {
    for (const json& item : *value) {
      if (const std::optional<int> integer = AsInt(item))
        integers.push_back(*integer);
    }
  }
  if (integers.size() == count) return integers;
  Fail(key, absl::StrCat("is ", value == nullptr ? "missing" : Shown(*value),
                         ", expected ", count, " integers"));
  return std::vector<int>(count, 0);
}

int ConfigReader::Side(const std::string& key, std::optional<int> fallback) {
  const json* value = Find(key);
  if (value == nullptr || !value->is_structured()) return Int(key, fallback);
  std::optional<int> side;
  for (const json& item : *value) {
    const std::optional<int> integer = AsInt(item);
    if (!integer || (side && *side != *integer)) {
      Fail(key, absl::StrCat("is ", Shown(*value), ", expected a square"));
      return 0;
    }
    side = integer;
  }
  if (!side)
    Fail(key, absl::StrCat("is ", Shown(*value), ", expected a square"));
  return side.value_or(0);
}

const json& ConfigReader::Raw(const std::string& key) {
  static const json kNull;
  const json* value = Find(key);
  return value == nullptr ? kNull : *value;
}

ConfigReader ConfigReader::Section(const std::string& key) {
  const json& value = Raw(key);
  if (!value.is_null() && !value.is_object()) {
    Fail(key, absl::StrCat("is ", Shown(value), ", expected an object"));
  }
  return ConfigReader(value, absl::StrCat(where_, key, "."), status_);
}

void ConfigReader::Expect(const std::string& key, const json& supported) {
  const json* value = Find(key);
  if (value != nullptr && *value != supported) {
    Fail(key, absl::StrCat("is ", Shown(*value), ", supported is only ",
                           Shown(supported)));
  }
}

void ConfigReader::Refuse(const std::string& key, const std::string& what) {
  const json* value = Find(key);
  if (value != nullptr && *value != false)
    Fail(key, absl::StrCat("(", Shown(*value), ") ", what));
}

void ConfigReader::NoOthers(std::initializer_list<const char*> harmless) {
  named_.insert(harmless.begin(), harmless.end());
  for (const auto& [key, value] : object_.items()) {
    if (!value.is_null() && !named_.contains(key))
      Fail(key, absl::StrCat("(", Shown(value), ") is not supported"));
  }
}

}  // namespace clip
