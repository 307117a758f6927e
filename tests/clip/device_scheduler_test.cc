#include "clip/device_scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace clip {
namespace {

// Starts a thread that takes one turn and writes `mark` into `order`, and
// waits until it stands in the queue.
class Queue {
 public:
  ~Queue() {
    for (std::thread& thread : threads_) thread.join();
  }

  void Add(DeviceScheduler::Kind kind, char mark) {
    const int64_t before = scheduler.waiting();
    threads_.emplace_back([=, this] {
      const DeviceTurn turn(&scheduler, kind);
      order += mark;  // guarded by the turn
    });
    while (scheduler.waiting() == before) std::this_thread::yield();
  }

  void Join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  DeviceScheduler scheduler;
  std::string order;

 private:
  std::vector<std::thread> threads_;
};

TEST(DeviceSchedulerTest, AnImageBatchGoesBeforeTheTextStepsThatWait) {
  Queue queue;
  queue.scheduler.Begin(DeviceScheduler::kText);
  queue.Add(DeviceScheduler::kText, 'a');
  queue.Add(DeviceScheduler::kText, 'b');
  queue.Add(DeviceScheduler::kImages, 'I');
  queue.scheduler.End(DeviceScheduler::kText);
  queue.Join();
  EXPECT_EQ(queue.order, "Iab");
}

TEST(DeviceSchedulerTest, KindsAlternateSoThatNeitherStarves) {
  Queue queue;
  queue.scheduler.Begin(DeviceScheduler::kImages);
  queue.Add(DeviceScheduler::kImages, 'I');
  queue.Add(DeviceScheduler::kImages, 'J');
  queue.Add(DeviceScheduler::kText, 'a');
  queue.Add(DeviceScheduler::kText, 'b');
  queue.scheduler.End(DeviceScheduler::kImages);
  queue.Join();
  EXPECT_EQ(queue.order, "aIbJ");
}

TEST(DeviceSchedulerTest, OneAtATime) {
  DeviceScheduler scheduler;
  std::atomic<int> inside{0};
  int taken = 0;  // guarded by the turn
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 500; ++round) {
        const DeviceTurn turn(&scheduler, i % 2 == 0 ? DeviceScheduler::kImages
                                                     : DeviceScheduler::kText);
        EXPECT_EQ(++inside, 1);
        ++taken;
        --inside;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, 2000);
}

}  // namespace
}  // namespace clip
