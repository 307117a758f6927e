#include "zeroshot/embedder.h"

#include <atomic>
#include <cmath>
#include <memory>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "base/utf8.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/make_png.h"

namespace zeroshot {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using testing_images::MakePng;

class EmbedderTest : public ::testing::Test {
 protected:
  std::vector<float> Row(const Embeddings& embeddings, int i) {
    const int dim = model_.info().embedding_dim;
    return {embeddings.rows.begin() + i * dim,
            embeddings.rows.begin() + (i + 1) * dim};
  }

  clip::FakeModel model_;
  Embedder embedder_{
      &model_, {.max_batch = 4, .max_image_bytes = 100'000, .decode = {}}};
};

TEST_F(EmbedderTest, AnItemsRowDoesNotDependOnTheOthers) {
  const std::string a = MakePng(1), b = MakePng(2);
  const auto together = embedder_.EmbedImages({a, b, a}, base::Caller());
  const auto alone = embedder_.EmbedImages({b}, base::Caller());
  ASSERT_TRUE(together.ok()) << together.status();
  EXPECT_EQ(Row(*together, 1), Row(*alone, 0));
  EXPECT_EQ(Row(*together, 0), Row(*together, 2));
  EXPECT_NE(Row(*together, 0), Row(*together, 1));
}

TEST_F(EmbedderTest, AnItemThatIsNoImageFailsAlone) {
  const std::string good = MakePng(1);
  const auto result = embedder_.EmbedImages({"garbage", good}, base::Caller());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(absl::IsInvalidArgument(result->statuses[0]));
  EXPECT_TRUE(result->statuses[1].ok());
  EXPECT_THAT(Row(*result, 0), Each(0));
  EXPECT_NE(Row(*result, 1), Row(*result, 0));
}

TEST_F(EmbedderTest, AFileOverTheLimitIsRefusedUnread) {
  const std::string large(100'001, 'x');
  const auto result = embedder_.EmbedImages({large}, base::Caller());
  ASSERT_TRUE(result.ok());
  EXPECT_THAT(std::string(result->statuses[0].message()),
              AllOf(HasSubstr("100001"), HasSubstr("100000")));
}

TEST_F(EmbedderTest, MoreItemsThanABatchAreAllAnswered) {
  std::vector<std::string> files;
  for (uint32_t i = 0; i < 11; ++i) files.push_back(MakePng(i));
  const std::vector<absl::string_view> images(files.begin(), files.end());
  const auto result = embedder_.EmbedImages(images, base::Caller());
  ASSERT_TRUE(result.ok());
  EXPECT_THAT(result->rows, SizeIs(11 * model_.info().embedding_dim));
  EXPECT_EQ(model_.image_batches(), 3);
  for (int i = 0; i < 11; ++i) {
    double square = 0;
    for (float x : Row(*result, i)) square += double{x} * x;
    EXPECT_NEAR(square, 1, 1e-5);
  }
}

TEST_F(EmbedderTest, ImagesOfDifferentCallersShareABatch) {
  model_.CloseGate();
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < 5; ++i) {
    threads.emplace_back([this, i] {
      EXPECT_TRUE(embedder_.EmbedImages({MakePng(i)}, base::Caller()).ok());
    });
    if (i == 0) {
      EXPECT_TRUE(model_.WaitForCallsAtGate(1));
    }
  }
  while (embedder_.queued() < 4) std::this_thread::yield();
  model_.OpenGate();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(model_.image_batches(), 2);
}

TEST_F(EmbedderTest, ACallerWhoseDeadlinePassedGetsThat) {
  base::Caller late;
  late.deadline = absl::InfinitePast();
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      embedder_.EmbedImages({MakePng(1)}, late).status()));
  EXPECT_TRUE(
      absl::IsDeadlineExceeded(embedder_.EmbedTexts({"a"}, late).status()));
  base::Caller gone;
  gone.gone = [] { return true; };
  EXPECT_TRUE(absl::IsCancelled(embedder_.EmbedTexts({"a"}, gone).status()));
}

TEST_F(EmbedderTest, NotesItsStepsForWhoAsks) {
  std::vector<std::string> files;
  for (uint32_t i = 0; i < 5; ++i) files.push_back(MakePng(i));
  const std::vector<absl::string_view> images(files.begin(), files.end());
  base::Steps steps;
  base::Caller caller;
  caller.steps = &steps;
  ASSERT_TRUE(embedder_.EmbedImages(images, caller).ok());
  // The tower takes 4, and half a batch of one call before others' images.
  int decodes = 0, queued = 0, ran = 0;
  for (const base::Steps::Step& step : steps.Take()) {
    const std::string name = step.name;
    decodes += name == "decode" ? 1 : 0;
    EXPECT_LE(step.start, step.end) << name;
    for (const base::Steps::Fact& fact : step.facts) {
      if (std::string(fact.name) != "images") continue;
      (name == "queue" ? queued : ran) += static_cast<int>(fact.value);
    }
  }
  EXPECT_EQ(decodes, 5);
  EXPECT_EQ(queued, 5);
  EXPECT_EQ(ran, 5);
}

// An item's decode that is stopped is the whole call's end, not the item's.
TEST_F(EmbedderTest, ACallerWhoGoesDuringADecodeEndsTheCall) {
  const std::string large = MakePng(1, 3'000, 2'000);
  Embedder embedder{&model_, {.max_batch = 4, .decode = {}}};
  std::atomic<int> looks{0};
  base::Caller caller;
  caller.gone = [&] { return ++looks >= 3; };
  EXPECT_TRUE(
      absl::IsCancelled(embedder.EmbedImages({large, large}, caller).status()));
  // Before the first item and within it, and one of another thread.
  EXPECT_GE(looks, 3);
  EXPECT_LE(looks, 4);
  EXPECT_EQ(embedder.decodes().bytes, 0);
  EXPECT_EQ(embedder.decodes().running, 0);
}

TEST_F(EmbedderTest, AnImageThatNeedsMoreThanTheBudgetFailsAlone) {
  Embedder embedder{
      &model_, {.max_batch = 4, .decode_memory_bytes = 1 << 20, .decode = {}}};
  const std::string small = MakePng(1), wide = MakePng(2, 30'000, 30);
  const auto result = embedder.EmbedImages({wide, small}, base::Caller());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(std::string(result->statuses[0].message()),
              AllOf(HasSubstr("image of 30000 x 30 pixels needs "),
                    HasSubstr("--decode_memory_bytes allows at most 1048576")));
  EXPECT_TRUE(result->statuses[1].ok()) << result->statuses[1];
}

// A model whose host memory runs out once.
class ExhaustedModel : public clip::FakeModel {
 public:
  absl::StatusOr<std::vector<float>> EncodeImages(
      absl::Span<const absl::Span<const uint8_t>> crops) override {
    if (!std::exchange(thrown_, true)) throw std::bad_alloc();
    return FakeModel::EncodeImages(crops);
  }

 private:
  bool thrown_ = false;
};

TEST_F(EmbedderTest, ABatchThatRunsOutOfMemoryIsTheFailureOfItsCalls) {
  ExhaustedModel model;
  Embedder embedder(&model, {});
  EXPECT_TRUE(absl::IsResourceExhausted(
      embedder.EmbedImages({MakePng(1)}, base::Caller()).status()));
  const auto next = embedder.EmbedImages({MakePng(1)}, base::Caller());
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_TRUE(next->statuses[0].ok()) << next->statuses[0];
}

TEST_F(EmbedderTest, AnEmbeddingThatIsNotFiniteIsAnErrorAndIsNotKept) {
  model_.SetImageRows(clip::FakeModel::Rows::kNaN);
  model_.SetTextRows(clip::FakeModel::Rows::kNaN);
  Embedder embedder(&model_, {.image_cache_bytes = 1 << 20, .decode = {}});
  const std::string image = MakePng(1);
  EXPECT_EQ(embedder.EmbedImages({image}, base::Caller()).status().code(),
            absl::StatusCode::kInternal);
  const absl::Status text =
      embedder.EmbedTexts({"a", "b"}, base::Caller()).status();
  EXPECT_EQ(text.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(text.message()), HasSubstr("text 0 ('a')"));
  model_.SetImageRows(clip::FakeModel::Rows::kRight);
  const auto again = embedder.EmbedImages({image}, base::Caller());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->num_cached(), 0);
}

TEST_F(EmbedderTest, PendingCountsImagesUntilTheyHaveARow) {
  EXPECT_EQ(embedder_.pending(), 0);
  model_.CloseGate();
  std::thread images([&] {
    const std::string a = MakePng(1), b = MakePng(2);
    EXPECT_TRUE(embedder_.EmbedImages({a, "garbage", b}, base::Caller()).ok());
  });
  ASSERT_TRUE(model_.WaitForCallsAtGate(1));
  // What is no image will not be in front of anybody.
  EXPECT_EQ(embedder_.pending(), 2);
  std::thread texts([&] {
    EXPECT_TRUE(embedder_.EmbedTexts({"a", "b", "c"}, base::Caller()).ok());
  });
  ASSERT_TRUE(model_.WaitForCallsAtGate(2));
  EXPECT_EQ(embedder_.pending(), 2);
  model_.OpenGate();
  images.join(), texts.join();
  EXPECT_EQ(embedder_.pending(), 0);
}

TEST_F(EmbedderTest, PendingForgetsACallThatFailed) {
  model_.CloseGate();
  const std::string image = MakePng(1);
  std::thread first([&] {
    EXPECT_TRUE(embedder_.EmbedImages({image}, base::Caller()).ok());
  });
  ASSERT_TRUE(model_.WaitForCallsAtGate(1));
  base::Caller impatient;
  impatient.deadline = base::MonotonicNow() + absl::Milliseconds(20);
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      embedder_.EmbedImages({image, image}, impatient).status()));
  EXPECT_EQ(embedder_.pending(), 1);
  model_.OpenGate();
  first.join();
  EXPECT_EQ(embedder_.pending(), 0);
}

