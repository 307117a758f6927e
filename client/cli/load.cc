#include "client/cli/load.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace zeroshot::client {
namespace {

using Clock = std::chrono::steady_clock;

// The threads of a load, and what they have measured.
class Callers {
 public:
  Callers(const Load& load, int threads,
          const std::function<absl::StatusOr<Answer>(int64_t)>& call)
      : load_(load), call_(call), gap_(load.rate > 0 ? load.rate : 1) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
    // Once all threads are there: the load must not begin with a backlog.
    std::lock_guard<std::mutex> lock(mu_);
    started_ = true;
    next_due_ = Clock::now();
    changed_.notify_all();
  }

  ~Callers() {
    {
      std::lock_guard<std::mutex> lock(mu_);
      stop_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  // The calls that ended since the last Take.
  std::vector<Sample> Take() {
    std::lock_guard<std::mutex> lock(mu_);
    return std::exchange(samples_, {});
  }

 private:
  void Run() {
    std::unique_lock<std::mutex> lock(mu_);
    changed_.wait(lock, [&] { return started_; });
    while (!stop_) {
      const int64_t number = next_++;
      Clock::time_point due = Clock::now();
      if (load_.rate > 0) {
        due = next_due_;
        next_due_ += std::chrono::duration_cast<Clock::duration>(
            std::chrono::duration<double>(gap_(random_)));
        if (changed_.wait_until(lock, due, [&] { return stop_; })) return;
      }
      lock.unlock();
      const absl::StatusOr<Answer> answer = call_(number);
      Sample sample;
      sample.latency = absl::FromChrono(Clock::now() - due);
      sample.code = answer.status().code();
      if (answer.ok()) sample.timing = answer->timing;
      lock.lock();
      samples_.push_back(sample);
    }
  }

  const Load load_;
  const std::function<absl::StatusOr<Answer>(int64_t)>& call_;

  std::mutex mu_;  // guards all below but threads_
  std::condition_variable changed_;
  bool started_ = false;
  bool stop_ = false;
  int64_t next_ = 0;
  Clock::time_point next_due_;
  std::mt19937_64 random_{1};
  std::exponential_distribution<double> gap_;
  std::vector<Sample> samples_;

  std::vector<std::thread> threads_;
};

}  // namespace

Point Measure(const Load& load, const LoadOptions& options,
              const std::function<absl::StatusOr<Answer>(int64_t)>& call) {
  const int threads =
      load.concurrency > 0 ? load.concurrency : options.max_in_flight;
  Callers callers(load, threads, call);
  Point point;
  point.load = load;
  // The last windows: their samples, what they say, how long they were.
  std::vector<std::vector<Sample>> samples;
  std::vector<Summary> windows;
  std::vector<absl::Duration> lengths;
  Clock::time_point begin = Clock::now();
  while (point.windows < options.max_windows && !point.stable) {
    if (windows.size() == kWindows) {
      samples.erase(samples.begin());
      windows.erase(windows.begin());
      lengths.erase(lengths.begin());
    }
    std::this_thread::sleep_until(begin +
                                  absl::ToChronoNanoseconds(options.window));
    samples.push_back(callers.Take());
    const Clock::time_point end = Clock::now();
    lengths.push_back(absl::FromChrono(end - std::exchange(begin, end)));
    windows.push_back(Summarize(samples.back(), lengths.back()));
    ++point.windows;
    point.stable =
        windows.size() == kWindows && Agree(windows, options.tolerance);
  }
  std::vector<Sample> all;
  absl::Duration length;
  for (size_t i = 0; i < samples.size(); ++i) {
    all.insert(all.end(), samples[i].begin(), samples[i].end());
    length += lengths[i];
  }
  point.summary = Summarize(all, length);
  return point;
}

}  // namespace zeroshot::client
