// Reads a configuration in JSON key by key, with defaults and with errors that
// name the key: a key of another type, an unknown key where keys change the
// maths, a value that we do not support. The first error sticks, so that
// reading code is a plain list of keys.
// Thread rule: one object, one thread.
#ifndef ZEROSHOT_CLIP_CHECKPOINT_CONFIG_READER_H_
#define ZEROSHOT_CLIP_CHECKPOINT_CONFIG_READER_H_

#include <array>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace clip {

// Parses a file that holds JSON, or one JSON object. NotFound,
// InvalidArgument.
absl::StatusOr<nlohmann::json> ReadJson(const std::string& path);
absl::StatusOr<nlohmann::json> ReadJsonObject(const std::string& path);

class ConfigReader {
 public:
  // `where` is put before keys in messages ("model_cfg."). `status` outlives
  // the reader and is shared with its sections. `object` is copied; anything
  // but an object reads as an empty one.
  ConfigReader(const nlohmann::json& object, std::string where,
               absl::Status* status);

  // The value of `key`; `fallback` if it is absent or null (nothing as the
  // fallback: the key is required).
  int Int(const std::string& key, std::optional<int> fallback);
  double Number(const std::string& key, double fallback);
  bool Bool(const std::string& key, bool fallback);
  std::string Text(const std::string& key, const std::string& fallback);
  std::array<float, 3> Triple(const std::string& key,
                              const std::array<float, 3>& fallback);

  // A required list of `count` integers.
  std::vector<int> Integers(const std::string& key, size_t count);

  // A side of a square, which files write in many ways: a number, a list of
  // two equal ones, or an object whose values are all equal.
  int Side(const std::string& key, std::optional<int> fallback);

  // Whether the object has `key`, be it null.
  bool Has(const std::string& key) const { return object_.contains(key); }

  // The value as it is; null if absent.
  const nlohmann::json& Raw(const std::string& key);

  // The object under `key`; empty if absent.
  ConfigReader Section(const std::string& key);

  // An error unless `key` is absent, null or `supported`.
  void Expect(const std::string& key, const nlohmann::json& supported);

  // An error that says so of `key` ("is of another kind"), unless `key` is
  // absent, null or false.
  void Refuse(const std::string& key, const std::string& what);

  // An error if the object has a key, other than null, that none of the calls
  // above has named, apart from `harmless`.
  void NoOthers(std::initializer_list<const char*> harmless = {});

 private:
  void Fail(const std::string& key, const std::string& what);
  // Null if the key is absent or null.
  const nlohmann::json* Find(const std::string& key);

  const nlohmann::json object_;
  const std::string where_;
  absl::Status* const status_;
  std::set<std::string> named_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CHECKPOINT_CONFIG_READER_H_
