// InOrder: several calls in flight, results in the order of the input.
//
//   InOrder<absl::StatusOr<Answer>>(
//       files.size(), /*parallel=*/8,
//       [&](int64_t i) { return classifier->Classify(Read(files[i])); },
//       [&](int64_t i, absl::StatusOr<Answer> answer) { Print(i, answer); });
#ifndef ZEROSHOT_CLIENT_IN_ORDER_H_
#define ZEROSHOT_CLIENT_IN_ORDER_H_

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace zeroshot::client {

// Calls work(0) ... work(count - 1) on up to `parallel` threads of its own and
// done(i, work(i)) on the calling thread, as soon as possible, i ascending.
// Returns when all are done. At most 4 x `parallel` items are begun and not
// yet done, so that memory stays bounded when one of them is slow.
//
// REQUIRES: parallel >= 1; `work` may be called from many threads at once;
// neither function throws.
template <typename Result>
void InOrder(int64_t count, int parallel,
             const std::function<Result(int64_t)>& work,
             const std::function<void(int64_t, Result)>& done) {
  std::mutex mu;
  std::condition_variable changed;
  int64_t next = 0;      // first item that no thread has begun
  int64_t finished = 0;  // items handed to `done`
  std::map<int64_t, Result> waiting;

  const int64_t window = int64_t{4} * parallel;
  const auto run = [&] {
    std::unique_lock<std::mutex> lock(mu);
    while (true) {
      changed.wait(lock, [&] { return next < finished + window; });
      if (next >= count) return;
      const int64_t i = next++;
      lock.unlock();
      Result result = work(i);
      lock.lock();
      waiting.emplace(i, std::move(result));
      changed.notify_all();
    }
  };
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < std::min<int64_t>(parallel, count); ++t) {
    threads.emplace_back(run);
  }
  for (int64_t i = 0; i < count; ++i) {
    std::unique_lock<std::mutex> lock(mu);
    changed.wait(lock, [&] { return waiting.count(i) > 0; });
    Result result = std::move(waiting.extract(i).mapped());
    lock.unlock();
    done(i, std::move(result));
    lock.lock();
    finished = i + 1;
    changed.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_IN_ORDER_H_
