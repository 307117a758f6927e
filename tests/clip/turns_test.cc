#include "clip/turns.h"

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

  void Add(Turns::Kind kind, char mark) {
    const int64_t before = turns.waiting();
    threads_.emplace_back([=, this] {
      const Turn turn(&turns, kind);
      order += mark;  // guarded by the turn
    });
    while (turns.waiting() == before) std::this_thread::yield();
  }

  void Join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  Turns turns;
  std::string order;

 private:
  std::vector<std::thread> threads_;
};

TEST(TurnsTest, AnImageBatchGoesBeforeTheTextStepsThatWait) {
  Queue queue;
  queue.turns.Begin(Turns::kText);
  queue.Add(Turns::kText, 'a');
  queue.Add(Turns::kText, 'b');
  queue.Add(Turns::kImages, 'I');
  queue.turns.End(Turns::kText);
  queue.Join();
  EXPECT_EQ(queue.order, "Iab");
}

TEST(TurnsTest, KindsAlternateSoThatNeitherStarves) {
  Queue queue;
  queue.turns.Begin(Turns::kImages);
  queue.Add(Turns::kImages, 'I');
  queue.Add(Turns::kImages, 'J');
  queue.Add(Turns::kText, 'a');
  queue.Add(Turns::kText, 'b');
  queue.turns.End(Turns::kImages);
  queue.Join();
  EXPECT_EQ(queue.order, "aIbJ");
}

TEST(TurnsTest, OneAtATime) {
  Turns turns;
  std::atomic<int> inside{0};
  int taken = 0;  // guarded by the turn
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 500; ++round) {
        const Turn turn(&turns, i % 2 == 0 ? Turns::kImages : Turns::kText);
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