TEST(EmbedderOnSeveralDevicesTest, BatchesRunOnAllOfThemAtOnce) {
  const clip::FakeDevices devices = clip::MakeFakeDevices(2);
  const std::vector<clip::FakeModel*>& fakes = devices.fakes;
  Embedder embedder(devices.model.get(), {});
  for (clip::FakeModel* fake : fakes) fake->CloseGate();
  std::vector<std::thread> calls;
  std::atomic<int> failed{0};
  const auto call = [&] {
    const std::string image = MakePng(1);
    failed += !embedder.EmbedImages({image}, {}).ok();
  };
  // Those that queue together are one batch of one device: the second call
  // comes when the first is at a device.
  calls.emplace_back(call);
  const auto at_gate = [&](int device, absl::Duration timeout) {
    return fakes[device]->WaitForCallsAtGate(1, timeout);
  };
  int first = 0;
  for (int i = 0; i < 20'000 && !at_gate(first, absl::Milliseconds(1)); ++i) {
    first = 1 - first;
  }
  calls.emplace_back(call);
  EXPECT_TRUE(at_gate(1 - first, absl::Seconds(20)));
  calls.emplace_back(call);
  // One device goes: its batch is run by the other, whose next is one batch.
  fakes[0]->LoseDevice();
  fakes[1]->OpenGate();
  for (std::thread& thread : calls) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(devices.model->devices_left(), 1);
}

