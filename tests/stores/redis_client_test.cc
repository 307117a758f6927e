#include "stores/redis_client.h"

#include <memory>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace stores {
namespace {

TEST(ParseRedisUrlTest, ReadsEveryPart) {
  const auto all =
      ParseRedisUrl("rediss://me:p%40ss%3Aword@cache.example:7000/3");
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_TRUE(all->tls);
  EXPECT_EQ(all->user, "me");
  EXPECT_EQ(all->password, "p@ss:word");
  EXPECT_EQ(all->host, "cache.example");
  EXPECT_EQ(all->port, 7000);
  EXPECT_EQ(all->database, 3);
}

TEST(ParseRedisUrlTest, HasDefaults) {
  const auto short_one = ParseRedisUrl("redis://localhost");
  ASSERT_TRUE(short_one.ok());
  EXPECT_FALSE(short_one->tls);
  EXPECT_EQ(short_one->port, 6379);
  EXPECT_EQ(short_one->database, 0);
  EXPECT_EQ(ParseRedisUrl("redis://:secret@h")->password, "secret");
  EXPECT_EQ(ParseRedisUrl("redis://[::1]:1/")->host, "::1");
  EXPECT_EQ(ParseRedisUrl("redis://[::1]:1")->port, 1);
}

TEST(ParseRedisUrlTest, RefusesWhatIsNoUrlWithoutRepeatingThePassword) {
  for (const char* url :
       {"", "localhost:6379", "http://h", "redis://", "redis://:6379",
        "redis://h:0", "redis://h:65536", "redis://h:x",
        "redis://h:", "redis://h/x", "redis://h/-1", "redis://secret@h",
        "redis://a:@h", "redis://:secret%@h", "redis://:secret%zz@h",
        "redis://[::1", "redis://[::1]x", "redis://:secret@"}) {
    const auto parsed = ParseRedisUrl(url);
    EXPECT_TRUE(absl::IsInvalidArgument(parsed.status())) << url;
    EXPECT_THAT(std::string(parsed.status().message()),
                ::testing::Not(::testing::HasSubstr("secret")));
  }
}

TEST(RedisClientTest, NobodyThereIsUnavailable) {
  RedisOptions options;
  options.host = "127.0.0.1";
  options.port = 1;
  const auto client = RedisClient::Make(options);
  ASSERT_TRUE(client.ok());
  EXPECT_TRUE(absl::IsUnavailable((*client)->Run({"PING"}).status()));
}

// Takes everything, says what it was told to, and closes.
class Scripted : public ByteStream {
 public:
  explicit Scripted(std::string script)
      : ByteStream(-1), script_(std::move(script)) {}

 protected:
  absl::StatusOr<size_t> TrySend(absl::string_view bytes, Wants*) override {
    return bytes.size();
  }
  absl::StatusOr<size_t> TryReceive(char* out, size_t, Wants*) override {
    if (script_.empty()) return absl::UnavailableError("closed");
    const size_t count = script_.copy(out, script_.size());
    script_.clear();
    return count;
  }

 private:
  std::string script_;
};

absl::Status Hear(const std::string& script) {
  const auto client = RedisClient::Over(
      [&](absl::Time) { return std::make_unique<Scripted>(script); }, {});
  return client->Run({"PING"}).status();
}

TEST(RedisClientTest, ReplyThatClaimsTooManyElementsTakesNoMemory) {
  EXPECT_TRUE(Hear("*2\r\n:1\r\n:2\r\n").ok());
  EXPECT_TRUE(absl::IsUnavailable(Hear("*2000000000\r\n")));
}

TEST(RedisClientTest, ErrorsOfTheOtherSideAreQuoted) {
  const absl::Status status = Hear("-ERR \xff\x1b[31m\r\n");
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(std::string(status.message()), R"(PING: 'ERR \xff\x1b[31m')");
}

}  // namespace
}  // namespace stores
