#include "server/port_probe.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "tests/server/running_server.h"

namespace zeroshot::server {
namespace {

TEST(PortProbeTest, RunningServerAnswers) {
  RunningServer running({}, /*serve=*/false);
  EXPECT_TRUE(IsServed(absl::StrCat("127.0.0.1:", running.server().port()),
                       /*tls=*/false, absl::Seconds(20)));
}

TEST(PortProbeTest, RefusedConnectionIsNoAnswer) {
  EXPECT_FALSE(IsServed("127.0.0.1:1", /*tls=*/false, absl::Seconds(20)));
}

// As a listener is left by gRPC that ran out of file descriptors: the system
// still takes connections.
TEST(PortProbeTest, ConnectionThatNobodyAcceptsIsNoAnswer) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(fd, 16), 0);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  const std::string listen =
      absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  EXPECT_FALSE(IsServed(listen, /*tls=*/false, absl::Milliseconds(200)));
  EXPECT_FALSE(IsServed(listen, /*tls=*/true, absl::Milliseconds(200)));
  close(fd);
}

}  // namespace
}  // namespace zeroshot::server