class ImageCacheTest : public ::testing::Test {
 protected:
  absl::StatusOr<Embeddings> Embed(Embedder& embedder, const std::string& png,
                                   Reuse reuse = Reuse::kIfKnown) {
    return embedder.EmbedImages({png}, base::Caller(), reuse);
  }

  clip::FakeModel model_;
  Embedder embedder_{
      &model_,
      {.image_cache_bytes = 1 << 20, .max_image_bytes = 100'000, .decode = {}}};
};

TEST_F(ImageCacheTest, AKnownImageIsNeitherDecodedNorRun) {
  const std::string png = MakePng(1);
  const auto first = Embed(embedder_, png);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->num_cached(), 0);
  const auto again = Embed(embedder_, png);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->num_cached(), 1);
  EXPECT_EQ(again->rows, first->rows);
  EXPECT_EQ(again->timing().decode, absl::ZeroDuration());
  EXPECT_EQ(again->timing().compute, absl::ZeroDuration());
  EXPECT_EQ(model_.image_batches(), 1);
  const VectorCache::Stats stats = embedder_.image_cache();
  EXPECT_EQ(stats.hits, 1);
  EXPECT_EQ(stats.misses, 1);
  EXPECT_GT(stats.bytes, 64 * sizeof(float));
  EXPECT_EQ(stats.max_bytes, 1 << 20);
}

