#include "stores/redis_store.h"

#include <hiredis/hiredis.h>
#include <openssl/rand.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/quoted.h"

namespace stores {
namespace {

constexpr absl::string_view kIds = "zeroshot:ids";

// What goes over the wire at once of a set, and is waited for by others.
constexpr int64_t kPieceBytes = 1 << 20;

// What is asked for at first of a header: most are smaller.
constexpr int64_t kFirstBytes = 16 << 10;

// How long a set may stay half written.
constexpr absl::string_view kUnfinishedMs = "60000";

// Only the owner prolongs or gives back a lease.
constexpr absl::string_view kTakeScript =
    "local owner = redis.call('GET', KEYS[1]) "
    "if owner and owner ~= ARGV[1] then return 0 end "
    "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1";
constexpr absl::string_view kReleaseScript =
    "if redis.call('GET', KEYS[1]) == ARGV[1] "
    "then return redis.call('DEL', KEYS[1]) end return 0";

// Of two names the one that counts stays (stores/display_name.h). -1: no set.
constexpr absl::string_view kNameScript =
    "if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end "
    "local name = redis.call('GET', KEYS[2]) "
    "if name and name >= ARGV[1] then return 0 end "
    "redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2]) return 1";

std::string SetKey(absl::string_view id) {
  return absl::StrCat("zeroshot:set:", id);
}
std::string NameKey(absl::string_view id) {
  return absl::StrCat("zeroshot:name:", id);
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
      owner_(RandomName()) {}

absl::Status RedisStore::CheckSize(int64_t bytes) {
  if (bytes <= options_.max_set_bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("the weight set takes ", bytes,
                   " bytes and one shared through Redis may take ",
                   options_.max_set_bytes, " (--redis_max_set_bytes)"));
}

absl::StatusOr<RedisStore::Value> RedisStore::Open(absl::string_view id,
                                                   bool is_used) {
  if (!IsPlainId(id)) return WeightSetNotFound(id);
  Value value{.key = SetKey(id), .is_used = is_used};
  const std::string last =
      absl::StrCat((is_used ? kPieceBytes : kFirstBytes) - 1);
  std::vector<RedisClient::Command> commands = {
      {"GETRANGE", value.key, "0", last}, {"STRLEN", value.key}};
  const std::string name = NameKey(id);
  if (is_used) {
    commands.push_back({"PEXPIRE", value.key, ttl_ms_});
    commands.push_back({"PEXPIRE", name, ttl_ms_});
  }
  const auto replies = client_->Run(commands);
  if (!replies.ok()) return replies.status();
  if (!IsText((*replies)[0].get())) return Unexpected();
  value.size = (*replies)[1]->integer;
  if (value.size == 0) return WeightSetNotFound(id);
  if (absl::Status fits = CheckSize(value.size); !fits.ok()) return fits;
  value.first = std::string(Text(*(*replies)[0]));
  return value;
}

absl::Status RedisStore::Read(const Value& value, int64_t offset,
                              absl::Span<char> out) {
  while (!out.empty()) {
    RedisClient::Reply reply;
    absl::string_view piece;
    if (offset < static_cast<int64_t>(value.first.size())) {
      piece = absl::string_view(value.first).substr(offset);
    } else {
      const int64_t count = std::min<int64_t>(out.size(), kPieceBytes);
      const std::string from = absl::StrCat(offset),
                        to = absl::StrCat(offset + count - 1);
      std::vector<RedisClient::Command> commands = {
          {"GETRANGE", value.key, from, to}};
      if (value.is_used) commands.push_back({"PEXPIRE", value.key, ttl_ms_});
      auto replies = client_->Run(commands);
      if (!replies.ok()) return replies.status();
      reply = std::move((*replies)[0]);
      if (!IsText(reply.get())) return Unexpected();
      piece = Text(*reply);
    }
    if (piece.empty()) {
      return absl::DataLossError("a stored weight set is truncated");
    }
    piece = piece.substr(0, out.size());
    std::copy(piece.begin(), piece.end(), out.begin());
    out.remove_prefix(piece.size());
    offset += static_cast<int64_t>(piece.size());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const WeightSet>> RedisStore::Get(
    absl::string_view id) {
  for (int attempt = 1;; ++attempt) {
    const absl::StatusOr<Value> value = Open(id, /*is_used=*/true);
    if (!value.ok()) return value.status();
    auto set = ReadWeightSet(value->size, id, options_.keys,
                             [&](int64_t offset, absl::Span<char> out) {
                               return Read(*value, offset, out);
                             });
    if (!absl::IsDataLoss(set.status())) return set;
    // Another server may have put the set between two pieces.
    if (attempt == 1) continue;
    (void)Delete(id);
    return set;
  }
}

absl::StatusOr<std::shared_ptr<const WeightSet>> RedisStore::GetHeader(
    absl::string_view id) {
  const absl::StatusOr<Value> value = Open(id, /*is_used=*/false);
  if (!value.ok()) return value.status();
  const auto header = ReadHeader(value->size, id, options_.keys,
                                 [&](int64_t offset, absl::Span<char> out) {
                                   return Read(*value, offset, out);
                                 });
  if (!header.ok()) return header.status();
  return std::shared_ptr<const WeightSet>(header->set);
}

absl::Status RedisStore::Put(std::shared_ptr<const WeightSet> set) {
  if (!IsPlainId(set->id)) {
    return absl::InvalidArgumentError("redis store: not an id for a key");
  }
  const absl::string_view weights = WeightBytes(*set);
  // Before any work is done for it.
  absl::Status fits = CheckSize(static_cast<int64_t>(weights.size()));
  if (!fits.ok()) return fits;
  absl::Status there = Touch(set->id);
  if (!absl::IsNotFound(there) && !absl::IsAborted(there)) return there;
  const std::string header = SerializeHeader(*set, options_.keys);
  fits = CheckStorable(*set, static_cast<int64_t>(header.size()));
  const auto bytes = static_cast<int64_t>(header.size() + weights.size());
  if (fits.ok()) fits = CheckSize(bytes);
  if (!fits.ok()) return fits;
  const std::string unfinished = absl::StrCat("zeroshot:new:", RandomName());
  std::string piece;
  // The last first, so that Redis takes the memory once.
  for (int64_t end = bytes; end > 0; end -= piece.size()) {
    const int64_t begin = std::max<int64_t>(0, end - kPieceBytes);
    piece.clear();
    for (int64_t at = begin; at < end;) {
      const auto of_header = static_cast<int64_t>(header.size()) - at;
      const absl::string_view rest = of_header > 0
                                         ? absl::string_view(header).substr(at)
                                         : weights.substr(-of_header);
      const absl::string_view part = rest.substr(0, end - at);
      piece.append(part.data(), part.size());
      at += static_cast<int64_t>(part.size());
    }
    const std::string offset = absl::StrCat(begin);
    const RedisClient::Command commands[] = {
        {"SETRANGE", unfinished, offset, piece},
        {"PEXPIRE", unfinished, kUnfinishedMs}};
    absl::Status written = client_->Run(commands).status();
    if (!written.ok()) return written;
  }
  const std::string key = SetKey(set->id), deleted = DeletedKey(set->id);
  const RedisClient::Command commands[] = {
      {"MULTI"},
      {"RENAME", unfinished, key},
      {"PEXPIRE", key, ttl_ms_},
      {"ZADD", kIds, "0", set->id},
      {"DEL", deleted},
      {"EXEC"},
  };
  const auto replies = client_->Run(commands);
  if (!replies.ok()) return replies.status();
  const redisReply& done = *replies->back();
  if (done.type != REDIS_REPLY_ARRAY || done.elements != 4 ||
      done.element[0]->type == REDIS_REPLY_ERROR) {
    return Unexpected();
  }
  return absl::OkStatus();
}

absl::Status RedisStore::Touch(absl::string_view id) {
  if (!IsPlainId(id)) return WeightSetNotFound(id);
  const std::string key = SetKey(id), deleted = DeletedKey(id),
                    name = NameKey(id);
  const RedisClient::Command commands[] = {{"PEXPIRE", key, ttl_ms_},
                                           {"EXISTS", deleted},
                                           {"PEXPIRE", name, ttl_ms_}};
  const auto replies = client_->Run(commands);
  if (!replies.ok()) return replies.status();
  if ((*replies)[1]->integer == 1) {
    return absl::AbortedError(
        absl::StrCat("the weight set ", base::Quoted(id), " was deleted"));
  }
  return (*replies)[0]->integer == 1 ? absl::OkStatus() : WeightSetNotFound(id);
}

absl::Status RedisStore::Delete(absl::string_view id) {
  if (!IsPlainId(id)) return WeightSetNotFound(id);
  const std::string key = SetKey(id), name = NameKey(id);
  const RedisClient::Command commands[] = {
      {"MULTI"}, {"DEL", key}, {"ZREM", kIds, id}, {"DEL", name}, {"EXEC"}};
  const auto replies = client_->Run(commands);
  if (!replies.ok()) return replies.status();
  const redisReply& done = *replies->back();
  if (done.type != REDIS_REPLY_ARRAY || done.elements != 3) return Unexpected();
  return done.element[0]->integer > 0 ? absl::OkStatus()
                                      : WeightSetNotFound(id);
}

absl::Status RedisStore::MarkDeleted(absl::string_view id) {
  if (!IsPlainId(id)) return absl::OkStatus();
  const std::string key = DeletedKey(id);
  return client_->Run({"SET", key, "", "PX", ttl_ms_}).status();
}

absl::StatusOr<DisplayName> RedisStore::GetDisplayName(absl::string_view id) {
  if (!IsPlainId(id)) return DisplayName();
  const std::string key = NameKey(id);
  const auto reply = client_->Run({"GET", key});
  if (!reply.ok()) return reply.status();
  if (!IsText(reply->get())) return DisplayName();
  return ParseDisplayName(Text(**reply), id, options_.keys);
}

absl::Status RedisStore::PutDisplayName(absl::string_view id,
                                        const DisplayName& name) {
  if (!IsPlainId(id)) return WeightSetNotFound(id);
  const std::string set = SetKey(id), key = NameKey(id);
  const std::string bytes = SerializeDisplayName(name, id, options_.keys);
  const auto reply =
      client_->Run({"EVAL", kNameScript, "2", set, key, bytes, ttl_ms_});
  if (!reply.ok()) return reply.status();
  return (*reply)->integer < 0 ? WeightSetNotFound(id) : absl::OkStatus();
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
    for (size_t i = 0; i < (*page)->elements; ++i) {
      if (!IsText((*page)->element[i])) return Unexpected();
      const std::string id(Text(*(*page)->element[i]));
      // What does not go on from there would go on for ever.
      if (id <= last) return Unexpected();
      last = id;
      const auto header = GetHeader(id);
      if (header.ok()) {
        sets.push_back(SummaryOf(**header));
      } else if (absl::IsNotFound(header.status())) {
        (void)client_->Run({"ZREM", kIds, id});  // it has expired
      } else if (!absl::IsDataLoss(header.status()) &&
                 !absl::IsResourceExhausted(header.status())) {
        return header.status();
      }
    }
    if ((*page)->elements == 0) break;
  }
  return sets;
}

absl::StatusOr<bool> RedisStore::TakeLease(absl::string_view id) {
  const std::string key = LeaseKey(id), lasts = Milliseconds(kLeaseLasts);
  const auto reply =
      client_->Run({"EVAL", kTakeScript, "1", key, owner_, lasts});
  if (!reply.ok()) return reply.status();
  return (*reply)->integer == 1;
}

void RedisStore::ReleaseLease(absl::string_view id) {
  const std::string key = LeaseKey(id);
  (void)client_->Run({"EVAL", kReleaseScript, "1", key, owner_});
}

}  // namespace stores
