#include "stores/redis_client.h"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/host_port.h"
#include "base/monotonic.h"
#include "base/quoted.h"

namespace stores {
namespace {

constexpr size_t kMaxIdle = 8;
constexpr absl::Duration kFirstPause = absl::Milliseconds(100);
constexpr absl::Duration kLongestPause = absl::Seconds(5);

// A side that sends a byte now and then must not hold a call for ever.
constexpr double kLeastRate = 16 << 10;  // bytes per second

// "%41" -> "A"; false if that is not what it is.
bool PercentDecode(absl::string_view text, std::string* out) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out->push_back(text[i]);
      continue;
    }
    uint32_t byte = 0;
    if (i + 2 >= text.size() || !absl::ascii_isxdigit(text[i + 1]) ||
        !absl::ascii_isxdigit(text[i + 2]) ||
        !absl::SimpleHexAtoi(text.substr(i + 1, 2), &byte)) {
      return false;
    }
    out->push_back(static_cast<char>(byte));
    i += 2;
  }
  return true;
}

}  // namespace

absl::StatusOr<RedisOptions> ParseRedisUrl(absl::string_view url) {
  RedisOptions out;
  const absl::Status bad = absl::InvalidArgumentError(
      "not redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for "
      "TLS");
  out.tls = absl::ConsumePrefix(&url, "rediss://");
  if (!out.tls && !absl::ConsumePrefix(&url, "redis://")) return bad;
  if (const size_t at = url.rfind('@'); at != url.npos) {
    const absl::string_view login = url.substr(0, at);
    url.remove_prefix(at + 1);
    const size_t colon = login.find(':');
    if (colon == login.npos ||
        !PercentDecode(login.substr(0, colon), &out.user) ||
        !PercentDecode(login.substr(colon + 1), &out.password) ||
        out.password.empty()) {
      return bad;
    }
  }
  if (const size_t slash = url.find('/'); slash != url.npos) {
    const absl::string_view database = url.substr(slash + 1);
    if (!database.empty() &&
        (!absl::SimpleAtoi(database, &out.database) || out.database < 0)) {
      return bad;
    }
    url = url.substr(0, slash);
  }
  const auto address = base::ParseHostPort(url, out.port);
  if (!address.has_value() || address->port == 0) return bad;
  out.host = address->host;
  out.port = address->port;
  return out;
}

void RedisClient::FreeReply::operator()(redisReply* reply) const {
  freeReplyObject(reply);
}

namespace {

// Of one reply, arrays in it included: a page of a list has far fewer. hiredis
// takes memory for as many as a reply says it has, before any is there.
constexpr int kMaxElements = 1 << 16;

// hiredis' own reader of replies, but for that bound.
redisReader* NewReader() {
  static redisReplyObjectFunctions* const unbounded = [] {
    redisReader* reader = redisReaderCreate();
    auto* functions = new redisReplyObjectFunctions(*reader->fn);
    redisReaderFree(reader);
    return functions;
  }();
  static redisReplyObjectFunctions* const bounded = [] {
    auto* functions = new redisReplyObjectFunctions(*unbounded);
    // hiredis 0.14 counts them as int, 1.x as size_t.
    functions->createArray = [](const redisReadTask* task, auto elements) {
      return elements > kMaxElements ? nullptr
                                     : unbounded->createArray(task, elements);
    };
    return functions;
  }();
  redisReader* reader = redisReaderCreate();
  reader->fn = bounded;
  return reader;
}

}  // namespace

class RedisClient::Connection {
 public:
  explicit Connection(std::unique_ptr<ByteStream> stream)
      : stream_(std::move(stream)), reader_(NewReader()) {}
  ~Connection() { redisReaderFree(reader_); }

