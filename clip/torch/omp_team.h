// OpenMP's threads as a Team: LibTorch's, oneDNN's and our own loops run on
// them.
#ifndef ZEROSHOT_CLIP_TORCH_OMP_TEAM_H_
#define ZEROSHOT_CLIP_TORCH_OMP_TEAM_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "clip/compute_thread.h"
#include "clip/team_choice.h"

namespace clip {

// Thread rule: on one thread only, a model's compute thread.
class OmpTeam {
 public:
  // For what is computed from now on. Where the threads that it lacks cannot be
  // started, one thread computes.
  void Use(const Team& team);

  // Calls compute(begin, end) for ranges that together are [0, n), each on one
  // thread by itself. The threads have equal shares, but a patient team takes
  // ranges of about `part` items as they come. Throws what one of the calls
  // threw, after all. Returns the share of their time that the threads lost to
  // others (TeamChoice::Took).
  double Each(int64_t n, int64_t part,
              const std::function<void(int64_t, int64_t)>& compute);

  // Calls `compute`, whose loops all threads do together. Returns the same.
  double Together(const std::function<void()>& compute);

 private:
  void MakeSpare();

  Team team_;
  int started_ = 1;  // threads that libgomp has, this one included
  // libgomp's threads sleep at once where they wait as soon as there are more
  // of them than cores. This thread has a second team, which does nothing but
  // be there as long as they are to be patient.
  std::unique_ptr<ComputeThread> spare_;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TORCH_OMP_TEAM_H_
