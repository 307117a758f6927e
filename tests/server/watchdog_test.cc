#include "server/watchdog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/make_png.h"

namespace zeroshot::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class WatchdogTest : public ::testing::Test {
 protected:
  void Start(bool port_is_served = true, Embedder* embedder = nullptr,
             absl::Duration first_timeout = absl::Minutes(5)) {
    watchdog_ = std::make_unique<Watchdog>(
        embedder != nullptr ? embedder : &embedder_,
        Watchdog::Options{.timeout = absl::Milliseconds(400),
                          .interval = absl::Milliseconds(20),
                          .first_timeout = first_timeout},
        [port_is_served] { return port_is_served; },
        [this](const absl::Status& verdict) {
          base::MutexLock lock(&mu_);
          verdicts_.push_back(verdict.ok() ? "well"
                                           : std::string(verdict.message()));
        },
        [this] {
          base::MutexLock lock(&mu_);
          ++deaf_;
        });
  }

  std::vector<std::string> verdicts() {
    base::MutexLock lock(&mu_);
    return verdicts_;
  }

  int deaf() {
    base::MutexLock lock(&mu_);
    return deaf_;
  }

  // Waits until there are `n` verdicts.
  void WaitForVerdicts(size_t n) {
    const absl::Time until = absl::Now() + absl::Seconds(20);
    while (verdicts().size() < n && absl::Now() < until) {
      absl::SleepFor(absl::Milliseconds(5));
    }
  }

  static EmbedderOptions OneAtATime() {
    EmbedderOptions options;
    options.max_batch = 1;
    return options;
  }

  clip::FakeModel model_;
  Embedder embedder_{&model_, OneAtATime()};
  base::Mutex mu_;
  std::vector<std::string> verdicts_ ABSL_GUARDED_BY(mu_);
  int deaf_ ABSL_GUARDED_BY(mu_) = 0;
  std::unique_ptr<Watchdog> watchdog_;
};

TEST_F(WatchdogTest, SaysNothingWhileAllIsWell) {
  Start();
  absl::SleepFor(absl::Seconds(1));
  EXPECT_GT(model_.image_batches(), 2);
  EXPECT_THAT(verdicts(), IsEmpty());
  EXPECT_EQ(deaf(), 0);
}

TEST_F(WatchdogTest, NoticesADeviceThatIsStuckAndItsRecovery) {
  Start();
  model_.CloseGate();
  WaitForVerdicts(1);
  model_.OpenGate();
  WaitForVerdicts(2);
  EXPECT_THAT(verdicts(),
              ElementsAre(HasSubstr("has finished nothing for"), "well"));
}

TEST_F(WatchdogTest, NoticesATowerThatAnswersWrongly) {
  Start();
  using Rows = clip::FakeModel::Rows;
  const std::string changed = "embeddings have changed";
  model_.SetImageRows(Rows::kWrong);
  WaitForVerdicts(1);
  model_.SetImageRows(Rows::kRight);
  WaitForVerdicts(2);
  model_.SetTextRows(Rows::kWrong);
  WaitForVerdicts(3);
  model_.SetTextRows(Rows::kRight);
  WaitForVerdicts(4);
  EXPECT_THAT(verdicts(), ElementsAre(HasSubstr(changed), "well",
                                      HasSubstr(changed), "well"));
}

TEST_F(WatchdogTest, NoticesATowerWhoseEmbeddingsAreNotFinite) {
  Start();
  using Rows = clip::FakeModel::Rows;
  model_.SetTextRows(Rows::kNaN);
  WaitForVerdicts(1);
  model_.SetTextRows(Rows::kRight);
  WaitForVerdicts(2);
  model_.SetImageRows(Rows::kNaN);
  WaitForVerdicts(3);
  EXPECT_THAT(verdicts(),
              ElementsAre(HasSubstr("NaN"), "well", HasSubstr("NaN")));
}

TEST_F(WatchdogTest, TheFirstCanaryThatComesBackIsWhatIsRight) {
  model_.RunOutOfMemory(true);
  Start();
  model_.RunOutOfMemory(false);
  WaitForVerdicts(2);
  model_.SetImageRows(clip::FakeModel::Rows::kWrong);
  WaitForVerdicts(3);
  EXPECT_THAT(verdicts(), ElementsAre(HasSubstr("the canary failed"), "well",
                                      HasSubstr("have changed")));
}

TEST_F(WatchdogTest, AFirstCanaryThatHangsIsNotWaitedForForEver) {
  model_.CloseGate();
  Start(/*port_is_served=*/true, nullptr, absl::Milliseconds(200));
  EXPECT_FALSE(watchdog_->first_came_back());
  model_.OpenGate();
  Start();
  EXPECT_TRUE(watchdog_->first_came_back());
  // A failure is no hang: the device may do better.
  model_.RunOutOfMemory(true);
  Start();
  EXPECT_TRUE(watchdog_->first_came_back());
}

TEST_F(WatchdogTest, LongQueueIsNoFault) {
  Start();
  model_.SetImageTime(absl::Milliseconds(100));
  std::vector<std::future<bool>> calls;
  for (int i = 0; i < 15; ++i) {
    calls.push_back(std::async(std::launch::async, [this, i] {
      const std::string image = testing_images::MakePng(i);
      return embedder_.EmbedImages({image}, {}).ok();
    }));
  }
  for (auto& call : calls) EXPECT_TRUE(call.get());
  EXPECT_THAT(verdicts(), IsEmpty());
}

// The canary is stuck with it, or comes back from the other.
TEST_F(WatchdogTest, NoticesOneDeviceOfSeveralThatIsStuck) {
  const clip::FakeDevices devices = clip::MakeFakeDevices(2);
  const std::vector<clip::FakeModel*>& fakes = devices.fakes;
  Embedder embedder(devices.model.get(), OneAtATime());
  Start(/*port_is_served=*/true, &embedder);
  fakes[1]->CloseGate();
  std::atomic<bool> end{false};
  auto load = std::async(std::launch::async, [&] {
    // Stuck or not, some caller finds the other device.
    std::vector<std::future<bool>> calls;
    for (int i = 0; !end; ++i) {
      calls.push_back(std::async(std::launch::async, [&embedder, i] {
        return embedder.EmbedImages({testing_images::MakePng(i)}, {}).ok();
      }));
      absl::SleepFor(absl::Milliseconds(20));
    }
    fakes[1]->OpenGate();
    for (auto& call : calls) EXPECT_TRUE(call.get());
  });
  WaitForVerdicts(1);
  EXPECT_GT(fakes[0]->image_batches(), 5);  // which went on
  end = true;
  load.get();
  WaitForVerdicts(2);
  EXPECT_THAT(verdicts(),
              ElementsAre(HasSubstr("has finished nothing for"), "well"));
  watchdog_.reset();
}

TEST_F(WatchdogTest, SaysOnceThatThePortDoesNotAnswer) {
  Start(/*port_is_served=*/false);
  const absl::Time until = absl::Now() + absl::Seconds(20);
  while (deaf() == 0 && absl::Now() < until) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_EQ(deaf(), 1);
}

}  // namespace
}  // namespace zeroshot::server
