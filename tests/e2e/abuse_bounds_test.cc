// What callers with a token, and peers of the status port, may cost the server:
// answers, imports, connections that do nothing.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/e2e/abuse.h"
#include "tests/testing/certificates.h"
#include "tests/testing/slow_client.h"

namespace e2e {
namespace {

namespace v1 = zeroshot::v1;
using ::testing::HasSubstr;

// Dimensions of the demo model.
constexpr int kDim = 128;

// A .npy of `count` unit rows.
std::string Npy(int count) {
  const std::string header =
      absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (", count,
                   ", ", kDim, "), }");
  std::string file =
      absl::StrCat(absl::string_view("\x93NUMPY\x01\x00", 8),
                   std::string{static_cast<char>(header.size()), 0}, header);
  std::vector<float> row(kDim);
  for (int c = 0; c < count; ++c) {
    row.assign(kDim, 0);
    row[c % kDim] = 1;
    file.append(reinterpret_cast<const char*>(row.data()),
                row.size() * sizeof(float));
  }
  return file;
}

// A safetensors file of a header alone.
std::string HeaderFile(const std::string& json) {
  std::string file(8, '\0');
  for (int i = 0; i < 8; ++i) {
    file[i] = static_cast<char>(json.size() >> (8 * i));
  }
  return file + json;
}

grpc::Status Import(const AbusedServer& server, const std::string& file,
                    const std::vector<std::string>& names,
                    v1::ImportWeightSetResponse* response) {
  const auto stub = v1::ZeroShot::NewStub(server.Connect());
  const auto context = ContextWith(kTrainerToken, absl::Seconds(240));
  const auto writer = stub->ImportWeightSet(context.get(), response);
  v1::ImportWeightSetRequest piece;
  piece.mutable_header()->mutable_class_names()->Assign(names.begin(),
                                                        names.end());
  bool taken = writer->Write(piece);
  for (size_t at = 0; taken && at < file.size(); at += kMiB) {
    piece.Clear();
    piece.set_data(file.substr(at, kMiB));
    taken = writer->Write(piece);
  }
  writer->WritesDone();
  return writer->Finish();
}

// `unit` again and again, up to so many bytes.
std::string Filled(absl::string_view unit, int64_t bytes) {
  std::string all;
  all.reserve(bytes + unit.size());
  while (static_cast<int64_t>(all.size()) < bytes) absl::StrAppend(&all, unit);
  return all;
}

// With a number in each.
std::string Numbered(absl::string_view before, absl::string_view after,
                     int64_t bytes) {
  std::string all;
  for (int i = 0; static_cast<int64_t>(all.size()) < bytes; ++i) {
    absl::StrAppend(&all, before, i, after);
  }
  return all;
}

TEST(AbuseBoundsTest, AnImportCostsThreeTimesItsFileWhateverItsHeaderHolds) {
  constexpr int64_t kBytes = 90'000'000;
  const std::vector<std::pair<const char*, std::function<std::string()>>>
      headers = {
          {"empty lists",
           [] { return "{\"t\":[" + Filled("[],", kBytes) + "[]]}"; }},
          {"nested lists", [] { return "{\"t\":" + Filled("[", kBytes); }},
          {"one long text",
           [] {
             return R"({"__metadata__":{"labels":")" + Filled("x", kBytes) +
                    "\"}}";
           }},
          {"labels without end",
           [] {
             return R"({"__metadata__":{"labels":"[)" +
                    Filled(R"(\"\",)", kBytes) + R"(\"\"]"}})";
           }},
          {"many metadata",
           [] {
             return R"({"__metadata__":{)" +
                    Numbered("\"", "\":\"\",", kBytes) + R"("":""}})";
           }},
          {"many tensors",
           [] {
             return "{" +
                    Numbered("\"",
                             R"(":{"dtype":"U8","shape":[0],)"
                             R"("data_offsets":[0,0]},)",
                             kBytes) +
                    R"("":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})";
           }},
          {"a long shape",
           [] {
             return R"({"t":{"dtype":"U8","data_offsets":[0,0],"shape":[)" +
                    Filled("0,", kBytes) + "0]}}";
           }},
          {"a long name",
           [] {
             return "{\"" + Filled("n", kBytes) +
                    R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})";
           }},
      };
  AbusedServer server;
  ASSERT_TRUE(server.ok());
  for (const auto& [name, header] : headers) {
    SCOPED_TRACE(name);
    const std::string file = HeaderFile(header());
    grpc::Status status;
    const Cost cost = server.Under([&] {
      v1::ImportWeightSetResponse response;
      status = Import(server, file, {}, &response);
    });
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << status.error_message();
    EXPECT_LT(cost.memory, 3 * static_cast<int64_t>(file.size()));
    AbusedServer::ExpectUndisturbed(cost);
  }
}

