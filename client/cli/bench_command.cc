#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/host_port.h"
#include "client/cli/bench_report.h"
#include "client/cli/command.h"
#include "client/cli/connection.h"
#include "client/cli/http_call.h"
#include "client/cli/load.h"

namespace zeroshot::client {
namespace {

constexpr char kDetails[] = R"(
Loads a server and measures it: throughput, latency percentiles, where the time
went, errors by code. FILEs are the images, sent in turns. Works with every
server of zeroshot.v1.

  zeroshot_client bench --classes=cat,dog --concurrency=1,8,32 images/*.jpg
  zeroshot_client bench --weight_set=$ID --rate=10,20,40 a.jpg
  zeroshot_client bench --weight_set=$ID --sweep=concurrency \
      --latency_bound=200ms --percentile=95 a.jpg

--concurrency is a closed loop: that many calls at once. --rate is an open loop:
calls begin at random times (Poisson), that many per second, whether or not the
server keeps up; latency counts from the time a call was due. A point is
accepted when three windows in a row agree within 10 % in throughput and mean
latency, and is marked as not stable otherwise; low rates need longer windows. A sweep
doubles the load until the latency bound is broken, then narrows down; a rate
that the server cannot follow, or errors, break it too.

--http classifies over HTTP, with the image as the body, at --http_listen of the
same server; the classifier is built through --target.

--batch sends so many images in one call (ClassifyBatch) and shows images per
second. --inline sends the classifier itself with every call instead of its id.

Stages: decode, crop, queue and compute as the server times them, other is the
rest of its total, outside is network, gRPC and this program; of a batch decode
and crop are all images', queue and compute the last one's. Nothing is tried
again. With --json every point is one line.
)";

struct Options {
  std::vector<std::string> images;  // encoded
  std::string weight_set_id;        // or:
  ClassifierSpec spec;
  int top_k = 5;
  int batch = 0;                       // images of a call; 0: Classify, one
  bool is_inline = false;              // the spec with every call
  std::optional<base::HostPort> http;  // classify there; else over gRPC
  std::string token;                   // over HTTP
  absl::Duration timeout;              // likewise
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
  status.Update(read("batch", 1, 4096, &options->batch));
  status.Update(read("percentile", 50, 99, &options->percentile));
  const int p = options->percentile;
  if (status.ok() && p != 50 && p != 90 && p != 95 && p != 99) {
    status = absl::InvalidArgumentError(absl::StrCat(
        "--percentile is '", p, "'; it should be 50, 90, 95 or 99"));
  }
  return status;
}

// A token goes in plain text to this machine only, unless that is asked for.
absl::Status ReadHttp(const Arguments& arguments, Options* options) {
  if (!arguments.Has("http")) return absl::OkStatus();
  options->http = base::ParseHostPort(arguments.Text("http"));
  if (!options->http.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--http is '", arguments.Text("http"), "'; it should be HOST:PORT"));
  }
  if (arguments.Has("batch") || options->is_inline) {
    return absl::InvalidArgumentError(
        "--http is for one image a call and a weight set's id, so that "
        "--batch and --inline are not allowed");
  }
  ClientOptions connection;
  absl::Status read = ReadConnection(arguments, &connection);
  if (!read.ok()) return read;
  if (!connection.token.empty() && !connection.token_without_tls &&
      !base::IsLoopback(options->http->host)) {
    return absl::InvalidArgumentError(
        "--http is plain text: a token is sent to this machine only, or with "
        "--token_without_tls");
  }
  options->token = connection.token;
  const auto timeout = arguments.Time("timeout");
  if (!timeout.ok()) return timeout.status();
  options->timeout = timeout->value_or(connection.timeout);
  return absl::OkStatus();
}

absl::StatusOr<Options> ReadOptions(const Invocation& run) {
  const Arguments& arguments = run.arguments;
  Options options;
  if (arguments.positional().empty()) {
    return absl::InvalidArgumentError("no image; name files, or - for stdin");
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
  options.is_inline = arguments.Has("inline");
  if (options.is_inline && !HasSpec(arguments)) {
    return absl::InvalidArgumentError(
        "--inline needs what to build (--classes=NAME,...)");
  }
  absl::Status http = ReadHttp(arguments, &options);
  if (!http.ok()) return http;
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
                             ? absl::StrCat(load.rate, " per second")
                             : absl::StrCat(load.concurrency, " at once");
  if (point.summary.num_errors() > 0) {
    return absl::StrCat(at, ": every call failed");
  }
  return absl::StrCat(at, ": no call ended within the ", point.windows,
                      " windows of ", absl::FormatDuration(window),
                      "; a longer --window measures a slower server");
}

// A batch as if it were one image; the first that failed fails it.
absl::StatusOr<Answer> AsOne(absl::StatusOr<BatchAnswer> batch) {
  if (!batch.ok()) return batch.status();
  ClassifyTiming all;
  for (const absl::StatusOr<Answer>& item : batch->items) {
    if (!item.ok()) return item.status();
    const ClassifyTiming& timing = item->timing;
    all.decode += timing.decode;
    all.preprocess += timing.preprocess;
    if (timing.queue + timing.compute > all.queue + all.compute) {
      all.queue = timing.queue;
      all.compute = timing.compute;
    }
    all.total = timing.total;
  }
  Answer answer = *std::move(batch->items.front());
  answer.timing = all;
  return answer;
}

// Call number i, with the images whose turn it is.
absl::StatusOr<Answer> Classify(const Invocation& run, const Options& options,
                                const std::string& id, int64_t i) {
  const ClassifyOptions call{.top_k = options.top_k};
  const auto image = [&](int64_t n) -> const std::string& {
    return options.images[n % options.images.size()];
  };
  if (options.batch == 0) {
    return options.is_inline
               ? run.client->ClassifyInline(image(i), options.spec, call)
               : run.client->Classify(image(i), id, call);
  }
  std::vector<std::string> images;
  for (int64_t n = 0; n < options.batch; ++n) {
    images.push_back(image(i * options.batch + n));
  }
  return AsOne(options.is_inline
                   ? run.client->ClassifyBatchInline(images, options.spec, call)
                   : run.client->ClassifyBatch(images, id, call));
}

int RunBench(const Invocation& run) {
  absl::StatusOr<Options> options = ReadOptions(run);
  if (!options.ok()) return UsageError(run, options.status());
  absl::StatusOr<std::string> whole = CompleteId(run, options->weight_set_id);
  if (!whole.ok()) return CallFailed(run, whole.status());
  std::string id = *std::move(whole);
  if (id.empty()) {
    const auto built = BuildWithProgress(run, options->spec, /*stream=*/false);
    if (!built.ok()) return CallFailed(run, built.status());
    id = (*built)->weight_set_id();
  }
  std::function<absl::StatusOr<Answer>(int64_t)> call = [&](int64_t i) {
    return Classify(run, *options, id, i);
  };
  std::optional<HttpCall> http;
  if (options->http.has_value()) {
    http.emplace(options->http->host, options->http->port, id, options->top_k,
                 options->token, options->timeout);
    call = [&](int64_t i) {
      return http->Classify(options->images[i % options->images.size()]);
    };
  }
  // Every image once: what cannot work at all is said at once, and the
  // server is warm.
  for (size_t i = 0; i < options->images.size(); ++i) {
    const absl::StatusOr<Answer> answer = call(static_cast<int64_t>(i));
    if (!answer.ok()) return CallFailed(run, answer.status());
  }
  BenchReport report(run.console, run.json, options->batch);
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
      {"rate", "N,N,...", "open loop: calls per second, at random times"},
      {"sweep", "KIND", "find the best load: concurrency or rate"},
      {"latency_bound", "TIME", "that a sweep keeps to"},
      {"percentile", "N",
       "that the bound is for: 50, 90, 95, 99 (default: 99)"},
      {"window", "TIME", "length of a window (default: 5)"},
      {"max_windows", "N", "of a point, until three agree (default: 10)"},
      {"max_in_flight", "N", "threads of an open loop (default: 256)"},
      {"top_k", "N", "guesses for each image (default: 5)"},
      {"batch", "N", "images of one call (default: one, by Classify)"},
      {"inline", nullptr, "send the classifier with every call"},
      {"http", "HOST:PORT", "classify over HTTP there, in plain text"},
  };
  for (const FlagDefinition& flag : SpecFlags()) flags.push_back(flag);
  return {"bench",           "FILE...", "load a server and measure it",
          kDetails,          flags,     RunBench,
          /*max_attempts=*/1};
}

}  // namespace zeroshot::client
