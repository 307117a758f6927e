#include "clip/replicated_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <new>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/testing/encode_text.h"
#include "tests/testing/fake_model.h"

namespace clip {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int kDim = 64, kSize = 8;
constexpr int kMany = 5'000;  // sequences: enough to be split

std::vector<uint8_t> Crop(uint8_t seed) {
  return std::vector<uint8_t>(size_t{3} * kSize * kSize, seed);
}

std::vector<std::vector<int32_t>> ManySequences(int count = kMany) {
  std::vector<std::vector<int32_t>> sequences;
  for (int i = 0; i < count; ++i) sequences.push_back({i % 7, i, 49'000});
  return sequences;
}

void Ignore(int64_t, absl::Span<const float>) {}

// `count` fakes as one model. They live as long as it does.
class ReplicatedModelTest : public ::testing::Test {
 protected:
  void Make(int count) {
    FakeDevices made = MakeFakeDevices(count, "pci");
    fakes_ = made.fakes;
    model_ = std::move(made.model);
    model_->SetOnDeviceLost([this](const LostDevice& device) {
      base::MutexLock lock(&mu_);
      told_.push_back(absl::StrCat(device.name, ": ", device.why.message()));
    });
  }

  absl::StatusOr<std::vector<float>> EncodeImage(uint8_t seed) {
    const std::vector<uint8_t> crop = Crop(seed);
    return model_->EncodeImages({crop});
  }

  std::vector<std::string> told() {
    base::MutexLock lock(&mu_);
    return told_;
  }

  std::vector<int> texts() {
    std::vector<int> texts;
    for (FakeModel* fake : fakes_) texts.push_back(fake->texts());
    return texts;
  }

  FakeModel other_{kDim, kSize};  // knows the right rows
  std::vector<FakeModel*> fakes_;
  std::unique_ptr<ReplicatedModel> model_;
  base::Mutex mu_;
  std::vector<std::string> told_ ABSL_GUARDED_BY(mu_);
};

TEST_F(ReplicatedModelTest, InfoIsThatOfOneWithAllDevices) {
  Make(3);
  EXPECT_EQ(model_->info().device, "cuda:0,1,2");
  ASSERT_THAT(model_->info().devices, SizeIs(3));
  EXPECT_EQ(model_->info().devices[1].name, "cuda:1");
  EXPECT_EQ(model_->info().devices[1].pci_bus_id, "pci1");
  EXPECT_EQ(model_->info().batches_at_once, 3);
  EXPECT_EQ(model_->info().fingerprint, other_.info().fingerprint);
  EXPECT_EQ(model_->devices_left(), 3);
  EXPECT_THAT(model_->lost_devices(), IsEmpty());
}

TEST_F(ReplicatedModelTest, ImagesGoToTheFreestDevice) {
  Make(3);
  for (FakeModel* fake : fakes_) fake->CloseGate();
  std::vector<std::future<bool>> calls;
  for (int i = 0; i < 6; ++i) {
    calls.push_back(std::async(std::launch::async,
                               [this, i] { return EncodeImage(i).ok(); }));
    // Each has one before any has two.
    ASSERT_TRUE(fakes_[i % 3]->WaitForCallsAtGate(1 + i / 3));
  }
  fakes_[1]->OpenGate();
  EXPECT_TRUE(calls[1].get());
  EXPECT_TRUE(calls[4].get());
  EXPECT_TRUE(EncodeImage(9).ok());  // waits for none that is busy
  EXPECT_EQ(fakes_[1]->image_batches(), 3);
  fakes_[0]->OpenGate();
  fakes_[2]->OpenGate();
  for (int i : {0, 2, 3, 5}) EXPECT_TRUE(calls[i].get());
}

TEST_F(ReplicatedModelTest, IdleDevicesTakeTurns) {
  Make(2);
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(EncodeImage(i).ok());
  EXPECT_EQ(fakes_[0]->image_batches(), 3);
  EXPECT_EQ(fakes_[1]->image_batches(), 3);
}

TEST_F(ReplicatedModelTest, ALostDeviceCostsItsCallsTimeAndNoMore) {
  Make(2);
  fakes_[0]->LoseDevice();
  for (int i = 0; i < 4; ++i) {
    const auto row = EncodeImage(i);
    ASSERT_TRUE(row.ok()) << row.status();
    const std::vector<uint8_t> crop = Crop(i);
    EXPECT_EQ(*row, *other_.EncodeImages({crop}));
  }
  EXPECT_EQ(fakes_[0]->image_batches(), 1);  // never asked again
  EXPECT_EQ(model_->devices_left(), 1);
  ASSERT_THAT(model_->lost_devices(), SizeIs(1));
  EXPECT_EQ(model_->lost_devices()[0].name, "cuda:0");
  EXPECT_THAT(told(), ElementsAre("cuda:0: cuda:0 has broken"));
}

TEST_F(ReplicatedModelTest, ADeviceLostUnderManyCallsIsToldOfOnce) {
  Make(2);
  for (FakeModel* fake : fakes_) fake->CloseGate();
  std::vector<std::future<bool>> calls;
  for (int i = 0; i < 8; ++i) {
    calls.push_back(std::async(std::launch::async,
                               [this, i] { return EncodeImage(i).ok(); }));
  }
  ASSERT_TRUE(fakes_[0]->WaitForCallsAtGate(4));
  fakes_[0]->LoseDevice();
  ASSERT_TRUE(fakes_[1]->WaitForCallsAtGate(8));
  fakes_[1]->OpenGate();
  for (auto& call : calls) EXPECT_TRUE(call.get());
  EXPECT_THAT(told(), SizeIs(1));
}

TEST_F(ReplicatedModelTest, WithNoDeviceLeftEveryCallIsUnavailable) {
  Make(2);
  for (FakeModel* fake : fakes_) fake->LoseDevice();
  const absl::Status image = EncodeImage(1).status();
  EXPECT_TRUE(absl::IsUnavailable(image)) << image;
  EXPECT_THAT(std::string(image.message()),
              AllOf(HasSubstr("no device is left"), HasSubstr("cuda:0,1")));
  EXPECT_TRUE(
      absl::IsUnavailable(testing::EncodeText(*model_, {{1, 2}}).status()));
  EXPECT_TRUE(absl::IsUnavailable(
      testing::EncodeText(*model_, ManySequences()).status()));
  EXPECT_EQ(model_->devices_left(), 0);
  EXPECT_THAT(told(), SizeIs(2));
}

TEST_F(ReplicatedModelTest, WhoAsksLateIsToldOfWhatWasLostBefore) {
  Make(2);
  fakes_[1]->LoseDevice();
  EXPECT_TRUE(EncodeImage(1).ok());
  EXPECT_TRUE(EncodeImage(2).ok());
  std::vector<std::string> late;
  model_->SetOnDeviceLost(
      [&](const LostDevice& device) { late.push_back(device.name); });
  EXPECT_THAT(late, ElementsAre("cuda:1"));
}

TEST_F(ReplicatedModelTest, OutOfMemoryIsTriedElsewhereAndTakesNoDeviceOut) {
  Make(2);
  fakes_[0]->RunOutOfMemory(true);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(EncodeImage(i).ok());
  EXPECT_TRUE(testing::EncodeText(*model_, ManySequences()).ok());
  EXPECT_EQ(model_->devices_left(), 2);
  fakes_[1]->RunOutOfMemory(true);
  EXPECT_TRUE(absl::IsResourceExhausted(EncodeImage(1).status()));
  EXPECT_TRUE(absl::IsResourceExhausted(
      testing::EncodeText(*model_, ManySequences()).status()));
  fakes_[0]->RunOutOfMemory(false);
  EXPECT_TRUE(EncodeImage(1).ok());
  EXPECT_THAT(told(), IsEmpty());
}

TEST_F(ReplicatedModelTest, ErrorsOfTheCallerAreNoFaultOfTheDevice) {
  Make(2);
  const std::vector<uint8_t> small(3);
  EXPECT_TRUE(absl::IsInvalidArgument(model_->EncodeImages({small}).status()));
  auto sequences = ManySequences();
  sequences[4321] = {};
  bool any = false;
  const absl::Status status =
      model_
          ->EncodeText(
              sequences, [&](int64_t, absl::Span<const float>) { any = true; },
              nullptr)
          .status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("sequence 4321 has 0"));
  EXPECT_FALSE(any);
  EXPECT_THAT(texts(), Each(0));
  EXPECT_EQ(model_->devices_left(), 2);
}

TEST_F(ReplicatedModelTest, TextIsSplitOverTheDevices) {
  Make(3);
  const auto sequences = ManySequences();
  // Until each has a piece none goes on.
  for (FakeModel* fake : fakes_) fake->CloseGate();
  auto rows = std::async(std::launch::async, [&] {
    return testing::EncodeText(*model_, sequences);
  });
  for (FakeModel* fake : fakes_) ASSERT_TRUE(fake->WaitForCallsAtGate(1));
  for (FakeModel* fake : fakes_) fake->OpenGate();
  const auto all = rows.get();
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(*all, *testing::EncodeText(other_, sequences));
  EXPECT_THAT(texts(), Each(Gt(0)));
  EXPECT_EQ(texts()[0] + texts()[1] + texts()[2], kMany);
}

// Remembers what a device was given.
class RecordingModel : public FakeModel {
 public:
  using FakeModel::FakeModel;
  absl::StatusOr<int64_t> EncodeText(
      absl::Span<const std::vector<int32_t>> sequences, const TextSink& sink,
      const TextProgress& progress) override {
    pieces.emplace_back(sequences.begin(), sequences.end());
    return FakeModel::EncodeText(sequences, sink, progress);
  }
  std::vector<std::vector<std::vector<int32_t>>> pieces;
};

TEST_F(ReplicatedModelTest, APieceIsARangeOfTheSortedSequences) {
  std::vector<std::unique_ptr<Model>> replicas;
  std::vector<RecordingModel*> recording;
  for (int i = 0; i < 2; ++i) {
    auto fake = std::make_unique<RecordingModel>(
        kDim, kSize, Device{absl::StrCat("cuda:", i), ""});
    recording.push_back(fake.get());
    replicas.push_back(std::move(fake));
  }
  ReplicatedModel model(std::move(replicas));
  ASSERT_TRUE(testing::EncodeText(model, ManySequences()).ok());
  std::vector<std::vector<int32_t>> sorted = ManySequences();
  std::sort(sorted.begin(), sorted.end());
  size_t seen = 0;
  for (const RecordingModel* fake : recording) {
    for (const auto& piece : fake->pieces) {
      const auto begin =
          std::lower_bound(sorted.begin(), sorted.end(), piece.front());
      ASSERT_LE(piece.size(), sorted.end() - begin);
      EXPECT_TRUE(std::equal(piece.begin(), piece.end(), begin));
      seen += piece.size();
    }
  }
  EXPECT_EQ(seen, sorted.size());
}

TEST_F(ReplicatedModelTest, FewTextsStayTogether) {
  Make(2);
  EXPECT_TRUE(testing::EncodeText(*model_, ManySequences(100)).ok());
  EXPECT_EQ(fakes_[0]->text_calls() + fakes_[1]->text_calls(), 1);
}

TEST_F(ReplicatedModelTest, SinkAndProgressAreCalledOnTheCallersThread) {
  Make(3);
  const std::thread::id own = std::this_thread::get_id();
  std::vector<int> seen(kMany);
  int64_t last_done = 0, last_positions = 0;
  const auto positions = model_->EncodeText(
      ManySequences(),
      [&](int64_t i, absl::Span<const float>) {
        EXPECT_EQ(std::this_thread::get_id(), own);
        ++seen[i];
      },
      [&](int64_t done, int64_t total, int64_t computed) {
        EXPECT_EQ(std::this_thread::get_id(), own);
        EXPECT_EQ(total, kMany);
        EXPECT_GE(done, last_done);
        EXPECT_GE(computed, last_positions);
        last_done = done;
        last_positions = computed;
        return true;
      });
  ASSERT_TRUE(positions.ok()) << positions.status();
  EXPECT_THAT(seen, Each(1));
  EXPECT_EQ(last_done, kMany);
  EXPECT_EQ(*positions, int64_t{3} * kMany);
}

TEST_F(ReplicatedModelTest, ProgressStopsAllDevices) {
  Make(3);
  for (FakeModel* fake : fakes_) fake->CloseGate();
  std::atomic<bool> stop{false};
  auto call = std::async(std::launch::async, [&] {
    return model_->EncodeText(ManySequences(), Ignore,
                              [&](int64_t, int64_t, int64_t) { return !stop; });
  });
  for (FakeModel* fake : fakes_) ASSERT_TRUE(fake->WaitForCallsAtGate(1));
  stop = true;
  EXPECT_TRUE(absl::IsCancelled(call.get().status()));
  EXPECT_EQ(model_->devices_left(), 3);
}

TEST_F(ReplicatedModelTest, ADeviceLostInABuildLeavesItsPartToTheOthers) {
  for (const int after : {0, 1, 700}) {
    fakes_.clear();
    Make(3);
    fakes_[1]->LoseDevice(after);
    for (FakeModel* fake : fakes_) fake->CloseGate();
    std::vector<int> seen(kMany);
    std::vector<float> rows(size_t{kMany} * kDim);
    const auto sequences = ManySequences();
    auto call = std::async(std::launch::async, [&] {
      return model_->EncodeText(
          sequences,
          [&](int64_t i, absl::Span<const float> row) {
            ++seen[i];
            std::copy(row.begin(), row.end(), &rows[i * kDim]);
          },
          nullptr);
    });
    for (int i : {0, 2}) ASSERT_TRUE(fakes_[i]->WaitForCallsAtGate(1));
    while (fakes_[1]->text_calls() == 0) std::this_thread::yield();
    for (FakeModel* fake : fakes_) fake->OpenGate();
    const auto positions = call.get();
    ASSERT_TRUE(positions.ok()) << positions.status();
    EXPECT_THAT(seen, Each(1));
    EXPECT_EQ(rows, *testing::EncodeText(other_, sequences));
    EXPECT_EQ(model_->devices_left(), 2);
    EXPECT_EQ(fakes_[1]->texts(), after);
  }
}

TEST_F(ReplicatedModelTest, ADeviceLostInASmallCallKeepsTheRowsThatCame) {
  Make(2);
  fakes_[0]->LoseDevice(3);
  std::vector<int> seen(10);
  std::vector<int64_t> done_seen;
  const auto positions = model_->EncodeText(
      ManySequences(10), [&](int64_t i, absl::Span<const float>) { ++seen[i]; },
      [&](int64_t done, int64_t total, int64_t) {
        EXPECT_EQ(total, 10);
        done_seen.push_back(done);
        return true;
      });
  ASSERT_TRUE(positions.ok()) << positions.status();
  EXPECT_THAT(seen, Each(1));
  EXPECT_TRUE(std::is_sorted(done_seen.begin(), done_seen.end()));
  EXPECT_EQ(fakes_[0]->texts(), 3);
  EXPECT_EQ(fakes_[1]->texts(), 7);
}

TEST_F(ReplicatedModelTest, AllDevicesLostInABuildEndItWithValidRows) {
  Make(2);
  for (FakeModel* fake : fakes_) fake->LoseDevice(600);
  int rows = 0;
  const absl::Status status =
      model_
          ->EncodeText(
              ManySequences(),
              [&](int64_t, absl::Span<const float> row) {
                EXPECT_THAT(row, SizeIs(kDim));
                ++rows;
              },
              nullptr)
          .status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(rows, 1200);
}

TEST_F(ReplicatedModelTest, ASinkThatThrowsLeavesNoThreadBehind) {
  Make(2);
  EXPECT_THROW(
      (void)model_->EncodeText(
          ManySequences(),
          [](int64_t, absl::Span<const float>) { throw std::bad_alloc(); },
          nullptr),
      std::bad_alloc);
  EXPECT_TRUE(testing::EncodeText(*model_, ManySequences()).ok());
}

// A model whose host memory runs out.
class ThrowingModel : public FakeModel {
 public:
  using FakeModel::FakeModel;
  absl::StatusOr<int64_t> EncodeText(absl::Span<const std::vector<int32_t>>,
                                     const TextSink&,
                                     const TextProgress&) override {
    throw std::bad_alloc();
  }
};

TEST_F(ReplicatedModelTest, NoHostMemoryOnADevicesThreadIsAnError) {
  std::vector<std::unique_ptr<Model>> replicas;
  for (const char* name : {"cuda:0", "cuda:1"}) {
    replicas.push_back(
        std::make_unique<ThrowingModel>(kDim, kSize, Device{name, ""}));
  }
  ReplicatedModel model(std::move(replicas));
  EXPECT_TRUE(absl::IsResourceExhausted(
      testing::EncodeText(model, ManySequences()).status()));
}

TEST_F(ReplicatedModelTest, CallsOfAllKindsAtOnceWhileDevicesGo) {
  Make(4);
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  const auto sequences = ManySequences(2'000);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) failed += !EncodeImage(t).ok();
    });
    threads.emplace_back([&] {
      for (int i = 0; i < 3; ++i) {
        failed += !testing::EncodeText(*model_, sequences).ok();
      }
    });
  }
  fakes_[2]->LoseDevice(500);
  fakes_[0]->LoseDevice(1'500);
  fakes_[3]->LoseDevice(1'000);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_GE(model_->devices_left(), 1);
}

TEST_F(ReplicatedModelTest, OneReplicaRemembersThatItsDeviceIsLost) {
  Make(1);
  EXPECT_EQ(model_->info().device, "cuda:0");
  EXPECT_TRUE(testing::EncodeText(*model_, ManySequences()).ok());
  fakes_[0]->LoseDevice();
  EXPECT_TRUE(absl::IsUnavailable(EncodeImage(1).status()));
  EXPECT_TRUE(absl::IsUnavailable(EncodeImage(1).status()));
  EXPECT_EQ(fakes_[0]->image_batches(), 1);
  EXPECT_THAT(told(), SizeIs(1));
}

}  // namespace
}  // namespace clip
