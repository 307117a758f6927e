#include "zeroshot/weight_set_finder.h"

#include <atomic>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_model.h"
#include "zeroshot/memory_store.h"

namespace zeroshot {
namespace {

using ::testing::HasSubstr;

// A store that loses weights when it is told to.
class Forgetful : public WeightStore {
 public:
  absl::StatusOr<std::shared_ptr<const WeightSet>> Get(
      absl::string_view id) override {
    if (lost) return WeightSetNotFound(id);
    return store_.Get(id);
  }
  absl::StatusOr<std::shared_ptr<const WeightSet>> GetHeader(
      absl::string_view id) override {
    return store_.GetHeader(id);
  }
  absl::Status Put(std::shared_ptr<const WeightSet> set) override {
    lost = false;
    return store_.Put(std::move(set));
  }
  absl::Status Touch(absl::string_view id) override { return store_.Touch(id); }
  absl::Status Delete(absl::string_view id) override {
    return store_.Delete(id);
  }
  absl::StatusOr<std::vector<WeightSetSummary>> List(absl::string_view after,
                                                     int limit) override {
    return store_.List(after, limit);
  }

  std::atomic<bool> lost{false};

 private:
  MemoryStore store_{1 << 20};
};

class WeightSetFinderTest : public ::testing::Test {
 protected:
  // The id of a set, which has lost its weights.
  std::string BuildAndLose() {
    ClassifierSpec spec;
    spec.classes = {{"cat", {}}, {"dog", {"my dog", "the dog"}}};
    spec.templates = {"a {}", "the {}"};
    const auto built = builder_.Build(spec, Caller(), nullptr);
    EXPECT_TRUE(built.ok()) << built.status();
    weights_ = built->set->weights;
    store_.lost = true;
    return built->set->id;
  }
  // What comes of finding that set with its header changed in the store.
  template <typename Change>
  absl::Status FindChanged(Change change) {
    auto set = std::make_shared<WeightSet>(**store_.GetHeader(BuildAndLose()));
    change(set.get());
    EXPECT_TRUE(store_.Delete(set->id).ok());
    EXPECT_TRUE(store_.Put(set).ok());
    store_.lost = true;
    const absl::Status found = finder_.Find(set->id, Caller()).status();
    EXPECT_TRUE(store_.Delete(set->id).ok());
    return found;
  }

  clip::FakeModel model_;
  clip::Tokenizer tokenizer_;
  Forgetful store_;
  // It must not know the vectors either.
  WeightSetBuilder builder_{&model_, &tokenizer_, &store_, BuildLimits(),
                            1,       nullptr,     0};
  std::atomic<int> rebuilt_{0};
  std::atomic<bool> stopping_{false};
  WeightSetFinder finder_{
      &store_,
      &builder_,
      {.max_waiting = 3,
       .stopping = [this] { return stopping_.load(); },
       .on_rebuilt = [this](const BuildResult&) { ++rebuilt_; }}};
  std::vector<float> weights_;
};

TEST_F(WeightSetFinderTest, ASetWithoutItsWeightsIsBuiltAgain) {
  const std::string id = BuildAndLose();
  const auto found = finder_.Find(id, Caller());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ((*found)->id, id);
  EXPECT_EQ((*found)->weights, weights_);
  EXPECT_EQ(rebuilt_, 1);
  EXPECT_EQ(model_.text_calls(), 2);
  // Now it is there.
  EXPECT_TRUE(finder_.Find(id, Caller()).ok());
  EXPECT_EQ(rebuilt_, 1);
}

TEST_F(WeightSetFinderTest, AnUnknownIdIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(finder_.Find("x", Caller()).status()));
  const std::string id = BuildAndLose();
  ASSERT_TRUE(store_.Delete(id).ok());
  EXPECT_TRUE(absl::IsNotFound(finder_.Find(id, Caller()).status()));
  EXPECT_EQ(rebuilt_, 0);
}

TEST_F(WeightSetFinderTest, WithoutABuilderNothingIsBuilt) {
  const std::string id = BuildAndLose();
  EXPECT_TRUE(
      absl::IsNotFound(WeightSetFinder(&store_).Find(id, Caller()).status()));
}

TEST_F(WeightSetFinderTest, WhatCannotBeBuiltHereSaysWhy) {
  const absl::Status model =
      FindChanged([](WeightSet* set) { set->model_fingerprint = "other"; });
  EXPECT_TRUE(absl::IsFailedPrecondition(model)) << model;
  const absl::Status precision =
      FindChanged([](WeightSet* set) { set->precision = "int8"; });
  EXPECT_TRUE(absl::IsNotFound(precision)) << precision;
  EXPECT_THAT(std::string(precision.message()), HasSubstr("int8"));
  // Of what somebody else stored under this id.
  const absl::Status other =
      FindChanged([](WeightSet* set) { set->templates[0] = "no {}"; });
  EXPECT_TRUE(absl::IsNotFound(other)) << other;
  EXPECT_THAT(std::string(other.message()), HasSubstr("another id"));
  const absl::Status refused =
      FindChanged([](WeightSet* set) { set->templates[0] = "no place"; });
  EXPECT_TRUE(absl::IsNotFound(refused)) << refused;
  const absl::Status imported = FindChanged([](WeightSet* set) {
    set->templates.clear();
    set->own_prompts.clear();
  });
  EXPECT_TRUE(absl::IsNotFound(imported)) << imported;
  EXPECT_THAT(std::string(imported.message()), HasSubstr("import it again"));
  EXPECT_EQ(rebuilt_, 0);
}

TEST_F(WeightSetFinderTest, CallersOfOneSetWaitForOneBuildAndSoManyOnly) {
  const std::string id = BuildAndLose();
  model_.CloseGate();
  std::vector<std::thread> callers;
  std::atomic<int> found{0}, refused{0};
  for (int i = 0; i < 5; ++i) {
    callers.emplace_back([&] {
      const auto set = finder_.Find(id, Caller());
      found += set.ok();
      if (absl::IsResourceExhausted(set.status())) {
        EXPECT_GT(RetryDelay(set.status()), absl::ZeroDuration());
        ++refused;
      }
    });
  }
  while (refused < 2) std::this_thread::yield();
  model_.OpenGate();
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(found, 3);
  EXPECT_EQ(refused, 2);
  EXPECT_EQ(rebuilt_, 1);
  EXPECT_EQ(model_.text_calls(), 2);
}

TEST_F(WeightSetFinderTest, TheCallersDeadlineAndTheServersEndStopTheBuild) {
  const std::string id = BuildAndLose();
  model_.CloseGate();
  Caller caller;
  caller.deadline = absl::Now() + absl::Milliseconds(50);
  EXPECT_TRUE(absl::IsDeadlineExceeded(finder_.Find(id, caller).status()));
  std::thread stop([&] {
    ASSERT_TRUE(model_.WaitForCallsAtGate(1));
    stopping_ = true;
  });
  EXPECT_TRUE(absl::IsUnavailable(finder_.Find(id, Caller()).status()));
  stop.join();
  EXPECT_EQ(rebuilt_, 0);
}

}  // namespace
}  // namespace zeroshot
