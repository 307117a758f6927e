// A client of Redis or Valkey: hiredis' wire format over connections of our
// own (stores/byte_stream.h), because Debian's hiredis has no TLS.
#ifndef ZEROSHOT_STORES_REDIS_CLIENT_H_
#define ZEROSHOT_STORES_REDIS_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/mutex.h"
#include "stores/byte_stream.h"

struct redisReply;

namespace stores {

struct RedisOptions {
  std::string host;
  int port = 6379;
  std::string user;      // empty: the default one
  std::string password;  // empty: none
  int database = 0;
  bool tls = false;
  std::string ca_file;  // PEM; empty: the system's authorities
  // Of dialling, and of one Run without a byte that moves: a large value on a
  // slow link is no outage.
  absl::Duration timeout = absl::Seconds(1);
};

// redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS; user
// and password may be percent-encoded. InvalidArgument: anything else; the
// message does not repeat the password.
absl::StatusOr<RedisOptions> ParseRedisUrl(absl::string_view url);

// Thread rule: every method may be called from many threads at once; each call
// has a connection for itself, taken from those that are idle.
class RedisClient {
 public:
  struct FreeReply {
    void operator()(redisReply* reply) const;
  };
  using Reply = std::unique_ptr<redisReply, FreeReply>;
  using Command = std::vector<absl::string_view>;

  // Dials when it is first used. InvalidArgument: the CA file is not good.
  static absl::StatusOr<std::unique_ptr<RedisClient>> Make(
      const RedisOptions& options);

  // The same over connections that `dial` makes, which tests have scripted.
  using Dialler = std::function<absl::StatusOr<std::unique_ptr<ByteStream>>(
      absl::Time deadline)>;
  static std::unique_ptr<RedisClient> Over(Dialler dial,
                                           const RedisOptions& options);
  ~RedisClient();

  // Sends all commands and returns the reply to each. REQUIRES: the commands
  // may be repeated: a connection that was idle may have been closed.
  //
  // Unavailable, DeadlineExceeded: not there, silent, slower than 16 KiB a
  // second, or one of the replies is an error. After a failure nothing is tried
  // for a while that doubles up to 5 seconds; calls in that time fail at once.
  absl::StatusOr<std::vector<Reply>> Run(absl::Span<const Command> commands);
  absl::StatusOr<Reply> Run(const Command& command);

 private:
  class Connection;

  RedisClient(const RedisOptions& options, Dialler dial);

  absl::StatusOr<std::unique_ptr<Connection>> Dial(absl::Time deadline);
  // Whether to try now; and the result of a try.
  absl::Status MayTry();
  void Tried(bool went_well);

  const RedisOptions options_;
  const Dialler dial_;
  base::Mutex mu_;
  std::vector<std::unique_ptr<Connection>> idle_ ABSL_GUARDED_BY(mu_);
  int failures_ ABSL_GUARDED_BY(mu_) = 0;  // in a row
  absl::Time try_again_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace stores

#endif  // ZEROSHOT_STORES_REDIS_CLIENT_H_
