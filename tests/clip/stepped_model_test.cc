// The loops over steps and batches, on an backend whose memory and device can
// be taken away.
#include "clip/stepped_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <vector>

#include "absl/algorithm/container.h"

namespace clip {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Le;

constexpr int kContext = 8;

// Rows of one number: of an image its first byte, of a text the sum of its
// tokens.
class FakeBackend : public Backend {
 public:
  explicit FakeBackend(const Plan& plan) : plan_(plan) {}

  const Plan& plan() const override { return plan_; }

  absl::Status EncodeImages(absl::Span<const absl::Span<const uint8_t>> crops,
                            float* rows) override {
    ++calls;
    if (!error.ok()) return error;
    if (crops.size() > image_room) return absl::ResourceExhaustedError("full");
    for (const absl::Span<const uint8_t> crop : crops) *rows++ = crop[0];
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<HostRows>> EncodeText(
      absl::Span<const TextStep> round,
      const std::function<void()>& meanwhile) override {
    ++calls;
    if (!error.ok()) return error;
    if (prepare_early) {
      computing = true;
      meanwhile();
      computing = false;
    }
    std::vector<HostRows> all;
    for (const TextStep& step : round) {
      if (step.trie.num_nodes() > node_room)
        return absl::ResourceExhaustedError("full");
      steps.push_back(step.trie.num_nodes());
      auto rows = std::make_shared<std::vector<float>>();
      for (const int32_t end : step.trie.ends) {
        float sum = 0;
        for (int32_t i = step.trie.offsets[end]; i < step.trie.offsets[end + 1];
             ++i) {
          sum += step.trie.tokens[step.trie.ancestors[i]];
        }
        rows->push_back(sum);
      }
      all.push_back({rows, rows->data()});
    }
    return all;
  }

  int64_t Positions(const TokenTrie& trie) const override {
    return trie.num_nodes();
  }
  absl::StatusOr<std::string> WarmUp() override { return "graphs"; }
  void FreeCached() override { ++freed; }

  bool prepare_early = true, computing = false;
  size_t image_room = 1000;
  int64_t node_room = 1000;
  absl::Status error;
  std::vector<int64_t> steps;  // nodes of those computed
  int calls = 0, freed = 0;

 private:
  const Plan plan_;
};

class SteppedModelTest : public ::testing::TestWithParam<bool> {
 protected:
  SteppedModelTest() {
    Make({.max_batch = 8, .step_nodes = 32, .round_steps = 2});
    for (int i = 0; i < 100; ++i)
      sequences_.push_back({1, 300 - i, 2 * i, 999});
  }

  void Make(const Backend::Plan& plan) {
    auto backend = std::make_unique<FakeBackend>(plan);
    backend_ = backend.get();
    backend_->prepare_early = GetParam();
    ModelInfo info;
    info.preprocessing.crop = 1;
    info.context_length = kContext;
    info.vocab_size = 1000;
    info.embedding_dim = 1;
    model_ = std::make_unique<SteppedModel>(std::move(backend), info,
                                            Architecture());
  }

  absl::StatusOr<std::vector<float>> EncodeImages(int n) {
    std::vector<std::vector<uint8_t>> crops;
    for (int i = 0; i < n; ++i)
      crops.push_back({static_cast<uint8_t>(i), 0, 0});
    return model_->EncodeImages(
        std::vector<absl::Span<const uint8_t>>(crops.begin(), crops.end()));
  }

  // Every sequence's row must come once, and be right.
  absl::Status EncodeTexts() {
    std::vector<int> seen(sequences_.size());
    const auto positions = model_->EncodeText(
        sequences_,
        [&](int64_t sequence, absl::Span<const float> row) {
          ++seen[sequence];
          float sum = 0;
          for (const int32_t id : sequences_[sequence]) sum += id;
          EXPECT_THAT(row, ElementsAre(sum));
        },
        nullptr);
    if (positions.ok()) {
      EXPECT_THAT(seen, Each(1));
    }
    return positions.status();
  }

