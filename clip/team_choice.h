// Which threads compute: as many as were asked for, unless other programs want
// the same cores.
//
// Threads that compute together wait for each other every few dozen
// microseconds. They spin meanwhile, which is fastest as long as all of them
// run. Where another program has one of their cores they spin for a thread that
// is not running, and a call takes 3 to 20 times as long. What is best then
// depends on the model and on how many neighbours there are: fewer threads,
// each with a core of its own, or all of them, asleep while they wait. So both
// are tried and the fastest is taken, for as long as there are neighbours;
// without any nothing is tried (docs/performance.md has the figures).
//
// Thread rule: one thread at a time.
#ifndef ZEROSHOT_CLIP_TEAM_CHOICE_H_
#define ZEROSHOT_CLIP_TEAM_CHOICE_H_

#include <array>

namespace clip {

struct Team {
  int threads = 1;
  // They take parts of the work as they come, and sleep while they wait.
  bool patient = false;
};

class TeamChoice {
 public:
  // `threads`: of the whole team, from 1 on.
  explicit TeamChoice(int threads);

  // For the next call, whose outcome goes to Took.
  Team Next();

  // The team of the last Next took `seconds` for a unit of work. `lost` is the
  // share of its threads' time, while they had work, in which they did not run:
  // 0 to 1.
  void Took(double seconds, double lost);

 private:
  struct Way {
    Team team;
    bool prepared = false;  // its first call compiles kernels: not counted
    double seconds = 0;     // lately; 0: not known
    int calls = 0;          // since it was last measured
  };
  // Of ways_: the whole team; as many threads as had a core; the whole,
  // patient.
  enum { kWhole, kFewer, kPatient };

  bool Disturbed() const;
  Way& Fastest();

  std::array<Way, 3> ways_;
  double lost_ = 0;  // by the whole team, smoothed
  int last_ = kWhole;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEAM_CHOICE_H_