TEST_F(ImageCacheTest, KnownAndNewImagesOfOneCallKeepTheirPlaces) {
  const std::string a = MakePng(1), b = MakePng(2), c = MakePng(3);
  const auto known = Embed(embedder_, b);
  const auto mixed =
      embedder_.EmbedImages({a, "garbage", b, c}, base::Caller());
  ASSERT_TRUE(mixed.ok()) << mixed.status();
  EXPECT_EQ(mixed->num_cached(), 1);
  EXPECT_TRUE(absl::IsInvalidArgument(mixed->statuses[1]));
  const auto row = [&](int i) {
    return std::vector<float>(mixed->rows.begin() + i * 64,
                              mixed->rows.begin() + (i + 1) * 64);
  };
  EXPECT_EQ(row(2), known->rows);
  EXPECT_EQ(row(0), Embed(embedder_, a, Reuse::kNever)->rows);
  EXPECT_EQ(row(3), Embed(embedder_, c, Reuse::kNever)->rows);
}

TEST_F(ImageCacheTest, WhoAsksForTheTowerGetsIt) {
  const std::string png = MakePng(1);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(Embed(embedder_, png, Reuse::kNever).ok());
  }
  EXPECT_EQ(model_.image_batches(), 2);
  EXPECT_EQ(Embed(embedder_, png)->num_cached(), 0);  // nor was it kept
  EXPECT_TRUE(Embed(embedder_, png, Reuse::kNever).ok());
  EXPECT_EQ(model_.image_batches(), 4);
}

TEST_F(ImageCacheTest, IsOffUnlessAskedFor) {
  Embedder embedder(&model_, EmbedderOptions());
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Embed(embedder, MakePng(1))->num_cached(), 0);
  }
  EXPECT_EQ(model_.image_batches(), 2);
  EXPECT_EQ(embedder.image_cache().misses, 0);
}

TEST_F(ImageCacheTest, FailuresAreNotKept) {
  for (int i = 0; i < 2; ++i) {
    const auto result = Embed(embedder_, "garbage");
    ASSERT_TRUE(result.ok());
    EXPECT_TRUE(absl::IsInvalidArgument(result->statuses[0]));
  }
  EXPECT_EQ(embedder_.image_cache().bytes, 0);
}

TEST_F(ImageCacheTest, StaysWithinItsBytes) {
  constexpr int64_t kBytes = 5000;
  Embedder embedder(&model_, {.image_cache_bytes = kBytes, .decode = {}});
  for (uint32_t i = 0; i < 50; ++i) {
    ASSERT_TRUE(Embed(embedder, MakePng(i)).ok());
    ASSERT_LE(embedder.image_cache().bytes, kBytes);
  }
  EXPECT_GT(embedder.image_cache().bytes, kBytes / 2);
  EXPECT_EQ(Embed(embedder, MakePng(49))->num_cached(), 1);
  EXPECT_EQ(Embed(embedder, MakePng(0))->num_cached(), 0);
}

// Strings on the wire must be UTF-8, so a quotation may not end inside a
// character.
TEST_F(EmbedderTest, MessagesThatQuoteAreUtf8) {
  for (const std::string text : {"", "x", "xx", "\xff"}) {
    std::string prompt = text;
    for (int i = 0; i < 100; ++i) prompt += "猫 ";
    const auto result = embedder_.EmbedTexts({prompt}, base::Caller());
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(absl::IsInvalidArgument(result->statuses[0]));
    EXPECT_TRUE(base::DecodeUtf8(result->statuses[0].message()).ok());
  }
}

TEST_F(EmbedderTest, ATextTooLongForTheModelFailsAloneAndIsQuoted) {
  std::string text = "start";
  for (int i = 0; i < 100; ++i) text += " word";
  const auto result =
      embedder_.EmbedTexts({"a cat", text, "a dog"}, base::Caller());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->statuses[0].ok());
  EXPECT_TRUE(absl::IsInvalidArgument(result->statuses[1]));
  EXPECT_THAT(
      std::string(result->statuses[1].message()),
      AllOf(HasSubstr("start word"), HasSubstr("103 tokens"), HasSubstr("77")));
  EXPECT_THAT(Row(*result, 1), Each(0));
  EXPECT_EQ(Row(*result, 2),
            Row(*embedder_.EmbedTexts({"a dog"}, base::Caller()), 0));
}

}  // namespace
}  // namespace zeroshot
