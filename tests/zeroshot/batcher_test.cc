#include "zeroshot/batcher.h"

#include <atomic>
#include <new>
#include <numeric>
#include <random>
#include <stdexcept>
#include <thread>

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace zeroshot {
namespace {

using ::testing::ElementsAre;
using ::testing::Le;
using ::testing::SizeIs;

struct Job {
  int id = 0;
  bool ran = false;
};

// A device that can be kept busy, and that remembers what it ran.
class Device {
 public:
  void Run(absl::Span<Job* const> jobs) {
    std::vector<int> ids;
    for (Job* job : jobs) {
      job->ran = true;
      ids.push_back(job->id);
    }
    base::MutexLock lock(&mu_);
    batches_.push_back(ids);
    changed_.NotifyAll();
    while (busy_) changed_.Wait(&mu_);
  }
  void SetBusy(bool busy) {
    base::MutexLock lock(&mu_);
    busy_ = busy;
    changed_.NotifyAll();
  }
  void WaitForBatches(size_t n) {
    base::MutexLock lock(&mu_);
    while (batches_.size() < n) changed_.Wait(&mu_);
  }
  std::vector<std::vector<int>> batches() {
    base::MutexLock lock(&mu_);
    return batches_;
  }

 private:
  base::Mutex mu_;
  base::CondVar changed_;
  bool busy_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::vector<int>> batches_ ABSL_GUARDED_BY(mu_);
};

class BatcherTest : public ::testing::Test {
 protected:
  void WaitForQueue(int n) {
    while (batcher_.queued() != n) std::this_thread::yield();
  }

  // Runs job `id` on a thread of its own.
  std::thread Start(Job* job, absl::Status* status, base::Caller caller = {}) {
    return std::thread(
        [this, job, status, caller] { *status = batcher_.Run({job}, caller); });
  }

  Device device_;
  Batcher<Job> batcher_{
      4, [this](absl::Span<Job* const> jobs) { device_.Run(jobs); }};
};

TEST_F(BatcherTest, AnIdleDeviceStartsAtOnce) {
  Job job{7};
  EXPECT_TRUE(batcher_.Run({&job}, base::Caller()).ok());
  EXPECT_TRUE(job.ran);
  EXPECT_THAT(device_.batches(), ElementsAre(ElementsAre(7)));
}

TEST_F(BatcherTest, WhatQueuedWhileBusyIsTheNextBatchInOrderOfArrival) {
  device_.SetBusy(true);
  Job jobs[8];
  absl::Status statuses[8];
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    jobs[i].id = i;
    threads.push_back(Start(&jobs[i], &statuses[i]));
    if (i == 0) {
      device_.WaitForBatches(1);
    } else {
      WaitForQueue(i);
    }
  }
  device_.SetBusy(false);
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(device_.batches(),
              ElementsAre(ElementsAre(0), ElementsAre(1, 2, 3, 4),
                          ElementsAre(5, 6, 7)));
}

TEST_F(BatcherTest, DropsJobsNoLongerWanted) {
  device_.SetBusy(true);
  Job first{1}, gone{2}, wanted{3};
  absl::Status first_status, gone_status, wanted_status;
  std::atomic<bool> left{false};
  std::thread a = Start(&first, &first_status);
  device_.WaitForBatches(1);
  base::Caller leaver;
  leaver.gone = [&] { return left.load(); };
  std::thread b = Start(&gone, &gone_status, leaver);
  WaitForQueue(1);
  std::thread c = Start(&wanted, &wanted_status);
  WaitForQueue(2);
  left = true;
  device_.SetBusy(false);
  a.join(), b.join(), c.join();
  EXPECT_EQ(gone_status.code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(gone.ran);
  EXPECT_TRUE(wanted_status.ok());
  EXPECT_THAT(device_.batches(), ElementsAre(ElementsAre(1), ElementsAre(3)));
}

// gRPC's answer may take its time: others must be able to come meanwhile.
TEST_F(BatcherTest, CallersAreAskedWhetherTheyHaveGoneWithoutTheQueuesLock) {
  Job job{1};
  int queued = -1;
  base::Caller caller;
  caller.gone = [&] {
    queued = batcher_.queued();  // takes the lock
    return false;
  };
  EXPECT_TRUE(batcher_.Run({&job}, caller).ok());
  EXPECT_EQ(queued, 0);
}

TEST_F(BatcherTest, ABatchIsFilledUpWithWhatFollowsThoseWhoHaveGone) {
  device_.SetBusy(true);
  Job jobs[9];
  absl::Status statuses[9];
  std::vector<std::thread> threads;
  for (int i = 0; i < 9; ++i) {
    jobs[i].id = i;
    base::Caller caller;
    if (i % 2 == 1) caller.gone = [] { return true; };
    threads.push_back(Start(&jobs[i], &statuses[i], caller));
    if (i == 0) {
      device_.WaitForBatches(1);
    } else {
      WaitForQueue(i);
    }
  }
  device_.SetBusy(false);
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(device_.batches(),
              ElementsAre(ElementsAre(0), ElementsAre(2, 4, 6, 8)));
  for (int i = 0; i < 9; ++i) {
    EXPECT_EQ(absl::IsCancelled(statuses[i]), i % 2 == 1) << i;
    EXPECT_EQ(jobs[i].ran, i % 2 == 0) << i;
  }
}

TEST(BatcherThatThrowsTest, ABatchThatThrowsIsTheFailureOfItsCallsAlone) {
  Batcher<Job> batcher(4, [](absl::Span<Job* const> jobs) {
    if (jobs[0]->id == 1) throw std::bad_alloc();
    if (jobs[0]->id == 2) throw std::runtime_error("broken");
    jobs[0]->ran = true;
  });
  Job memory{1}, broken{2}, good{3};
  EXPECT_TRUE(
      absl::IsResourceExhausted(batcher.Run({&memory}, base::Caller())));
  const absl::Status status = batcher.Run({&broken}, base::Caller());
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_TRUE(batcher.Run({&good}, base::Caller()).ok());
  EXPECT_TRUE(good.ran);
}

TEST_F(BatcherTest, AQueuedCallReturnsAtItsDeadlineWhileTheDeviceIsStillBusy) {
  device_.SetBusy(true);
  Job first{1}, late{2};
  absl::Status first_status;
  std::thread a = Start(&first, &first_status);
  device_.WaitForBatches(1);
  base::Caller caller;
  caller.deadline = base::MonotonicNow() + absl::Milliseconds(20);
  EXPECT_EQ(batcher_.Run({&late}, caller).code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(batcher_.queued(), 0);
  device_.SetBusy(false);
  a.join();
  EXPECT_FALSE(late.ran);
}

TEST_F(BatcherTest, AJobRunningAtItsDeadlineIsWaitedFor) {
  device_.SetBusy(true);
  Job job{1};
  absl::Status status;
  base::Caller caller;
  // Long enough that a busy machine takes the job before.
  caller.deadline = base::MonotonicNow() + absl::Seconds(2);
  std::thread a = Start(&job, &status, caller);
  device_.WaitForBatches(1);
  absl::SleepFor(caller.deadline - base::MonotonicNow() +
                 absl::Milliseconds(20));
  device_.SetBusy(false);
  a.join();
  EXPECT_TRUE(status.ok());
  EXPECT_TRUE(job.ran);
}

TEST_F(BatcherTest, OneCallMayQueueMoreThanOneBatch) {
  std::vector<Job> jobs(10);
  std::vector<Job*> pointers;
  for (Job& job : jobs) pointers.push_back(&job);
  EXPECT_TRUE(batcher_.Run(pointers, base::Caller()).ok());
  for (const Job& job : jobs) EXPECT_TRUE(job.ran);
  EXPECT_THAT(device_.batches(), SizeIs(3));
}

TEST_F(BatcherTest, AJobDoesNotWaitForAllOfALargeCall) {
  device_.SetBusy(true);
  Job before{1}, after{2};
  std::vector<Job> large(10);
  std::vector<Job*> pointers;
  for (Job& job : large) {
    job.id = 10 + static_cast<int>(pointers.size());
    pointers.push_back(&job);
  }
  absl::Status first, second, third;
  std::vector<std::thread> threads;
  threads.push_back(Start(&before, &first));
  device_.WaitForBatches(1);
  threads.emplace_back(
      [&] { second = batcher_.Run(pointers, base::Caller()); });
  WaitForQueue(10);
  threads.push_back(Start(&after, &third));
  WaitForQueue(11);
  device_.SetBusy(false);
  for (std::thread& thread : threads) thread.join();
  // It comes behind half a batch of the large call, which goes on in its order.
  EXPECT_THAT(
      device_.batches(),
      ElementsAre(ElementsAre(1), ElementsAre(10, 11, 2, 12),
                  ElementsAre(13, 14, 15, 16), ElementsAre(17, 18, 19)));
}

// However many come after it, a part is passed by those of earlier turns only.
TEST_F(BatcherTest, ALargeCallIsNotHeldUpForEver) {
  std::vector<Job> large(8);
  std::vector<Job*> pointers;
  for (Job& job : large) pointers.push_back(&job);
  std::atomic<bool> stop{false};
  std::vector<std::thread> crowd;
  for (int i = 0; i < 8; ++i) {
    crowd.emplace_back([&] {
      while (!stop) {
        Job one;
        (void)batcher_.Run({&one}, base::Caller());
      }
    });
  }
  EXPECT_TRUE(batcher_.Run(pointers, base::Caller()).ok());
  stop = true;
  for (std::thread& thread : crowd) thread.join();
  for (const Job& job : large) EXPECT_TRUE(job.ran);
}

TEST_F(BatcherTest, NothingToRunIsDoneAtOnce) {
  EXPECT_TRUE(batcher_.Run({}, base::Caller()).ok());
  EXPECT_THAT(device_.batches(), SizeIs(0));
}

TEST_F(BatcherTest, EveryJobOfManyThreadsRunsExactlyOnce) {
  constexpr int kThreads = 8, kJobs = 200;
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kJobs; ++i) {
        Job job{t * kJobs + i};
        if (!batcher_.Run({&job}, base::Caller()).ok() || !job.ran) ++failed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  std::vector<int> seen;
  for (const std::vector<int>& batch : device_.batches()) {
    EXPECT_THAT(batch, SizeIs(Le(4)));
    seen.insert(seen.end(), batch.begin(), batch.end());
  }
  std::sort(seen.begin(), seen.end());
  std::vector<int> all(kThreads * kJobs);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(seen, all);
}

// Two devices, each of which wants a second batch while it computes.
class TwoDevicesTest : public BatcherTest {
 protected:
  static constexpr int kMaxBatch = 4;

  // Queues job `id`, of a thread of its own.
  void Add(int id) {
    jobs_[id].id = id;
    threads_.emplace_back([this, id] {
      if (!two_.Run({&jobs_[id]}, base::Caller()).ok()) ++failed_;
    });
    ++added_;
    while (Arrived() < added_) std::this_thread::yield();
  }

  // Batches of one job each on the idle devices.
  void Occupy(int devices) {
    device_.SetBusy(true);
    for (int id = 0; id < devices; ++id) {
      Add(id);
      device_.WaitForBatches(id + 1);
    }
  }

  int Arrived() {
    int arrived = 0;  // never too many: a job goes from the queue to a batch
    for (const auto& batch : device_.batches()) arrived += batch.size();
    return arrived + two_.queued();
  }

  void Join() {
    for (std::thread& thread : threads_) thread.join();
    EXPECT_EQ(failed_, 0);
  }

  Job jobs_[64];
  int added_ = 0;
  std::atomic<int> failed_{0};
  std::vector<std::thread> threads_;
  Batcher<Job> two_{kMaxBatch,
                    [this](absl::Span<Job* const> jobs) { device_.Run(jobs); },
                    BatchPolicy{.max_batches = 2, .max_with_large = 4}};
};

TEST_F(TwoDevicesTest, EachIdleDeviceStartsAtOnce) {
  Occupy(2);
  device_.SetBusy(false);
  Join();
  EXPECT_THAT(device_.batches(), ElementsAre(ElementsAre(0), ElementsAre(1)));
}

TEST_F(TwoDevicesTest, ASmallBatchGrowsWhileAllDevicesAreBusy) {
  Occupy(2);
  for (int id = 2; id < 5; ++id) Add(id);
  absl::SleepFor(absl::Milliseconds(20));
  EXPECT_THAT(device_.batches(), SizeIs(2));
  EXPECT_EQ(two_.queued(), 3);
  device_.SetBusy(false);
  Join();
  EXPECT_THAT(device_.batches(), ElementsAre(ElementsAre(0), ElementsAre(1),
                                             ElementsAre(2, 3, 4)));
}

TEST_F(TwoDevicesTest, AFullBatchIsTakenForABusyDevice) {
  Occupy(2);
  for (int id = 2; id < 6; ++id) Add(id);
  device_.WaitForBatches(3);
  for (int id = 6; id < 10; ++id) Add(id);
  device_.WaitForBatches(4);
  for (int id = 10; id < 20; ++id) Add(id);
  absl::SleepFor(absl::Milliseconds(20));
  EXPECT_THAT(device_.batches(), SizeIs(4));  // as many as may run at once
  EXPECT_EQ(two_.queued(), 10);
  device_.SetBusy(false);
  Join();
  ASSERT_THAT(device_.batches(), SizeIs(7));
  EXPECT_THAT(device_.batches()[3], ElementsAre(6, 7, 8, 9));
}

TEST_F(TwoDevicesTest, SoIsOneThatIsLargeEnough) {
  two_.SetPolicy({.max_batches = 2, .max_with_large = 4, .large = 3});
  Occupy(2);
  for (int id = 2; id < 5; ++id) Add(id);
  device_.WaitForBatches(3);
  device_.SetBusy(false);
  Join();
  EXPECT_THAT(device_.batches()[2], ElementsAre(2, 3, 4));
}

TEST_F(TwoDevicesTest, OneCallOfManyBatchesKeepsAllBusy) {
  device_.SetBusy(true);
  std::vector<Job*> pointers;
  for (Job& job : jobs_) pointers.push_back(&job);
  std::thread call(
      [&] { EXPECT_TRUE(two_.Run(pointers, base::Caller()).ok()); });
  device_.WaitForBatches(4);
  device_.SetBusy(false);
  call.join();
  EXPECT_THAT(device_.batches(), SizeIs(64 / kMaxBatch));
}

TEST_F(TwoDevicesTest, ALostDeviceStartsNoMore) {
  two_.SetPolicy({.max_batches = 1, .max_with_large = 2});
  Occupy(1);
  for (int id = 1; id < 3; ++id) Add(id);
  absl::SleepFor(absl::Milliseconds(20));
  EXPECT_THAT(device_.batches(), ElementsAre(ElementsAre(0)));
  for (int id = 3; id < 9; ++id) Add(id);
  device_.WaitForBatches(2);
  absl::SleepFor(absl::Milliseconds(20));
  EXPECT_THAT(device_.batches(), SizeIs(2));
  // None left: what comes still gets its error.
  two_.SetPolicy({.max_batches = 0, .max_with_large = 0});
  device_.SetBusy(false);
  Join();
}

TEST_F(TwoDevicesTest, EveryJobRunsWhileDevicesComeAndGo) {
  constexpr int kThreads = 12, kJobs = 150;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < kJobs; ++i) {
        std::vector<Job> jobs(1 + random() % 9);
        std::vector<Job*> pointers;
        for (Job& job : jobs) pointers.push_back(&job);
        if (!two_.Run(pointers, base::Caller()).ok()) ++wrong;
        for (const Job& job : jobs) wrong += !job.ran;
        if (i % 50 == 0)
          two_.SetPolicy({1 + t % 2, 2 + t % 3, size_t(1 + t % 5)});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(two_.queued(), 0);
  for (const std::vector<int>& batch : device_.batches()) {
    EXPECT_THAT(batch, SizeIs(Le(kMaxBatch)));
  }
}

TEST_F(BatcherTest, CallersThatComeAndGoLeaveNothingBehind) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 200; ++i) {
        std::vector<Job> jobs(1 + random() % 6);
        std::vector<Job*> pointers;
        for (Job& job : jobs) pointers.push_back(&job);
        base::Caller caller;
        caller.deadline =
            base::MonotonicNow() + absl::Microseconds(random() % 200);
        const bool gone = random() % 4 == 0;
        caller.gone = [gone] { return gone; };
        if (batcher_.Run(pointers, caller).ok()) {
          for (const Job& job : jobs) wrong += !job.ran;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(batcher_.queued(), 0);
}

}  // namespace
}  // namespace zeroshot
