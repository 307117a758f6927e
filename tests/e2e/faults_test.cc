// What strangers and bad luck do to the server, and that it goes on.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <functional>
#include <future>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/e2e/load.h"
#include "tests/testing/free_port.h"

namespace e2e {
namespace {

namespace v1 = zeroshot::v1;

// A TCP connection to a port of this machine that says nothing.
class Silent {
 public:
  explicit Silent(int port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ =
        connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0;
  }
  ~Silent() { close(fd_); }
  Silent(const Silent&) = delete;
  Silent& operator=(const Silent&) = delete;
  bool connected() const { return connected_; }

 private:
  const int fd_;
  bool connected_ = false;
};

v1::BuildClassifierRequest EndlessBuild() {
  v1::BuildClassifierRequest request;
  for (int i = 0; i < 200'000; ++i) {
    request.add_classes()->set_name(absl::StrCat("thing number ", i));
  }
  return request;
}

TEST(FaultsTest, KilledInTheMiddleItStartsAgainAsIfNothingHadBeen) {
  const std::string address = absl::StrCat("127.0.0.1:", testing::FreePort());
  const std::vector<std::string> flags = {"--listen=" + address};
  auto server = std::make_unique<DemoServer>(flags);
  ASSERT_EQ(server->address(), address) << server->process().Errors();
  Caller before(address);
  ASSERT_TRUE(before.Build().ok());
  auto load = std::async(std::launch::async,
                         [&] { return before.Load(2, absl::Seconds(1)); });
  auto build = std::async(std::launch::async, [&] {
    const auto stub = v1::ZeroShot::NewStub(
        grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    v1::BuildClassifierResponse response;
    return stub->BuildClassifier(&context, EndlessBuild(), &response);
  });
  absl::SleepFor(absl::Milliseconds(700));
  server->process().Signal(SIGKILL);
  EXPECT_EQ(build.get().error_code(), grpc::StatusCode::UNAVAILABLE);
  for (const grpc::Status& status : load.get().failed) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  }
  server = std::make_unique<DemoServer>(flags);
  ASSERT_EQ(server->address(), address) << server->process().Errors();
  Caller after(address);
  ASSERT_TRUE(after.Build().ok());
  EXPECT_EQ(after.weight_set_id(), before.weight_set_id());
  EXPECT_TRUE(after.Classify().ok());
}

TEST(FaultsTest, ClientsThatVanishOrSayNothingHarmNobody) {
  DemoServer server({"--max_builds=1"});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  Caller caller(server.address());
  ASSERT_TRUE(caller.Build().ok());
  std::vector<std::unique_ptr<Silent>> silent;
  for (int i = 0; i < 200; ++i) {
    silent.push_back(std::make_unique<Silent>(PortOf(server.address())));
  }
  {
    // A program that builds and is killed: its place must become free.
    Process client({kClient, "build", "--class_set=imagenet-1k",
                    "--template_set=openai-imagenet-80",
                    "--target=" + server.address()});
    absl::SleepFor(absl::Milliseconds(700));
    client.Signal(SIGKILL);
    client.Wait();
  }
  EXPECT_TRUE(caller.Classify().ok());
  v1::BuildClassifierRequest request;
  request.add_classes()->set_name("something else");
  const auto stub = v1::ZeroShot::NewStub(grpc::CreateChannel(
      server.address(), grpc::InsecureChannelCredentials()));
  grpc::Status status;
  for (int i = 0; i < 100; ++i) {
    grpc::ClientContext context;
    v1::BuildClassifierResponse response;
    status = stub->BuildClassifier(&context, request, &response);
    if (status.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED) break;
    absl::SleepFor(absl::Milliseconds(50));
  }
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST(FaultsTest, OutOfFileDescriptorsItServesOnAndRecoversOrEnds) {
  DemoServer server({"--watchdog_timeout=1s"});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  Caller caller(server.address());
  ASSERT_TRUE(caller.Build().ok());
  const std::filesystem::directory_iterator files(
      absl::StrCat("/proc/", server.process().pid(), "/fd"));
  const rlim_t open = std::distance(begin(files), end(files));
  const rlimit few{open + 4, open + 4};
  ASSERT_EQ(prlimit(server.process().pid(), RLIMIT_NOFILE, &few, nullptr), 0);
  {
    std::vector<std::unique_ptr<Silent>> many;
    for (int i = 0; i < 100; ++i) {
      many.push_back(std::make_unique<Silent>(PortOf(server.address())));
    }
    EXPECT_NE(server.process().WaitForLine("Too many open files"), "");
    // A client that was connected is still served.
    EXPECT_TRUE(caller.Classify().ok());
  }
  // Now either new connections are taken again, or the process ends by itself.
  const absl::Time until = absl::Now() + absl::Seconds(60);
  bool recovered = false;
  int exit = -1;
  while (!recovered && exit == -1 && absl::Now() < until) {
    Caller fresh(server.address());
    recovered = fresh.Build().ok();
    exit = server.process().Wait(absl::Milliseconds(200));
  }
  std::printf("%s\n", recovered ? "recovered" : "ended by itself");
  EXPECT_TRUE(recovered || exit == 1) << "exit " << exit << "\n"
                                      << server.process().Errors();
}

// What is common to the two ways a disk can be full.
void ExpectServesWhileFull(DemoServer& server, Caller& caller,
                           const std::string& folder,
                           const std::function<void()>& make_room) {
  const auto stub = v1::ZeroShot::NewStub(grpc::CreateChannel(
      server.address(), grpc::InsecureChannelCredentials()));
  const auto build = [&stub](const std::string& name) {
    grpc::ClientContext context;
    v1::BuildClassifierRequest request;
    for (int i = 0; i < 200; ++i) {
      request.add_classes()->set_name(absl::StrCat(name, " ", i));
    }
    v1::BuildClassifierResponse response;
    return stub->BuildClassifier(&context, request, &response);
  };
  const auto files = [&folder] {
    const std::filesystem::directory_iterator list(folder);
    return std::distance(begin(list), end(list));
  };
  for (int i = 0; i < 3; ++i) {
    const grpc::Status status = build(absl::StrCat("thing ", i));
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_TRUE(caller.Classify().ok());
  }
  EXPECT_EQ(files(), 1);  // the caller's own, of before; no parts of others
  const std::string log = server.process().Errors();
  const absl::string_view line = "the disk store fails and is passed over";
  EXPECT_EQ(std::vector<std::string>(absl::StrSplit(log, line)).size(), 2)
      << log;
  make_room();
  EXPECT_TRUE(build("after all").ok());
  EXPECT_EQ(files(), 2);
  EXPECT_NE(server.process().WaitForLine("the disk store is well again"), "");
}

TEST(FaultsTest, FullDiskIsToldOfOnceAndWhatItCannotTakeIsServedAllTheSame) {
  const std::string folder = testing_certificates::NewFolder();
  // Three small classes have room, two hundred have none.
  if (mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "no file system can be mounted here";
  }
  const absl::Cleanup unmount = [&] { umount2(folder.c_str(), MNT_DETACH); };
  DemoServer server({"--disk_store=" + folder});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  Caller caller(server.address());
  ASSERT_TRUE(caller.Build().ok());
  ExpectServesWhileFull(server, caller, folder, [&] {
    ASSERT_EQ(mount("tmpfs", folder.c_str(), "tmpfs", MS_REMOUNT, "size=64m"),
              0);
  });
}

TEST(FaultsTest, FileSizeLimitIsLikeAFullDisk) {
  const std::string folder = testing_certificates::NewFolder();
  DemoServer server({"--disk_store=" + folder});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  Caller caller(server.address());
  ASSERT_TRUE(caller.Build().ok());
  rlimit limit{};
  ASSERT_EQ(prlimit(server.process().pid(), RLIMIT_FSIZE, nullptr, &limit), 0);
  const rlimit small{64 << 10, limit.rlim_max};
  ASSERT_EQ(prlimit(server.process().pid(), RLIMIT_FSIZE, &small, nullptr), 0);
  ExpectServesWhileFull(server, caller, folder, [&] {
    ASSERT_EQ(prlimit(server.process().pid(), RLIMIT_FSIZE, &limit, nullptr),
              0);
  });
}

TEST(FaultsTest, LogThatCannotBeWrittenDoesNotStopIt) {
  const std::string address = absl::StrCat("127.0.0.1:", testing::FreePort());
  Process server({"/bin/sh", "-c",
                  absl::StrCat("exec ", kServer, " --metrics_listen= --listen=",
                               address, " 2>/dev/full")});
  const Ran health =
      RunToEnd({kClient, "health", "--wait=60s", "--target=" + address});
  EXPECT_EQ(health.exit, 0) << health.errors;
  Caller caller(address);
  EXPECT_TRUE(caller.Build().ok());
  EXPECT_TRUE(caller.Classify().ok());
  server.Signal(SIGINT);
  EXPECT_EQ(server.Wait(), 0);
}

}  // namespace
}  // namespace e2e
