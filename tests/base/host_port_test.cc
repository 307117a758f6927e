#include "base/host_port.h"

#include <gtest/gtest.h>

namespace base {
namespace {

TEST(HostPortTest, TakesApartAndPutsTogether) {
  for (const char* text : {"localhost:1", "127.0.0.1:50051", "[::1]:0",
                           "[fe80::1%lo]:65535", "a-b.example:80"}) {
    const auto address = ParseHostPort(text);
    ASSERT_TRUE(address.has_value()) << text;
    EXPECT_EQ(HostPortText(*address), text);
  }
  EXPECT_EQ(ParseHostPort("[::]:7")->host, "::");
  EXPECT_EQ(ParseHostPort("h:7")->port, 7);
}

TEST(HostPortTest, RefusesWhatIsNotOne) {
  for (const char* text :
       {"", ":", ":1", "host", "host:", "host:65536", "host:-1", "host:+1",
        "host: 1", "host:1 ", "host:1:2", "::1:50051", "[::1]", "[::1]50051",
        "[::1:50051", "[]:1", "host:99999999999"}) {
    EXPECT_FALSE(ParseHostPort(text).has_value()) << text;
  }
}

TEST(HostPortTest, APortMayHaveADefault) {
  EXPECT_EQ(ParseHostPort("host", 6379)->port, 6379);
  EXPECT_EQ(ParseHostPort("[::1]", 6379)->host, "::1");
  EXPECT_EQ(ParseHostPort("host:1", 6379)->port, 1);
  for (const char* text : {"host:", "[::1]x", "::1", ""}) {
    EXPECT_FALSE(ParseHostPort(text, 6379).has_value()) << text;
  }
}

TEST(HostPortTest, LoopbackIsAnAddressAndNoBeginningOfAName) {
  for (const char* host :
       {"localhost", "LOCALHOST", "127.0.0.1", "127.1", "127.255.0.3", "::1",
        "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(IsLoopback(host)) << host;
  }
  for (const char* host :
       {"127.evil.example", "127.0.0.1.evil.example", "127.", "127.0.0.1 x",
        "localhost.evil.example", "mylocalhost", "", "0.0.0.0", "::",
        "10.0.0.1", "128.0.0.1", "::2", "::ffff:10.0.0.1", "1270.0.0.1"}) {
    EXPECT_FALSE(IsLoopback(host)) << host;
  }
}

TEST(HostPortTest, WildcardsAreEveryAddressOfTheMachine) {
  for (const char* host :
       {"0.0.0.0", "::", "0:0:0:0:0:0:0:0", "::0", "0", "::ffff:0.0.0.0"}) {
    EXPECT_TRUE(IsWildcard(host)) << host;
  }
  for (const char* host : {"127.0.0.1", "::1", "localhost", "", "0.0.0.1"}) {
    EXPECT_FALSE(IsWildcard(host)) << host;
  }
}

}  // namespace
}  // namespace base
