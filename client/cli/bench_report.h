// How `bench` tells what it measured: a table for people, JSON for programs.
//
// Thread rule: use from one thread.
#ifndef ZEROSHOT_CLIENT_CLI_BENCH_REPORT_H_
#define ZEROSHOT_CLIENT_CLI_BENCH_REPORT_H_

#include <string>

#include "client/cli/console.h"
#include "client/cli/load.h"

namespace zeroshot::client {

class BenchReport {
 public:
  // Borrows the console.
  BenchReport(const Console& console, bool json)
      : console_(console), json_(json) {}

  // A point, as soon as it is measured.
  void Add(const Point& point);

  // The outcome of a sweep; `best` is null if no point was within the bound.
  void AddBest(const Point* best, int percentile, absl::Duration bound);

 private:
  void AddRow(const Point& point);

  const Console& console_;
  const bool json_;
  bool heading_ = false;  // was written
};

// "8 at once", "12.5 a second"
std::string HumanLoad(const Load& load);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_BENCH_REPORT_H_