  absl::Status Send(absl::Span<const Command> commands,
                    absl::Duration patience) {
    std::vector<const char*> words;
    std::vector<size_t> sizes;
    for (const Command& command : commands) {
      words.clear();
      sizes.clear();
      for (absl::string_view word : command) {
        words.push_back(word.data() == nullptr ? "" : word.data());
        sizes.push_back(word.size());
      }
      char* bytes = nullptr;
      const int size = redisFormatCommandArgv(
          &bytes, static_cast<int>(words.size()), words.data(), sizes.data());
      if (size < 0) return absl::ResourceExhaustedError("no memory");
      absl::Status status =
          stream_->Send(absl::string_view(bytes, size), patience);
      redisFreeCommand(bytes);
      if (!status.ok()) return status;
      moved_ += size;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Reply> Receive(absl::Duration patience) {
    while (true) {
      void* reply = nullptr;
      if (redisReaderGetReply(reader_, &reply) != REDIS_OK) {
        return absl::UnavailableError("it does not speak Redis' protocol");
      }
      if (reply != nullptr) return Reply(static_cast<redisReply*>(reply));
      const absl::StatusOr<size_t> got =
          stream_->Receive(buffer_, sizeof(buffer_), patience);
      if (!got.ok()) return got.status();
      moved_ += static_cast<int64_t>(*got);
      if (base::MonotonicNow() - start_ >
          patience + absl::Seconds(1) * (moved_ / kLeastRate)) {
        return absl::DeadlineExceededError("it is too slow");
      }
      if (redisReaderFeed(reader_, buffer_, *got) != REDIS_OK) {
        return absl::ResourceExhaustedError("no memory");
      }
    }
  }

  // All replies, so that the connection may be used again; an error among
  // them is told by `refused`.
  absl::StatusOr<std::vector<Reply>> Run(absl::Span<const Command> commands,
                                         absl::Duration patience,
                                         absl::Status* refused) {
    start_ = base::MonotonicNow();
    moved_ = 0;
    absl::Status status = Send(commands, patience);
    if (!status.ok()) return status;
    std::vector<Reply> replies;
    for (size_t i = 0; i < commands.size(); ++i) {
      absl::StatusOr<Reply> reply = Receive(patience);
      if (!reply.ok()) return reply.status();
      if ((*reply)->type == REDIS_REPLY_ERROR) {
        refused->Update(absl::UnavailableError(
            absl::StrCat(commands[i][0], ": ",
                         base::Quoted({(*reply)->str, (*reply)->len}))));
      }
      replies.push_back(*std::move(reply));
    }
    return replies;
  }

 private:
  const std::unique_ptr<ByteStream> stream_;
  redisReader* const reader_;
  absl::Time start_;   // of the Run
  int64_t moved_ = 0;  // bytes, since then
  char buffer_[1 << 16];
};

RedisClient::RedisClient(const RedisOptions& options, Dialler dial)
    : options_(options), dial_(std::move(dial)) {}

RedisClient::~RedisClient() = default;

absl::StatusOr<std::unique_ptr<RedisClient>> RedisClient::Make(
    const RedisOptions& options) {
  std::shared_ptr<const TlsTrust> trust;  // null: no TLS
  if (options.tls) {
    auto loaded = TlsTrust::Load(options.ca_file);
    if (!loaded.ok()) return loaded.status();
    trust = *std::move(loaded);
  }
  return Over(
      [trust, host = options.host, port = options.port](absl::Time deadline) {
        return ByteStream::Dial(host, port, trust.get(), deadline);
      },
      options);
}

std::unique_ptr<RedisClient> RedisClient::Over(Dialler dial,
                                               const RedisOptions& options) {
  return std::unique_ptr<RedisClient>(
      new RedisClient(options, std::move(dial)));
}

absl::StatusOr<std::unique_ptr<RedisClient::Connection>> RedisClient::Dial(
    absl::Time deadline) {
  absl::StatusOr<std::unique_ptr<ByteStream>> stream = dial_(deadline);
  if (!stream.ok()) return stream.status();
  auto connection = std::make_unique<Connection>(*std::move(stream));
  std::vector<Command> greeting;
  if (!options_.user.empty()) {
    greeting.push_back({"AUTH", options_.user, options_.password});
  } else if (!options_.password.empty()) {
    greeting.push_back({"AUTH", options_.password});
  }
  const std::string database = absl::StrCat(options_.database);
  if (options_.database != 0) greeting.push_back({"SELECT", database});
  absl::Status refused;
  const auto greeted =
      connection->Run(greeting, deadline - base::MonotonicNow(), &refused);
  if (!greeted.ok()) return greeted.status();
  if (!refused.ok()) return refused;
  return connection;
}

absl::Status RedisClient::MayTry() {
  base::MutexLock lock(&mu_);
  if (failures_ == 0) return absl::OkStatus();
  if (base::MonotonicNow() < try_again_) {
    return absl::UnavailableError("it failed a moment ago");
  }
  // This call tries; others do not wait with it.
  try_again_ = base::MonotonicNow() + options_.timeout;
  return absl::OkStatus();
}

void RedisClient::Tried(bool went_well) {
  base::MutexLock lock(&mu_);
  if (went_well) {
    failures_ = 0;
    return;
  }
  // Those that are idle are no better.
  idle_.clear();
  const int doublings = std::min(failures_++, 10);
  try_again_ = base::MonotonicNow() +
               std::min(kLongestPause, kFirstPause * (int64_t{1} << doublings));
}

absl::StatusOr<std::vector<RedisClient::Reply>> RedisClient::Run(
    absl::Span<const Command> commands) {
  absl::Status may = MayTry();
  if (!may.ok()) return may;
  absl::StatusOr<std::vector<Reply>> replies =
      absl::UnavailableError("not connected");
  absl::Status refused;
  std::unique_ptr<Connection> connection;
  {
    base::MutexLock lock(&mu_);
    if (!idle_.empty()) {
      connection = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (connection != nullptr) {
    replies = connection->Run(commands, options_.timeout, &refused);
  }
  // It may have been closed while it was idle, which says nothing of now.
  if (absl::IsUnavailable(replies.status())) {
    refused = absl::OkStatus();
    auto dialled = Dial(base::MonotonicNow() + options_.timeout);
    if (dialled.ok()) {
      connection = *std::move(dialled);
      replies = connection->Run(commands, options_.timeout, &refused);
    } else {
      replies = dialled.status();
    }
  }
  Tried(replies.ok());
  if (!replies.ok()) return replies;
  {
    base::MutexLock lock(&mu_);
    if (idle_.size() < kMaxIdle) idle_.push_back(std::move(connection));
  }
  if (!refused.ok()) return refused;
  return replies;
}

absl::StatusOr<RedisClient::Reply> RedisClient::Run(const Command& command) {
  absl::StatusOr<std::vector<Reply>> replies = Run(absl::MakeSpan(&command, 1));
  if (!replies.ok()) return replies.status();
  return std::move((*replies)[0]);
}

}  // namespace stores
