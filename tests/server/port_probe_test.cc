#include "server/port_probe.h"

#include <arpa/inet.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "tests/server/running_server.h"
#include "zeroshot/v1/zeroshot.grpc.pb.h"

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

TEST(PortProbeTest, AWildcardIsServedIfOneOfItsAddressesIs) {
  RunningServer running({}, /*serve=*/false);
  // It listens on 127.0.0.1 alone, as [::] does where IPv6 is off.
  const int port = running.server().port();
  for (const char* host : {"0.0.0.0", "[::]", "[0:0:0:0:0:0:0:0]"}) {
    EXPECT_TRUE(IsServed(absl::StrCat(host, ":", port), /*tls=*/false,
                         absl::Seconds(20)))
        << host;
    EXPECT_FALSE(
        IsServed(absl::StrCat(host, ":1"), /*tls=*/false, absl::Seconds(20)))
        << host;
  }
}

TEST(PortProbeTest, ANameIsServedIfOneOfItsAddressesIs) {
  RunningServer running({}, /*serve=*/false);
  EXPECT_TRUE(IsServed(absl::StrCat("localhost:", running.server().port()),
                       /*tls=*/false, absl::Seconds(20)));
}

// Its calls take a thread until they are let go.
class HeldCalls final : public v1::ZeroShot::Service {
 public:
  grpc::Status GetModel(grpc::ServerContext*, const v1::GetModelRequest*,
                        v1::GetModelResponse*) override {
    let_go.WaitForNotification();
    return grpc::Status::OK;
  }
  absl::Notification let_go;
};

// Ours keeps places enough for threads to be left; a server without such places
// stands for one that has lost them.
TEST(PortProbeTest, AServerWithoutThreadsIsNotServed) {
  HeldCalls calls;
  int port = 0;
  grpc::ResourceQuota quota;
  quota.SetMaxThreads(8);
  grpc::ServerBuilder builder;
  builder.SetResourceQuota(quota)
      .SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1)
      .AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port)
      .RegisterService(&calls);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  const auto channel = ChannelTo(port);
  EXPECT_TRUE(HasThreads(channel, absl::Seconds(20)));
  const auto stub = v1::ZeroShot::NewStub(ChannelTo(port));
  std::vector<std::thread> callers;
  for (int i = 0; i < 20; ++i) {
    callers.emplace_back([&stub] {
      Context context;
      v1::GetModelResponse response;
      (void)stub->GetModel(&context, {}, &response);
    });
  }
  // Calls take their threads, and give them back, a moment before or after
  // their callers see anything of it.
  const auto becomes = [&](bool has_threads) {
    const absl::Time end = absl::Now() + absl::Seconds(60);
    while (HasThreads(channel, absl::Seconds(20)) != has_threads) {
      if (absl::Now() > end) return false;
    }
    return true;
  };
  EXPECT_TRUE(becomes(false));
  calls.let_go.Notify();
  for (std::thread& caller : callers) caller.join();
  EXPECT_TRUE(becomes(true));
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
