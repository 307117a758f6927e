#include "clip/team_choice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

namespace clip {
namespace {

// A machine on which calls take known times: no clock, no threads.
struct Machine {
  int cores = 2;
  double alone = 100, patient = 105;  // ms of a call without neighbours
  double one = 170;                   // on one thread
  // Beside neighbours:
  int free_cores = 2;
  double spinning = 400, sleeping = 150, fewer = 175;

  double Time(const Team& team) const {
    const bool busy = free_cores < cores;
    if (team.patient) return busy ? sleeping : patient;
    if (team.threads < cores) return busy ? fewer : one;
    return busy ? spinning : alone;
  }
  // Only the whole team, spinning, loses anything worth speaking of.
  double Lost(const Team& team) const {
    return team.threads == cores ? 1 - static_cast<double>(free_cores) / cores
                                 : 0.0;
  }
};

std::string Name(const Team& team) {
  return std::to_string(team.threads) + (team.patient ? " patient" : "");
}

// How often each team was chosen in `calls` calls.
std::map<std::string, int> Calls(TeamChoice* choice, const Machine& machine,
                                 int calls) {
  std::map<std::string, int> chosen;
  for (int i = 0; i < calls; ++i) {
    const Team team = choice->Next();
    choice->Took(machine.Time(team), machine.Lost(team));
    ++chosen[Name(team)];
  }
  return chosen;
}

using Chosen = std::map<std::string, int>;

TEST(TeamChoiceTest, TriesNothingWithoutNeighbours) {
  TeamChoice choice(2);
  EXPECT_EQ(Calls(&choice, {}, 1000), (Chosen{{"2", 1000}}));
}

TEST(TeamChoiceTest, OneThreadIsAlwaysOne) {
  TeamChoice choice(1);
  EXPECT_EQ(Calls(&choice, {.cores = 1, .free_cores = 0}, 100),
            (Chosen{{"1", 100}}));
}

TEST(TeamChoiceTest, OneCallThatIsDisturbedChangesNothing) {
  TeamChoice choice(2);
  Calls(&choice, {}, 50);
  choice.Next();
  choice.Took(150, 0.2);
  EXPECT_EQ(Calls(&choice, {}, 100), (Chosen{{"2", 100}}));
}

TEST(TeamChoiceTest, BesideNeighboursTakesWhatIsFastest) {
  Machine machine{.free_cores = 1, .sleeping = 200, .fewer = 170};
  TeamChoice choice(2);
  Calls(&choice, {}, 50);
  Calls(&choice, machine, 10);
  EXPECT_GE(Calls(&choice, machine, 100)["1"], 94);
  machine.sleeping = 150;
  TeamChoice other(2);
  Calls(&other, machine, 10);
  EXPECT_GE(Calls(&other, machine, 100)["2 patient"], 94);
}

TEST(TeamChoiceTest, StaysWholeWhereThatIsFastestAllTheSame) {
  const Machine machine{.free_cores = 1, .spinning = 120};
  TeamChoice choice(2);
  Calls(&choice, machine, 20);
  EXPECT_GE(Calls(&choice, machine, 100)["2"], 94);
}

TEST(TeamChoiceTest, WhatIsSlowerCostsAThirtiethOfTheTime) {
  const Machine machine{.free_cores = 1, .spinning = 2000};
  TeamChoice choice(2);
  Calls(&choice, machine, 20);
  const Chosen chosen = Calls(&choice, machine, 1000);
  EXPECT_LE(chosen.at("2"), 8);
  EXPECT_GE(chosen.at("2"), 5);  // or it would never recover
}

TEST(TeamChoiceTest, IsWholeAgainWhenTheNeighboursHaveGone) {
  TeamChoice choice(2);
  Calls(&choice, {.free_cores = 1}, 300);
  Calls(&choice, {}, 200);
  EXPECT_EQ(Calls(&choice, {}, 1000), (Chosen{{"2", 1000}}));
}

TEST(TeamChoiceTest, FollowsNeighboursThatChange) {
  TeamChoice choice(2);
  Machine machine{.free_cores = 1, .sleeping = 200, .fewer = 170};
  Calls(&choice, machine, 300);
  machine = {.free_cores = 1, .sleeping = 150, .fewer = 300};
  Calls(&choice, machine, 100);
  EXPECT_GE(Calls(&choice, machine, 100)["2 patient"], 90);
}

TEST(TeamChoiceTest, FewerIsAsManyThreadsAsHadACore) {
  TeamChoice choice(16);
  const Machine machine{
      .cores = 16, .free_cores = 13, .sleeping = 200, .fewer = 110};
  Calls(&choice, machine, 20);
  EXPECT_GE(Calls(&choice, machine, 100)["13"], 90);
}

TEST(TeamChoiceTest, TheFirstCallOfATeamIsNotCounted) {
  // It compiles kernels: as slow as the whole team beside neighbours, or more.
  TeamChoice choice(2);
  const Machine machine{.free_cores = 1, .sleeping = 1000, .fewer = 170};
  bool first = true;
  for (int i = 0; i < 50; ++i) {
    const Team team = choice.Next();
    const bool compiles = team.threads == 1 && first;
    if (compiles) first = false;
    choice.Took(compiles ? 5000 : machine.Time(team), machine.Lost(team));
  }
  EXPECT_GE(Calls(&choice, machine, 100)["1"], 90);
}

}  // namespace
}  // namespace clip
