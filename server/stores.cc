#include "server/stores.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace zeroshot::server {
namespace {

void LogChange(const std::string& tier, const absl::Status& status) {
  if (status.ok()) {
    spdlog::info("the {} store is well again", tier);
  } else if (absl::IsDataLoss(status)) {
    spdlog::warn("the {} store had a damaged weight set, which was dropped: {}",
                 tier, std::string(status.message()));
  } else if (absl::IsResourceExhausted(status)) {
    spdlog::warn("not kept in the {} store: {}", tier,
                 std::string(status.message()));
  } else {
    spdlog::warn("the {} store fails and is passed over: {}", tier,
                 std::string(status.message()));
  }
}

// Servers run without Redis too, so that it is no error; but a wrong password
// should be seen before the first build.
void SayWhetherThere(const stores::RedisOptions& redis,
                     stores::RedisClient* client) {
  const std::string where =
      absl::StrCat(redis.host, ":", redis.port, "/", redis.database);
  const auto pong = client->Run(stores::RedisClient::Command{"PING"});
  if (pong.ok()) {
    spdlog::info("weight sets are shared through Redis at {}", where);
  } else {
    spdlog::warn(
        "weight sets should be shared through Redis at {} but are not for now: "
        "{}",
        where, std::string(pong.status().message()));
  }
}

}  // namespace

absl::StatusOr<stores::StoreKeys> LoadStoreKeys(const std::string& file) {
  constexpr size_t kLeastKey = 32;
  stores::StoreKeys keys;
  if (file.empty()) return keys;
  const auto wrong = [&file](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat("--store_key_file=", file, ": ", what));
  };
  std::ifstream in(file);
  if (!in) return wrong("it cannot be read");
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    const absl::string_view key = absl::StripAsciiWhitespace(line);
    if (key.empty() || key[0] == '#') continue;
    if (key.size() < kLeastKey) {
      return wrong(absl::StrCat("the key in line ", number, " has ", key.size(),
                                " characters; at least ", kLeastKey,
                                " are needed"));
    }
    keys.emplace_back(key);
  }
  if (keys.empty()) return wrong("it has no key");
  return keys;
}

absl::StatusOr<std::unique_ptr<Stores>> Stores::Open(
    const ServerOptions& options) {
  const absl::StatusOr<stores::StoreKeys> keys =
      LoadStoreKeys(options.store_key_file);
  if (!keys.ok()) return keys.status();
  std::unique_ptr<Stores> stores(new Stores(options.memory_store_bytes));
  std::vector<stores::TieredStore::Tier> tiers = {{"memory", &stores->memory_}};
  if (!options.disk_store.empty()) {
    auto disk = stores::DiskStore::Open(options.disk_store,
                                        options.disk_store_bytes, *keys);
    if (!disk.ok()) return disk.status();
    stores->disk_ = *std::move(disk);
    tiers.push_back({"disk", stores->disk_.get()});
  }
  if (options.redis.has_value()) {
    auto client = stores::RedisClient::Make(*options.redis);
    if (!client.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--redis_ca: ", client.status().message()));
    }
    stores->redis_client_ = *std::move(client);
    SayWhetherThere(*options.redis, stores->redis_client_.get());
    stores::RedisStoreOptions shared = options.redis_store;
    shared.keys = *keys;
    stores->redis_ = std::make_unique<stores::RedisStore>(
        stores->redis_client_.get(), shared);
    tiers.push_back({"redis", stores->redis_.get()});
  }
  absl::Duration touch_every = stores::TieredStore::kTouchEvery;
  if (options.redis.has_value()) {
    touch_every = std::min(touch_every, options.redis_store.ttl / 4);
  }
  stores->all_ =
      std::make_unique<stores::TieredStore>(tiers, &LogChange, touch_every);
  return stores;
}

}  // namespace zeroshot::server
