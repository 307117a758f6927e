#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "client/cli/bench_report.h"
#include "client/cli/command.h"
#include "client/cli/load.h"

namespace zeroshot::client {
namespace {

constexpr char kDetails[] = R"(
Loads a server and measures it: throughput, latency percentiles, where the time
went, errors by code. FILEs are the pictures, sent in turns. Works with every
server of zeroshot.v1.

  zeroshot_client bench --classes=cat,dog --concurrency=1,8,32 pictures/*.jpg
  zeroshot_client bench --weight_set=$ID --rate=10,20,40 a.jpg
  zeroshot_client bench --weight_set=$ID --sweep=concurrency \
      --latency_bound=200ms --percentile=95 a.jpg

--concurrency is a closed loop: that many calls at once. --rate is an open loop:
calls begin at random times (Poisson), that many a second, whether or not the
server keeps up; latency counts from the time a call was due. A point is
accepted when three windows in a row agree within 10 % in throughput and mean
latency, else told as not stable; low rates need longer windows for it. A sweep
doubles the load until the latency bound is broken, then narrows down; a rate
that the server cannot follow, or errors, break it too.

Stages: decode, crop, queue and compute as the server times them, other is the
rest of its total, outside is network, gRPC and this program. Nothing is tried
again. With --json every point is one line.
)";

struct Options {
  std::vector<std::string> images;  // encoded
  std::string weight_set_id;        // or:
  ClassifierSpec spec;
  int top_k = 5;
  std::vector<Load> loads;
  LoadOptions load;
  std::string sweep;  // "", "concurrency" or "rate"
  absl::Duration latency_bound;
  int percentile = 99;
  double max_load = 0;  // of a sweep
};

// "1,8,32" as numbers from low to high.
absl::StatusOr<std::vector<double>> Numbers(const Arguments& arguments,
                                            absl::string_view flag, double low,
                                            double high, bool whole) {
  std::vector<double> numbers;
  if (!arguments.Has(flag)) return numbers;
  for (absl::string_view text : absl::StrSplit(arguments.Text(flag), ',')) {
    double number = 0;
    if (!absl::SimpleAtod(text, &number) || !(number >= low) ||
        !(number <= high) ||
        (whole && number != static_cast<int64_t>(number))) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", flag, " is '", arguments.Text(flag),
                       "'; it should be numbers from ", low, " to ", high,
                       whole ? ", whole ones" : "", ", separated by commas"));
    }
    numbers.push_back(number);
  }
  return numbers;
}

absl::Status ReadLoads(const Arguments& arguments, Options* options) {
  constexpr double kMaxConcurrency = 4096, kMaxRate = 1e6;
  const auto concurrency =
      Numbers(arguments, "concurrency", 1, kMaxConcurrency, /*whole=*/true);
  if (!concurrency.ok()) return concurrency.status();
  const auto rate = Numbers(arguments, "rate", 0.01, kMaxRate, /*whole=*/false);
  if (!rate.ok()) return rate.status();
  options->sweep = arguments.Text("sweep");
  const int ways = arguments.Has("concurrency") + arguments.Has("rate") +
                   arguments.Has("sweep");
  if (ways > 1) {
    return absl::InvalidArgumentError(
        "say one of --concurrency, --rate and --sweep");
  }
  for (const double at_once : *concurrency) {
    options->loads.push_back({.concurrency = static_cast<int>(at_once)});
  }
  for (const double calls : *rate) options->loads.push_back({.rate = calls});
  if (ways == 0) options->loads.push_back({.concurrency = 1});

  const auto bound = arguments.Time("latency_bound");
  if (!bound.ok()) return bound.status();
  if (arguments.Has("sweep") != bound->has_value()) {
    return absl::InvalidArgumentError(
        "--sweep and --latency_bound go together");
  }
  if (!arguments.Has("sweep")) return absl::OkStatus();
  options->latency_bound = **bound;
  if (options->sweep != "concurrency" && options->sweep != "rate") {
    return absl::InvalidArgumentError(absl::StrCat(
        "--sweep is '", options->sweep, "'; it should be concurrency or rate"));
  }
  options->max_load = options->sweep == "rate" ? kMaxRate : 1024;
  return absl::OkStatus();
}

absl::Status ReadLoadOptions(const Arguments& arguments, Options* options) {
  const auto window = arguments.Time("window");
  if (!window.ok()) return window.status();
  if (window->has_value()) options->load.window = **window;
  const auto read = [&](absl::string_view flag, int low, int high, int* value) {
    const absl::StatusOr<int> number =
        arguments.Integer(flag, *value, low, high);
    if (number.ok()) *value = *number;
    return number.status();
  };
  absl::Status status =
      read("max_windows", kWindows, 1000, &options->load.max_windows);
  status.Update(read("max_in_flight", 1, 4096, &options->load.max_in_flight));
  status.Update(read("top_k", 1, 1'000'000, &options->top_k));
  status.Update(read("percentile", 50, 99, &options->percentile));
  const int p = options->percentile;
  if (status.ok() && p != 50 && p != 90 && p != 95 && p != 99) {
    status = absl::InvalidArgumentError(absl::StrCat(
        "--percentile is '", p, "'; it should be 50, 90, 95 or 99"));
  }
  return status;
}

