#include "zeroshot/redis_store.h"

#include <hiredis/hiredis.h>
#include <openssl/rand.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "clip/quoted.h"
#include "zeroshot/stored_set.h"

namespace zeroshot {
namespace {

constexpr absl::string_view kIds = "zeroshot:ids";

// Bytes of headers that one answer may bring while sets are listed.
constexpr int64_t kHeadersAtOnce = 1 << 20;

// Only the owner prolongs or gives back a lease.
constexpr absl::string_view kTakeScript =
    "local owner = redis.call('GET', KEYS[1]) "
    "if owner and owner ~= ARGV[1] then return 0 end "
    "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1";
constexpr absl::string_view kReleaseScript =
    "if redis.call('GET', KEYS[1]) == ARGV[1] "
    "then return redis.call('DEL', KEYS[1]) end return 0";

std::string HeaderKey(absl::string_view id) {
  return absl::StrCat("zeroshot:header:", id);
}
std::string WeightsKey(absl::string_view id) {
  return absl::StrCat("zeroshot:weights:", id);
}
std::string LeaseKey(absl::string_view id) {
  return absl::StrCat("zeroshot:lease:", id);
}

std::string DeletedKey(absl::string_view id) {
  return absl::StrCat("zeroshot:deleted:", id);
}

std::string RandomName() {
  unsigned char bytes[16] = {};
  RAND_bytes(bytes, sizeof(bytes));
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes), sizeof(bytes)));
}

absl::string_view Text(const redisReply& reply) {
  return absl::string_view(reply.str, reply.len);
}

bool IsText(const redisReply* reply) {
  return reply->type == REDIS_REPLY_STRING;
}

absl::Status Unexpected() {
  return absl::UnavailableError("an answer that was not expected");
}

std::string Milliseconds(absl::Duration time) {
  return absl::StrCat(absl::ToInt64Milliseconds(time));
}

}  // namespace

RedisStore::RedisStore(RedisClient* client, const RedisStoreOptions& options)
    : client_(client),
      options_(options),
      ttl_ms_(Milliseconds(options.ttl)),
      header_ttl_ms_(Milliseconds(4 * options.ttl)),
      owner_(RandomName()) {}

absl::StatusOr<std::shared_ptr<const WeightSet>> RedisStore::Get(
    absl::string_view id) {
  if (!IsPlainId(id)) return WeightSetNotFound(id);
  const std::string header = HeaderKey(id), weights = WeightsKey(id);
  const RedisClient::Command commands[] = {
      {"MGET", header, weights},
      {"PEXPIRE", header, header_ttl_ms_},
      {"PEXPIRE", weights, ttl_ms_},
  };
  const auto replies = client_->Run(commands);
  if (!replies.ok()) return replies.status();
  const redisReply& got = *(*replies)[0];
  if (got.type != REDIS_REPLY_ARRAY || got.elements != 2) return Unexpected();
  if (!IsText(got.element[0]) || !IsText(got.element[1])) {
    return WeightSetNotFound(id);
  }
  auto set = ParseWeightSet(Text(*got.element[0]), Text(*got.element[1]), id);
  if (absl::IsDataLoss(set.status())) {
    if (ParseHeader(Text(*got.element[0]), id).ok()) {
      (void)client_->Run({"DEL", weights});
    } else {
      (void)Delete(id);
    }
  }
  return set;
}

absl::StatusOr<std::shared_ptr<const WeightSet>> RedisStore::GetHeader(
    absl::string_view id) {
  if (!IsPlainId(id)) return WeightSetNotFound(id);
  const std::string header = HeaderKey(id);
  const RedisClient::Command commands[] = {{"GET", header},
                                           {"PEXPIRE", header, header_ttl_ms_}};
  const auto replies = client_->Run(commands);
  if (!replies.ok()) return replies.status();
  const redisReply& got = *(*replies)[0];
  if (!IsText(&got)) return WeightSetNotFound(id);
  absl::StatusOr<StoredHeader> parsed = ParseHeader(Text(got), id);
  if (absl::IsDataLoss(parsed.status())) (void)Delete(id);
  if (!parsed.ok()) return parsed.status();
  return std::shared_ptr<const WeightSet>(std::move(parsed->set));
}

absl::Status RedisStore::Put(std::shared_ptr<const WeightSet> set) {
  if (!IsPlainId(set->id)) {
    return absl::InvalidArgumentError("redis store: not an id for a key");
  }
  const absl::string_view weights = WeightBytes(*set);
  // Before any work is done for it.
  const auto too_large = [this](int64_t bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the weight set takes ", bytes,
                     " bytes and one shared through Redis may take ",
                     options_.max_set_bytes));
  };
  if (weights.size() > options_.max_set_bytes) return too_large(weights.size());
  absl::Status there = Touch(set->id);
  if (!absl::IsNotFound(there) && !absl::IsAborted(there)) return there;
  const std::string header_key = HeaderKey(set->id);
  const std::string weights_key = WeightsKey(set->id);
  const std::string deleted_key = DeletedKey(set->id);
  const std::string header = SerializeHeader(*set);
  absl::Status storable =
      CheckStorable(*set, static_cast<int64_t>(header.size()));
  if (!storable.ok()) return storable;
  const int64_t bytes = header.size() + weights.size();
  if (bytes > options_.max_set_bytes) return too_large(bytes);
  const RedisClient::Command commands[] = {
      {"MULTI"},
      {"SET", header_key, header, "PX", header_ttl_ms_},
      {"SET", weights_key, weights, "PX", ttl_ms_},
      {"ZADD", kIds, "0", set->id},
      {"DEL", deleted_key},
      {"EXEC"},
  };
  return client_->Run(commands).status();
}

