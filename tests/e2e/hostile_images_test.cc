// Images made to do harm, sent to the real server: nothing happens to the
// images beside them in the batch, to other callers, or to the process.
#include "tests/testing/hostile_images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "tests/e2e/programs.h"

namespace e2e {
namespace {

using testing_images::HostileImage;
using zeroshot::Client;
using zeroshot::client::Embedding;

const char kImages[] = ZEROSHOT_SOURCE_DIR "/tests/testdata/images";

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Rows of one image in batches of different sizes agree to rounding.
double Distance(const Embedding& a, const Embedding& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(double{a[i]} - b[i]));
  }
  return a.size() == b.size() ? largest : 1;
}
constexpr double kRounding = 0.02;  // bf16

TEST(HostileImagesEndToEndTest, HarmNeitherTheirBatchNorOtherCallers) {
  DemoServer server;
  ASSERT_NE(server.address(), "") << server.process().Errors();
  auto client = *Client::Connect(server.address());
  const std::string good = ReadFile(absl::StrCat(kImages, "/photo.jpg"));
  const auto alone = client->EmbedImages({good});
  ASSERT_TRUE(alone.ok() && (*alone)[0].ok()) << alone.status();

  // Another caller meanwhile.
  const auto built = client->Build({.classes = {{"cat"}, {"dog"}, {"frog"}}});
  ASSERT_TRUE(built.ok()) << built.status();
  std::atomic<bool> stop{false};
  std::atomic<int> answers{0};
  std::thread neighbour([&] {
    const auto first = client->Classify(good, built->weight_set_id());
    EXPECT_TRUE(first.ok()) << first.status();
    while (first.ok() && !stop) {
      const auto answer = client->Classify(good, built->weight_set_id());
      ASSERT_TRUE(answer.ok()) << answer.status();
      EXPECT_EQ(answer->predictions[0].class_index,
                first->predictions[0].class_index);
      EXPECT_NEAR(answer->predictions[0].probability,
                  first->predictions[0].probability, 0.05);
      ++answers;
    }
  });

  const std::vector<HostileImage> corpus =
      testing_images::HostileImages(kImages);
  constexpr size_t kAtOnce = 40;
  int refused = 0, answered = 0;
  for (size_t begin = 0; begin < corpus.size(); begin += kAtOnce) {
    const size_t count = std::min(kAtOnce, corpus.size() - begin);
    std::vector<std::string> batch = {good};
    for (size_t i = 0; i < count; ++i) {
      batch.push_back(corpus[begin + i].bytes);
    }
    batch.push_back(good);
    const auto rows = client->EmbedImages(batch);
    ASSERT_TRUE(rows.ok()) << rows.status();
    for (const auto& row : {rows->front(), rows->back()}) {
      ASSERT_TRUE(row.ok()) << row.status();
      EXPECT_LT(Distance(*row, *(*alone)[0]), kRounding);
    }
    for (size_t i = 0; i < count; ++i) {
      const HostileImage& image = corpus[begin + i];
      const auto& row = (*rows)[i + 1];
      row.ok() ? ++answered : ++refused;
      if (image.outcome == HostileImage::Outcome::kLike) {
        EXPECT_TRUE(row.ok()) << image.name << ": " << row.status();
      } else if (image.outcome != HostileImage::Outcome::kEither) {
        EXPECT_EQ(row.status().code(), absl::StatusCode::kInvalidArgument)
            << image.name << ": " << row.status();
      }
    }
  }
  stop = true;
  neighbour.join();
  EXPECT_GT(answers, 10);
  EXPECT_GT(refused, 1000);
  EXPECT_GT(answered, 100);

  EXPECT_TRUE(client->Health().ok());
  EXPECT_LT(ResidentBytes(server.process().pid()), int64_t{2} << 30);
  server.process().Signal(SIGTERM);
  EXPECT_EQ(server.process().Wait(), 0) << server.process().Errors();
}

}  // namespace
}  // namespace e2e
