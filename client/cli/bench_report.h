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
  // Borrows the console. `batch`: images of a call, in batches; 0: one each.
  BenchReport(const Console& console, bool json, int batch = 0)
      : console_(console), json_(json), batch_(batch) {}

  // A point, as soon as it is measured.
  void Add(const Point& point);

  // The outcome of a sweep; `best` is null if no point was within the bound.
  void AddBest(const Point* best, int percentile, absl::Duration bound);

 private:
  void AddRow(const Point& point);
  std::string ToJson(const Point& point) const;
  // Calls per second, or images where a call has several.
  std::string Unit() const;
  double PerSecond(const Summary& summary) const;

  const Console& console_;
  const bool json_;
  const int batch_;
  bool heading_ = false;  // was written
};

// "8 at once", "12.5 per second"
std::string HumanLoad(const Load& load);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_BENCH_REPORT_H_
