#include "clip/torch/omp_team.h"

#include <ATen/Parallel.h>
#include <omp.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "base/control_group.h"

namespace clip {
namespace {

double Seconds(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * now.tv_nsec;
}

// A thread's time, and how much of it the thread was running.
struct Clocks {
  static Clocks Now() {
    return {Seconds(CLOCK_MONOTONIC), Seconds(CLOCK_THREAD_CPUTIME_ID)};
  }

  double all = 0, running = 0;
};

// What the team's threads had of their time while they had work.
class Lost {
 public:
  void Add(const Clocks& from, const Clocks& to) {
    Clocks& spent = spent_[omp_get_thread_num()];
    spent.all += to.all - from.all;
    spent.running += to.running - from.running;
  }

  double Share() const {
    Clocks sum;
    for (const Clocks& spent : spent_) {
      sum.all += spent.all;
      sum.running += spent.running;
    }
    return sum.all > 0 ? std::clamp(1 - sum.running / sum.all, 0.0, 1.0) : 0;
  }

 private:
  std::vector<Clocks> spent_ = std::vector<Clocks>(omp_get_max_threads());
};

}  // namespace

void OmpTeam::Use(const Team& team) {
  team_ = team;
  const bool spare = team.patient && team.threads > 1;
  if (!spare) spare_.reset();
  const int lacking = std::max(team.threads - started_, 0) +
                      (spare && spare_ == nullptr ? omp_get_num_procs() : 0);
  if (lacking > 0 && !base::CanStartThreads(lacking)) {
    team_ = {1, false};
  } else if (spare && spare_ == nullptr) {
    MakeSpare();
  }
  if (team_.threads > 1) started_ = team_.threads;
  if (team_.threads != at::get_num_threads())
    at::set_num_threads(team_.threads);
}

void OmpTeam::MakeSpare() {
  spare_ = std::make_unique<ComputeThread>();
  spare_->Run([] {
    std::atomic<int> arrived{0};
#pragma omp parallel num_threads(omp_get_num_procs())
    ++arrived;
  });
}

double OmpTeam::Each(int64_t n, int64_t part,
                     const std::function<void(int64_t, int64_t)>& compute) {
  Lost lost;
  const auto timed = [&](const auto& work) {
    const Clocks start = Clocks::Now();
    work();
    lost.Add(start, Clocks::Now());
  };
  if (!team_.patient) {
    at::parallel_for(0, n, 1, [&](int64_t begin, int64_t end) {
      timed([&] { compute(begin, end); });
    });
    return lost.Share();
  }
  const int64_t threads = std::min<int64_t>(team_.threads, n),
                parts = std::clamp((n + part / 2) / part, threads, n);
  std::atomic<int64_t> next{0};
  at::parallel_for(0, threads, 1, [&](int64_t, int64_t) {
    timed([&] {
      for (int64_t i; (i = next++) < parts;)
        compute(i * n / parts, (i + 1) * n / parts);
    });
  });
  return lost.Share();
}

double OmpTeam::Together(const std::function<void()>& compute) {
  // Threads that are not patient spin from one loop to the next: they have
  // something to do all the time.
  Lost lost;
  std::vector<Clocks> start(omp_get_max_threads());
#pragma omp parallel
  start[omp_get_thread_num()] = Clocks::Now();
  compute();
#pragma omp parallel
  lost.Add(start[omp_get_thread_num()], Clocks::Now());
  return lost.Share();
}

}  // namespace clip