TEST(AbuseBoundsTest, LargeAnswersAreBoundedTogether) {
  AbusedServer server;
  ASSERT_TRUE(server.ok());
  constexpr int kClasses = 100'000;
  std::vector<std::string> names;
  for (int c = 0; c < kClasses; ++c) {
    names.push_back(absl::StrCat("class number ", c));
  }
  v1::ImportWeightSetResponse imported;
  const grpc::Status stored = Import(server, Npy(kClasses), names, &imported);
  ASSERT_TRUE(stored.ok()) << stored.error_message();
  const auto classify = [&](int times, uint32_t top_k) {
    const auto stub = v1::ZeroShot::NewStub(server.Connect());
    v1::ClassifyRequest request;
    request.set_image(server.image());
    request.set_weight_set_id(imported.weight_set().weight_set_id());
    for (int i = 1; i < times; ++i) {
      request.add_more_weight_set_ids(request.weight_set_id());
    }
    request.set_top_k(top_k);
    request.set_return_probabilities(true);
    v1::ClassifyResponse response;
    return stub->Classify(ContextWith(kShopToken).get(), request, &response);
  };
  const Cost cost = server.Under([&] {
    EXPECT_THAT(classify(32, 5).error_message(), HasSubstr("twice"));
    EXPECT_THAT(classify(1, 1u << 30).error_message(), HasSubstr("top_k"));
    std::vector<std::thread> callers;
    for (int i = 0; i < 64; ++i) {
      callers.emplace_back([&, i] {
        const grpc::Status status = classify(1, 1000);
        EXPECT_TRUE(status.ok() ||
                    status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED)
            << status.error_message();
        const auto stub = v1::ZeroShot::NewStub(server.Connect());
        v1::GetWeightSetRequest get;
        get.set_weight_set_id(imported.weight_set().weight_set_id());
        v1::GetWeightSetResponse description;
        if (i % 4 != 0) return;
        (void)stub->GetWeightSet(ContextWith(kShopToken).get(), get,
                                 &description);
      });
    }
    for (std::thread& caller : callers) caller.join();
  });
  EXPECT_LT(cost.memory, 256 * kMiB);
  // The neighbour's calls may be refused: there are more than --max_inflight.
  for (const grpc::Status& status : cost.neighbour.failed) {
    ADD_FAILURE() << status.error_message();
  }
}

// A TCP connection to a port of this machine.
int Dial(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  return fd;
}

std::string Page(int port, const std::string& path) {
  const int fd = Dial(port);
  const timeval patience{20, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  const std::string request =
      absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(send(fd, request.data(), request.size(), MSG_NOSIGNAL),
            request.size());
  std::string all;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
    all.append(buffer, got);
  }
  close(fd);
  return all;
}

TEST(AbuseBoundsTest, TheStatusPortAnswersWhateverItsPeersDo) {
  AbusedServer server({"--metrics_listen=127.0.0.1:0"});
  ASSERT_TRUE(server.ok());
  const std::string line =
      server.process().WaitForLine("metrics and health at http://");
  const int port = PortOf(line);
  ASSERT_GT(port, 0) << line;
  const auto answers = [port] {
    for (const char* path : {"/livez", "/readyz", "/metrics"}) {
      EXPECT_THAT(Page(port, path), HasSubstr("HTTP/1.1 200 OK")) << path;
    }
  };
  const Cost cost = server.Under([&] {
    std::vector<int> slow;
    for (int i = 0; i < 600; ++i) {
      slow.push_back(Dial(port));
      const std::string begin =
          i % 2 == 0 ? "GET /livez HTTP/1.1\r\nX-Slow: "
                     : "POST / HTTP/1.1\r\nContent-Length: 99999999\r\n";
      send(slow.back(), begin.data(), begin.size(), MSG_NOSIGNAL);
    }
    answers();
    // A body of 300 MB, as fast as it is taken.
    const int fd = Dial(port);
    std::string piece =
        "POST /metrics HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\n";
    int64_t sent = 0;
    while (sent < 300 * kMiB) {
      const ssize_t now = send(fd, piece.data(), piece.size(), MSG_NOSIGNAL);
      if (now < 0) break;
      sent += now;
      piece.assign(kMiB, 'x');
    }
    EXPECT_LT(sent, 300 * kMiB);
    close(fd);
    answers();
    for (const int open : slow) close(open);
  });
  EXPECT_LT(cost.memory, 16 * kMiB);
  AbusedServer::ExpectUndisturbed(cost);
}