  FakeBackend* backend_;
  std::unique_ptr<SteppedModel> model_;
  std::vector<std::vector<int32_t>> sequences_;
};

TEST_P(SteppedModelTest, InfoSaysWhatTheBackendDecided) {
  EXPECT_EQ(model_->info().max_batch, 8);
  EXPECT_TRUE(model_->WarmUp().ok());
  EXPECT_EQ(model_->info().graphs, "graphs");
}

TEST_P(SteppedModelTest, ImagesComeBackInOrder) {
  const auto rows = EncodeImages(20);
  ASSERT_TRUE(rows.ok()) << rows.status();
  for (int i = 0; i < 20; ++i) EXPECT_EQ((*rows)[i], i);
  EXPECT_EQ(backend_->calls, 3);
}

TEST_P(SteppedModelTest, ABatchThatDoesNotFitIsHalved) {
  backend_->image_room = 3;
  const auto rows = EncodeImages(20);
  ASSERT_TRUE(rows.ok()) << rows.status();
  for (int i = 0; i < 20; ++i) EXPECT_EQ((*rows)[i], i);
  EXPECT_EQ(backend_->freed, 2);
  EXPECT_EQ(backend_->calls, 12);
}

TEST_P(SteppedModelTest, ImagesFailWhereNotEvenOneFits) {
  backend_->image_room = 0;
  EXPECT_EQ(EncodeImages(20).status().code(),
            absl::StatusCode::kResourceExhausted);
  backend_->image_room = 1000;
  EXPECT_TRUE(EncodeImages(20).ok());
}

TEST_P(SteppedModelTest, EveryTextComesOnce) {
  EXPECT_TRUE(EncodeTexts().ok());
  EXPECT_THAT(backend_->steps, Each(Le(32)));
  EXPECT_EQ(backend_->freed, 0);
}

TEST_P(SteppedModelTest, AStepThatDoesNotFitIsCutInTwoAndNoTextIsLost) {
  backend_->node_room = 10;
  EXPECT_TRUE(EncodeTexts().ok());
  EXPECT_THAT(backend_->steps, Each(Le(10)));
  EXPECT_EQ(backend_->freed, 2);
  EXPECT_TRUE(EncodeTexts().ok());
  EXPECT_EQ(backend_->freed, 2);  // the size is remembered
}

TEST_P(SteppedModelTest, TextsFailWhereTheSmallestStepDoesNotFit) {
  backend_->node_room = 3;
  EXPECT_EQ(EncodeTexts().code(), absl::StatusCode::kResourceExhausted);
  backend_->node_room = 1000;
  EXPECT_TRUE(EncodeTexts().ok());
}

TEST_P(SteppedModelTest, OneLongTextThatDoesNotFitFailsAtOnce) {
  sequences_ = {{1, 2, 3, 4, 5, 6, 7, 999}};
  backend_->node_room = 5;
  EXPECT_EQ(EncodeTexts().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(backend_->calls, 1);
}

TEST_P(SteppedModelTest, ATextLongerThanAStepThatDoesNotFitFailsToo) {
  Make({.max_batch = 8, .step_nodes = 4, .round_steps = 2});
  sequences_ = {{1, 2, 3, 4, 5, 6, 7, 999}};
  EXPECT_TRUE(EncodeTexts().ok());
  backend_->node_room = 5;
  EXPECT_EQ(EncodeTexts().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(backend_->calls, 2);
}

TEST_P(SteppedModelTest, ALostDeviceIsNotAskedAgain) {
  backend_->error = absl::UnavailableError("device cuda:1 is lost: fault");
  EXPECT_EQ(EncodeImages(1).status(), backend_->error);
  EXPECT_EQ(backend_->calls, 1);
  EXPECT_EQ(EncodeTexts(), backend_->error);
  EXPECT_EQ(EncodeImages(1).status(), backend_->error);
  EXPECT_EQ(backend_->calls, 1);
}

TEST_P(SteppedModelTest, OtherErrorsAreOfOneCall) {
  backend_->error = absl::InternalError("odd");
  EXPECT_EQ(EncodeTexts(), backend_->error);
  backend_->error = absl::OkStatus();
  EXPECT_TRUE(EncodeTexts().ok());
}

TEST_P(SteppedModelTest, ACancelledCallStopsWithinARound) {
  int calls = 0, rows = 0;
  int64_t told = 0;
  const auto stopped = model_->EncodeText(
      sequences_, [&](int64_t, absl::Span<const float>) { ++rows; },
      [&](int64_t, int64_t, int64_t positions) {
        told = positions;
        return ++calls < 2;
      });
  EXPECT_EQ(stopped.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(backend_->calls, 2);
  // What was computed is handed over: three tokens of its own each, and one in
  // each step that all share.
  EXPECT_EQ(rows * 3, told - 2 * 2);
}

TEST_P(SteppedModelTest, RowsAreHandedOverWhileTheNextRoundComputes) {
  int meanwhile = 0, after = 0;
  const auto positions = model_->EncodeText(
      sequences_,
      [&](int64_t, absl::Span<const float>) {
        ++(backend_->computing ? meanwhile : after);
      },
      [&](int64_t, int64_t, int64_t) {
        EXPECT_FALSE(backend_->computing);
        return true;
      });
  ASSERT_TRUE(positions.ok()) << positions.status();
  EXPECT_EQ(meanwhile + after, 100);
  // The last round has none after it.
  EXPECT_EQ(meanwhile > after, GetParam());
  EXPECT_GT(after, 0);
}

TEST_P(SteppedModelTest, RowsComputedBeforeAFailureAreHandedOver) {
  std::vector<int> seen(sequences_.size());
  int64_t told = 0;
  const auto positions = model_->EncodeText(
      sequences_,
      [&](int64_t sequence, absl::Span<const float>) { ++seen[sequence]; },
      [&](int64_t, int64_t, int64_t positions) {
        told = positions;
        if (backend_->calls == 3) backend_->error = absl::InternalError("odd");
        return true;
      });
  EXPECT_EQ(positions.status(), backend_->error);
  EXPECT_EQ(absl::c_accumulate(seen, 0) * 3, told - 3 * 2);
  EXPECT_THAT(seen, Each(Le(1)));
}

TEST_P(SteppedModelTest, WhatTheSinkThrowsReachesTheCaller) {
  int rows = 0;
  const auto sink = [&](int64_t, absl::Span<const float>) {
    if (++rows == 3) throw std::bad_alloc();
  };
  EXPECT_THROW(model_->EncodeText(sequences_, sink, nullptr).IgnoreError(),
               std::bad_alloc);
  EXPECT_EQ(rows, 3);
  EXPECT_TRUE(EncodeTexts().ok());
}

INSTANTIATE_TEST_SUITE_P(Backends, SteppedModelTest, ::testing::Bool(),
                         [](const auto& info) {
                           return info.param ? "PreparesTheNextRoundEarly"
                                             : "OneRoundAtATime";
                         });

}  // namespace
}  // namespace clip