absl::Status RedisStore::Touch(absl::string_view id) {
  if (!IsPlainId(id)) return WeightSetNotFound(id);
  const std::string header = HeaderKey(id), weights = WeightsKey(id),
                    deleted = DeletedKey(id);
  const RedisClient::Command commands[] = {
      {"PEXPIRE", header, header_ttl_ms_},
      {"PEXPIRE", weights, ttl_ms_},
      {"EXISTS", deleted},
  };
  const auto replies = client_->Run(commands);
  if (!replies.ok()) return replies.status();
  if ((*replies)[2]->integer == 1) {
    return absl::AbortedError(
        absl::StrCat("the weight set ", clip::Quoted(id), " was deleted"));
  }
  const bool there = (*replies)[0]->integer == 1 && (*replies)[1]->integer == 1;
  return there ? absl::OkStatus() : WeightSetNotFound(id);
}

absl::Status RedisStore::Delete(absl::string_view id) {
  if (!IsPlainId(id)) return WeightSetNotFound(id);
  const std::string header = HeaderKey(id), weights = WeightsKey(id);
  const RedisClient::Command commands[] = {
      {"MULTI"},          {"DEL", weights}, {"DEL", header},
      {"ZREM", kIds, id}, {"EXEC"},
  };
  const auto replies = client_->Run(commands);
  if (!replies.ok()) return replies.status();
  const redisReply& done = *replies->back();
  if (done.type != REDIS_REPLY_ARRAY || done.elements != 3) return Unexpected();
  const bool deleted =
      done.element[0]->integer > 0 || done.element[1]->integer > 0;
  return deleted ? absl::OkStatus() : WeightSetNotFound(id);
}

absl::Status RedisStore::MarkDeleted(absl::string_view id) {
  if (!IsPlainId(id)) return absl::OkStatus();
  const std::string key = DeletedKey(id);
  return client_->Run({"SET", key, "", "PX", ttl_ms_}).status();
}

absl::Status RedisStore::ListPage(const std::vector<std::string>& ids,
                                  std::vector<WeightSetSummary>* sets) {
  std::vector<std::string> keys;
  for (const std::string& id : ids) {
    keys.push_back(HeaderKey(id));
    keys.push_back(WeightsKey(id));
  }
  std::vector<RedisClient::Command> commands;
  for (size_t i = 0; i < ids.size(); ++i) {
    commands.push_back({"STRLEN", keys[2 * i]});
    commands.push_back({"EXISTS", keys[2 * i + 1]});
  }
  const auto sizes = client_->Run(commands);
  if (!sizes.ok()) return sizes.status();
  // Headers are read a few at a time, and together in one answer only while
  // they are small.
  size_t next = 0;
  while (next < ids.size()) {
    std::vector<size_t> those;
    commands.clear();
    for (int64_t bytes = 0; next < ids.size(); ++next) {
      const int64_t size = (*sizes)[2 * next]->integer;
      if (size == 0) {
        (void)client_->Run({"ZREM", kIds, ids[next]});
        continue;
      }
      if ((*sizes)[2 * next + 1]->integer == 0) continue;
      if (!those.empty() && bytes + size > kHeadersAtOnce) break;
      bytes += size;
      those.push_back(next);
      commands.push_back({"GET", keys[2 * next]});
    }
    if (commands.empty()) break;
    const auto replies = client_->Run(commands);
    if (!replies.ok()) return replies.status();
    for (size_t i = 0; i < those.size(); ++i) {
      const redisReply& header = *(*replies)[i];
      if (!IsText(&header)) continue;  // it has just gone
      absl::StatusOr<StoredHeader> parsed =
          ParseHeader(Text(header), ids[those[i]]);
      if (parsed.ok()) sets->push_back(SummaryOf(*parsed->set));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<WeightSetSummary>> RedisStore::List(
    absl::string_view after, int limit) {
  std::vector<WeightSetSummary> sets;
  std::string last(after);
  while (sets.size() < limit) {
    const std::string from = last.empty() ? "-" : absl::StrCat("(", last);
    const std::string count = absl::StrCat(limit - sets.size());
    const auto page =
        client_->Run({"ZRANGEBYLEX", kIds, from, "+", "LIMIT", "0", count});
    if (!page.ok()) return page.status();
    if ((*page)->type != REDIS_REPLY_ARRAY) return Unexpected();
    std::vector<std::string> ids;
    for (size_t i = 0; i < (*page)->elements; ++i) {
      if (!IsText((*page)->element[i])) return Unexpected();
      ids.emplace_back(Text(*(*page)->element[i]));
      // What does not go on from there would go on for ever.
      if (ids.back() <= last) return Unexpected();
      last = ids.back();
    }
    if (ids.empty()) break;
    absl::Status status = ListPage(ids, &sets);
    if (!status.ok()) return status;
  }
  return sets;
}

absl::StatusOr<bool> RedisStore::Take(absl::string_view id) {
  const std::string key = LeaseKey(id), lasts = Milliseconds(kLasts);
  const auto reply =
      client_->Run({"EVAL", kTakeScript, "1", key, owner_, lasts});
  if (!reply.ok()) return reply.status();
  return (*reply)->integer == 1;
}

void RedisStore::Release(absl::string_view id) {
  const std::string key = LeaseKey(id);
  (void)client_->Run({"EVAL", kReleaseScript, "1", key, owner_});
}

}  // namespace zeroshot
