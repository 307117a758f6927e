#include "clip/team_choice.h"

#include <algorithm>

namespace clip {
namespace {

// Threads' worth of time that others had: what a machine does besides is less,
// what one busy neighbour takes is more, however many threads there are.
constexpr double kDisturbed = 0.25;

// A slower way is tried again after this many calls times how much slower it
// was, so that all tries of one way together cost 1 / kTryAgain of the time.
constexpr double kTryAgain = 32, kMostTimes = 4;

// Weight of the newest measurement among those before.
constexpr double kNewest = 0.25;

void Smooth(double value, double* mean) { *mean += kNewest * (value - *mean); }

}  // namespace

TeamChoice::TeamChoice(int threads) {
  ways_[kWhole].team = {threads, false};
  ways_[kFewer].team = {std::max(threads - 1, 1), false};
  ways_[kPatient].team = {threads, true};
}

bool TeamChoice::Disturbed() const {
  return lost_ * ways_[kWhole].team.threads > kDisturbed;
}

TeamChoice::Way& TeamChoice::Fastest() {
  return *std::min_element(
      ways_.begin(), ways_.end(),
      [](const Way& a, const Way& b) { return a.seconds < b.seconds; });
}

Team TeamChoice::Next() {
  last_ = kWhole;
  if (ways_[kWhole].team.threads == 1 || !Disturbed())
    return ways_[kWhole].team;
  // The least is one that is not known, if there is such a one.
  const Way& fastest = Fastest();
  last_ = static_cast<int>(&fastest - ways_.data());
  for (Way& way : ways_) {
    ++way.calls;
    if (fastest.seconds > 0 && &way != &fastest &&
        way.calls >
            kTryAgain * std::min(way.seconds / fastest.seconds, kMostTimes)) {
      last_ = static_cast<int>(&way - ways_.data());
      break;
    }
  }
  return ways_[last_].team;
}

void TeamChoice::Took(double seconds, double lost) {
  Way& way = ways_[last_];
  if (last_ == kWhole) {
    const bool before = Disturbed();
    Smooth(lost, &lost_);
    // How many cores it had, at a time when that decides something.
    const int cores =
        std::clamp(static_cast<int>(way.team.threads * (1 - lost)), 1,
                   std::max(way.team.threads - 1, 1));
    if (Disturbed() && !before) {
      // What was measured beside other neighbours, long ago, is not known now.
      ways_[kFewer].seconds = ways_[kPatient].seconds = 0;
    }
    if (Disturbed() && (!before || &Fastest() != &way) &&
        cores != ways_[kFewer].team.threads) {
      ways_[kFewer] = {{cores, false}};
    }
  }
  way.calls = 0;
  if (!way.prepared) {
    way.prepared = true;
  } else if (way.seconds == 0 ||
             (last_ == kWhole && lost * way.team.threads < kDisturbed)) {
    // Undisturbed again: what it was before counts no more.
    way.seconds = seconds;
  } else {
    Smooth(seconds, &way.seconds);
  }
}

}  // namespace clip