absl::StatusOr<Options> ReadOptions(const Invocation& run) {
  const Arguments& arguments = run.arguments;
  Options options;
  if (arguments.positional().empty()) {
    return absl::InvalidArgumentError("no picture; name files, or - for stdin");
  }
  if (arguments.Has("weight_set") == HasSpec(arguments)) {
    return absl::InvalidArgumentError(
        "say either --weight_set=ID or what to build (--classes=NAME,...)");
  }
  options.weight_set_id = arguments.Text("weight_set");
  if (HasSpec(arguments)) {
    absl::StatusOr<ClassifierSpec> spec = ReadSpec(arguments);
    if (!spec.ok()) return spec.status();
    options.spec = *std::move(spec);
  }
  absl::Status status = ReadLoads(arguments, &options);
  status.Update(ReadLoadOptions(arguments, &options));
  if (!status.ok()) return status;
  for (const std::string& path : arguments.positional()) {
    absl::StatusOr<std::string> image = ReadInput(path, *run.console.in);
    if (!image.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": ", image.status().message()));
    }
    options.images.push_back(*std::move(image));
  }
  return options;
}

// Whether the server answered what came in at that rate: 90 % of it, less
// three standard deviations of as many Poisson arrivals.
bool KeepsUp(double rate, const Summary& summary, absl::Duration length) {
  const double due = rate * absl::ToDoubleSeconds(length);
  return static_cast<double>(summary.calls) >= 0.9 * due - 3 * std::sqrt(due);
}

// Finds the best load within the latency bound.
template <typename MeasurePoint>
void Sweep(const Options& options, const MeasurePoint& measure,
           BenchReport* report) {
  const bool by_rate = options.sweep == "rate";
  std::optional<Point> best;
  // A rate to begin with: half of what one call after the other gives.
  const double first =
      by_rate ? measure({.concurrency = 1}).summary.calls_per_second / 2 : 1;
  const auto is_within = [&](double load) {
    const Point point = by_rate
                            ? measure({.rate = load})
                            : measure({.concurrency = static_cast<int>(load)});
    const Summary& summary = point.summary;
    const bool within =
        summary.calls_per_second > 0 && summary.num_errors() == 0 &&
        summary.Percentile(options.percentile) <= options.latency_bound &&
        (!by_rate || KeepsUp(load, summary, options.load.window * kWindows));
    if (within && (!best.has_value() ||
                   summary.calls_per_second > best->summary.calls_per_second)) {
      best = point;
    }
    return within;
  };
  if (first > 0) {
    LargestWithin(first, options.max_load, /*whole=*/!by_rate, is_within);
  }
  report->AddBest(best.has_value() ? &*best : nullptr, options.percentile,
                  options.latency_bound);
}

// Why a point has no figures: only errors, which the report names, or calls
// that take longer than its windows.
std::string NothingAnswered(const Load& load, const Point& point,
                            absl::Duration window) {
  const std::string at = load.rate > 0
                             ? absl::StrCat(load.rate, " a second")
                             : absl::StrCat(load.concurrency, " at once");
  if (point.summary.num_errors() > 0) {
    return absl::StrCat(at, ": every call failed");
  }
  return absl::StrCat(at, ": no call ended within the ", point.windows,
                      " windows of ", absl::FormatDuration(window),
                      "; a longer --window measures a slower server");
}

int RunBench(const Invocation& run) {
  absl::StatusOr<Options> options = ReadOptions(run);
  if (!options.ok()) return UsageError(run, options.status());
  std::string id = options->weight_set_id;
  if (id.empty()) {
    const auto built = BuildWithProgress(run, options->spec, /*stream=*/false);
    if (!built.ok()) return CallFailed(run, built.status());
    id = (*built)->weight_set_id();
  }
  const auto call = [&](int64_t i) {
    return run.client->Classify(options->images[i % options->images.size()], id,
                                {.top_k = options->top_k});
  };
  // Every picture once: what cannot work at all is said at once, and the
  // server is warm.
  for (size_t i = 0; i < options->images.size(); ++i) {
    const absl::StatusOr<Answer> answer = call(static_cast<int64_t>(i));
    if (!answer.ok()) return CallFailed(run, answer.status());
  }
  BenchReport report(run.console, run.json);
  const auto measure = [&](const Load& load) {
    Point point = Measure(load, options->load, call);
    report.Add(point);
    return point;
  };
  if (!options->sweep.empty()) {
    Sweep(*options, measure, &report);
    return kOk;
  }
  int exit = kOk;
  for (const Load& load : options->loads) {
    const Point point = measure(load);
    if (point.summary.calls_per_second > 0) continue;
    *run.console.err << NothingAnswered(load, point, options->load.window)
                     << "\n";
    exit = kCallFailed;
  }
  return exit;
}

}  // namespace

Command BenchCommand() {
  std::vector<FlagDefinition> flags = {
      {"weight_set", "ID", "the classifier: an id printed by build"},
      {"concurrency", "N,N,...", "closed loop: calls at once (default: 1)"},
      {"rate", "N,N,...", "open loop: calls a second, at random times"},
      {"sweep", "KIND", "find the best load: concurrency or rate"},
      {"latency_bound", "TIME", "that a sweep keeps to"},
      {"percentile", "N",
       "that the bound is for: 50, 90, 95, 99 (default: 99)"},
      {"window", "TIME", "length of a window (default: 5)"},
      {"max_windows", "N", "of a point, until three agree (default: 10)"},
      {"max_in_flight", "N", "threads of an open loop (default: 256)"},
      {"top_k", "N", "guesses for each picture (default: 5)"},
  };
  for (const FlagDefinition& flag : SpecFlags()) flags.push_back(flag);
  return {"bench",           "FILE...", "load a server and measure it",
          kDetails,          flags,     RunBench,
          /*max_attempts=*/1};
}

}  // namespace zeroshot::client
