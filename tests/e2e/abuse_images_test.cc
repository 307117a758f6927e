// What images that cost much for what they weigh may do to a server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/e2e/abuse.h"
#include "tests/testing/dear_images.h"

namespace e2e {
namespace {

using testing_images::DearImage;
using zeroshot::v1::ClassifyRequest;
using zeroshot::v1::ClassifyResponse;
using zeroshot::v1::ZeroShot;

// --decode_memory_bytes, and what a server may take beside it.
constexpr int64_t kBudget = 1024 * kMiB;
constexpr int64_t kBeside = 256 * kMiB;

grpc::Status Classify(const AbusedServer& server, ZeroShot::Stub& stub,
                      const std::string& image, absl::Duration timeout) {
  ClassifyRequest request;
  request.set_image(image);
  request.set_weight_set_id(server.weight_set_id());
  ClassifyResponse response;
  return stub.Classify(ContextWith(kShopToken, timeout).get(), request,
                       &response);
}

// As many callers at once as leave a place for the neighbour, each with one of
// the dear images. The test waits for a number of answers, not for a time.
TEST(AbuseImagesTest, AllDecodesTogetherStayWithinTheirBudget) {
  AbusedServer server;
  ASSERT_TRUE(server.ok());
  const std::vector<DearImage>& images = testing_images::DearImages();
  constexpr int kCallers = 127;
  std::atomic<int> answered{0}, late{0}, refused{0};
  const Cost cost = server.Under([&] {
    std::vector<std::thread> callers;
    for (int i = 0; i < kCallers; ++i) {
      callers.emplace_back([&, i] {
        const auto stub = ZeroShot::NewStub(server.Connect());
        const DearImage& image = images[i % images.size()];
        const grpc::Status status =
            Classify(server, *stub, image.bytes, absl::Seconds(20));
        if (status.ok()) {
          ++answered;
        } else if (status.error_code() == grpc::DEADLINE_EXCEEDED) {
          ++late;
        } else {
          EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED)
              << image.name << ": " << status.error_message();
          ++refused;
        }
      });
    }
    for (std::thread& caller : callers) caller.join();
  });
  EXPECT_EQ(answered + late + refused, kCallers);
  EXPECT_GT(answered, 0);
  EXPECT_LT(cost.memory, kBudget + kBeside);
  // Its image is small: it does not wait for the large ones, which go on until
  // their deadline, and its share of the cores is the larger one: 23 to 124 ms
  // have been seen on two cores. Beside another test, whose threads have the
  // same priority as the tower's, it was 4 s.
  AbusedServer::ExpectUndisturbed(cost, absl::Seconds(15));
}

// A row of 100,000,000 pixels needs more than the budget: refused, by as many
// at once, before any of it is there.
TEST(AbuseImagesTest, WhatIsRefusedTakesNoMemoryFirst) {
  AbusedServer server;
  ASSERT_TRUE(server.ok());
  const std::string image = testing_images::FlatPng(100'000'000, 1, 8, 2);
  std::atomic<int> refused{0};
  constexpr int kCallers = 16;
  const Cost cost = server.Under([&] {
    std::vector<std::thread> callers;
    for (int i = 0; i < kCallers; ++i) {
      callers.emplace_back([&] {
        const auto stub = ZeroShot::NewStub(server.Connect());
        const grpc::Status status =
            Classify(server, *stub, image, absl::Seconds(60));
        if (status.error_code() == grpc::INVALID_ARGUMENT) ++refused;
      });
    }
    for (std::thread& caller : callers) caller.join();
  });
  EXPECT_EQ(refused, kCallers);
  EXPECT_LT(cost.memory, kBeside);
  AbusedServer::ExpectUndisturbed(cost);
}

TEST(AbuseImagesTest, MemoryGoesBackAfterTheStorm) {
  AbusedServer server;
  ASSERT_TRUE(server.ok());
  const auto stub = ZeroShot::NewStub(server.Connect());
  const pid_t pid = server.process().pid();
  const int64_t before = ResidentBytes(pid);
  for (const DearImage& image : testing_images::DearImages()) {
    const grpc::Status status =
        Classify(server, *stub, image.bytes, absl::Seconds(120));
    EXPECT_TRUE(status.ok()) << image.name << ": " << status.error_message();
  }
  // jemalloc gives back what has been free for 10 s.
  for (int i = 0; i < 600 && ResidentBytes(pid) > before + 64 * kMiB; ++i) {
    absl::SleepFor(absl::Milliseconds(100));
  }
  EXPECT_LT(ResidentBytes(pid), before + 64 * kMiB);
}

// Each image takes more time than its caller has. What the server does for the
// caller is over with the deadline, but for a look's worth of work.
TEST(AbuseImagesTest, ADecodeEndsWithItsCallersDeadline) {
  AbusedServer server;
  ASSERT_TRUE(server.ok());
  const auto stub = ZeroShot::NewStub(server.Connect());
  constexpr absl::Duration kTimeout = absl::Milliseconds(30);
  constexpr int kCalls = 10;
  for (const DearImage& image : testing_images::DearImages()) {
    const absl::Duration before = CpuTime(server.process().pid());
    int late = 0;
    for (int i = 0; i < kCalls; ++i) {
      const grpc::Status status =
          Classify(server, *stub, image.bytes, kTimeout);
      if (status.error_code() == grpc::DEADLINE_EXCEEDED) ++late;
    }
    if (late < kCalls) continue;  // it is quick enough
    EXPECT_LT(CpuTime(server.process().pid()) - before,
              kCalls * (kTimeout + absl::Milliseconds(50)))
        << image.name;
  }
}

TEST(AbuseImagesTest, APngWhoseDataGoesOnIsRefusedAtOnce) {
  AbusedServer server;
  ASSERT_TRUE(server.ok());
  const auto stub = ZeroShot::NewStub(server.Connect());
  const std::string image =
      testing_images::FlatPng(1, 1, 8, 2, int64_t{4} << 30);
  const absl::Duration before = CpuTime(server.process().pid());
  const grpc::Status status = Classify(server, *stub, image, absl::Seconds(60));
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), testing::HasSubstr("after its last row"));
  EXPECT_LT(CpuTime(server.process().pid()) - before, absl::Seconds(1));
}

TEST(AbuseImagesTest, AnImageThatNeedsMoreThanTheBudgetIsRefusedWithNumbers) {
  AbusedServer server({"--decode_memory_bytes=67108864"});
  ASSERT_TRUE(server.ok());
  const auto stub = ZeroShot::NewStub(server.Connect());
  const grpc::Status status =
      Classify(server, *stub, testing_images::FlatJpeg(9'000, 8'000, true),
               absl::Seconds(60));
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(
      status.error_message(),
      testing::HasSubstr("--decode_memory_bytes allows at most 67108864"));
}

}  // namespace
}  // namespace e2e