TEST(AbuseBoundsTest, StalledCallersEndNoImportThatMoves) {
  AbusedServer server;
  ASSERT_TRUE(server.ok());
  const auto stub = v1::ZeroShot::NewStub(server.Connect());
  const auto context = ContextWith(kTrainerToken, absl::Seconds(240));
  v1::ImportWeightSetResponse response;
  const auto writer = stub->ImportWeightSet(context.get(), &response);
  v1::ImportWeightSetRequest piece;
  piece.mutable_header();
  ASSERT_TRUE(writer->Write(piece));
  SlowClient stalled(server.port());
  for (int i = 0; i < 40; ++i) {
    const uint32_t stream =
        stalled.Open("/zeroshot.v1.ZeroShot/GetModel",
                     {{"authorization", absl::StrCat("Bearer ", kShopToken)}});
    stalled.SendAll(stream, std::string(5, '\0'), true, absl::Seconds(10));
  }
  for (const char* name : {"x", "y"}) {
    absl::SleepFor(absl::Milliseconds(1600));
    piece.Clear();
    piece.mutable_header()->add_class_names(name);
    EXPECT_TRUE(writer->Write(piece));
  }
  piece.set_data(Npy(2));
  EXPECT_TRUE(writer->Write(piece));
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST(AbuseBoundsTest, ARevokedTokenDiesWhateverHappenedBetween) {
  const std::string tokens = testing_certificates::NewFolder() + "/tokens";
  // printf %s shop-token | sha256sum.
  std::ofstream(tokens)
      << "shop classify 88cc4600551e64b7cb97dd7f63ebad405255e5"
         "d17bdd71ee9fe1ed5cc20d0b3b\n";
  DemoServer server({absl::StrCat("--auth_tokens=", tokens)});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  const auto stub = v1::ZeroShot::NewStub(grpc::CreateChannel(
      server.address(), grpc::InsecureChannelCredentials()));
  const auto code = [&] {
    v1::GetModelResponse response;
    return stub->GetModel(ContextWith(kShopToken).get(), {}, &response)
        .error_code();
  };
  ASSERT_EQ(code(), grpc::StatusCode::OK);
  // A folder in its place cannot be read, whoever asks.
  std::filesystem::remove(tokens);
  std::filesystem::create_directory(tokens);
  EXPECT_NE(server.process().WaitForLine("is no regular file"), "");
  EXPECT_EQ(code(), grpc::StatusCode::OK);
  std::filesystem::remove(tokens);
  std::ofstream(tokens) << "other classify " << std::string(64, 'a') << "\n";
  const absl::Time end = absl::Now() + absl::Seconds(60);
  while (code() == grpc::StatusCode::OK && absl::Now() < end) {
    absl::SleepFor(absl::Milliseconds(100));
  }
  EXPECT_EQ(code(), grpc::StatusCode::UNAUTHENTICATED);
}

// As in many containers. A refused probe ends the server after three looks.
TEST(AbuseBoundsTest, AWildcardIsServedWhereIpv6IsOff) {
  const std::string alone =
      "ip link set lo up && sysctl -qw net.ipv6.conf.all.disable_ipv6=1";
  if (RunToEnd({"/usr/bin/env", "unshare", "-n", "sh", "-c", alone}).exit !=
      0) {
    GTEST_SKIP() << "no network namespace is to be had";
  }
  Process server({"/usr/bin/env", "unshare", "-n", "sh", "-c",
                  alone + " && exec " + kServer +
                      " --metrics_listen=[::]:0 --listen=[::]:50051"
                      " --watchdog_timeout=8s"});
  ASSERT_NE(server.WaitForLine(" serving "), "") << server.Errors();
  EXPECT_EQ(server.Wait(absl::Seconds(20)), -1) << server.Errors();
  server.Signal(SIGINT);
  EXPECT_EQ(server.Wait(), 0);
}

}  // namespace
}  // namespace e2e
