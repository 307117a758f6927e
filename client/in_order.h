// InOrder: several calls in flight, results in the order of the input.
//
//   InOrder<absl::StatusOr<Answer>>(
//       files.size(), /*parallel=*/8,
//       [&](int64_t i) { return classifier->Classify(Read(files[i])); },
//       [&](int64_t i, absl::StatusOr<Answer> answer) { Print(i, answer); });
//
// InOrderOf is the same for items that come one by one, in an unknown number.
#ifndef ZEROSHOT_CLIENT_IN_ORDER_H_
#define ZEROSHOT_CLIENT_IN_ORDER_H_

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace zeroshot::client {

// Calls work(item) on up to `parallel` threads of its own for each item that
// `next` gives, until that gives none, and done(item, work(item)) on the
// calling thread, as soon as possible, in the order of the items. Returns when
// all are done. At most 4 x `parallel` items are begun and not yet done, so
// that memory stays bounded when one of them is slow.
//
// REQUIRES: parallel >= 1; `work` may be called from many threads at once;
// `next` is called from any thread, by one at a time; no function throws.
template <typename Result, typename Item>
void InOrderOf(int parallel, const std::function<std::optional<Item>()>& next,
               const std::function<Result(Item&)>& work,
               const std::function<void(Item, Result)>& done) {
  std::mutex taking;  // held for a call of `next`, which may take long
  std::mutex mu;      // guards all below
  std::condition_variable changed;
  int64_t begun = 0;
  int64_t finished = 0;  // items handed to `done`
  bool ended = false;    // `begun` are all there are
  std::map<int64_t, std::pair<Item, Result>> waiting;

  const int64_t window = int64_t{4} * parallel;
  const auto run = [&] {
    while (true) {
      std::optional<Item> item;
      int64_t i = 0;
      {
        std::lock_guard<std::mutex> one(taking);
        std::unique_lock<std::mutex> lock(mu);
        changed.wait(lock, [&] { return ended || begun < finished + window; });
        if (ended) return;
        lock.unlock();
        item = next();
        lock.lock();
        if (!item.has_value()) {
          ended = true;
          changed.notify_all();
          return;
        }
        i = begun++;
      }
      Result result = work(*item);
      std::lock_guard<std::mutex> lock(mu);
      waiting.emplace(i, std::pair(*std::move(item), std::move(result)));
      changed.notify_all();
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(parallel);
  for (int t = 0; t < parallel; ++t) threads.emplace_back(run);
  std::unique_lock<std::mutex> lock(mu);
  while (true) {
    changed.wait(lock, [&] {
      return waiting.count(finished) > 0 || (ended && finished == begun);
    });
    if (waiting.count(finished) == 0) break;
    auto [item, result] = std::move(waiting.extract(finished).mapped());
    lock.unlock();
    done(std::move(item), std::move(result));
    lock.lock();
    ++finished;
    changed.notify_all();
  }
  lock.unlock();
  for (std::thread& thread : threads) thread.join();
}

// The same for the items 0 ... count - 1.
template <typename Result>
void InOrder(int64_t count, int parallel,
             const std::function<Result(int64_t)>& work,
             const std::function<void(int64_t, Result)>& done) {
  int64_t i = 0;
  InOrderOf<Result, int64_t>(
      static_cast<int>(std::clamp<int64_t>(count, 1, parallel)),
      [&]() -> std::optional<int64_t> {
        if (i >= count) return std::nullopt;
        return i++;
      },
      [&](int64_t& item) { return work(item); }, done);
}

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_IN_ORDER_H_
