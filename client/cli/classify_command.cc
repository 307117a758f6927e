#include <algorithm>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/command.h"
#include "client/cli/json.h"
#include "client/in_order.h"

namespace zeroshot::client {
namespace {

constexpr char kDetails[] = R"(
Says what each picture shows: one line a file, best guess first, in the order of
the files. The classifier is an id from `build`, or is described by the flags of
`build` and built first. `-` reads a picture from stdin.

  zeroshot_client classify --weight_set=$ID pictures/*.jpg
  zeroshot_client classify --classes=cat,dog,horse --top_k=2 a.jpg b.png
  curl -s https://example.org/a.jpg | zeroshot_client classify --classes=cat,dog -
  zeroshot_client classify --weight_set=$ID --json *.jpg | jq -r .predictions[0].class_name

A file that fails is reported on stderr and the others go on; the exit code is
then 1. With --json every file has one line on stdout: {"file", "weight_set_id",
"predictions", "timing_ms"}, or {"file", "error"}.
)";

constexpr int kMaxClassColumns = 20;  // longer names do not widen the table
constexpr int kBarColumns = 20;

// What a run needs to know, read from the flags.
struct Options {
  std::vector<std::string> files;
  std::string weight_set_id;  // or:
  ClassifierSpec spec;
  int top_k = 5;
  int parallel = 8;
};

absl::StatusOr<Options> ReadOptions(const Arguments& arguments) {
  Options options;
  options.files = arguments.positional();
  if (options.files.empty()) {
    return absl::InvalidArgumentError("no picture; name files, or - for stdin");
  }
  if (std::count(options.files.begin(), options.files.end(), "-") > 1) {
    return absl::InvalidArgumentError("stdin (-) is named twice");
  }
  if (arguments.Has("weight_set") == HasSpec(arguments)) {
    return absl::InvalidArgumentError(
        "say either --weight_set=ID or what to build (--classes=NAME,...)");
  }
  if (arguments.Has("weight_set")) {
    options.weight_set_id = arguments.Text("weight_set");
    if (options.weight_set_id.empty()) {
      return absl::InvalidArgumentError("--weight_set is empty");
    }
  } else {
    absl::StatusOr<ClassifierSpec> spec = ReadSpec(arguments);
    if (!spec.ok()) return spec.status();
    options.spec = *std::move(spec);
  }
  const absl::StatusOr<int> top_k =
      arguments.Integer("top_k", options.top_k, 1, 1'000'000);
  if (!top_k.ok()) return top_k.status();
  const absl::StatusOr<int> parallel =
      arguments.Integer("parallel", options.parallel, 1, 256);
  if (!parallel.ok()) return parallel.status();
  options.top_k = *top_k;
  options.parallel = *parallel;
  return options;
}

std::string ToJson(const std::string& file, const std::string& weight_set_id,
                   const absl::StatusOr<Answer>& answer) {
  JsonObject line;
  line.Text("file", file);
  if (!answer.ok()) {
    return line.Json("error", JsonError(answer.status())).str();
  }
  std::string predictions;
  for (const Prediction& prediction : answer->predictions) {
    absl::StrAppend(&predictions, predictions.empty() ? "" : ",",
                    JsonObject()
                        .Integer("class_index", prediction.class_index)
                        .Text("class_name", prediction.class_name)
                        .Float("probability", prediction.probability)
                        .Float("logit", prediction.logit)
                        .str());
  }
  const ClassifyTiming& timing = answer->timing;
  return line.Text("weight_set_id", weight_set_id)
      .Json("predictions", absl::StrCat("[", predictions, "]"))
      .Json("timing_ms", JsonObject()
                             .Milliseconds("decode", timing.decode)
                             .Milliseconds("preprocess", timing.preprocess)
                             .Milliseconds("queue", timing.queue)
                             .Milliseconds("compute", timing.compute)
                             .Milliseconds("total", timing.total)
                             .str())
      .str();
}

int LongestOf(const std::vector<std::string>& texts) {
  int longest = 0;
  for (const std::string& text : texts) {
    longest = std::max(longest, ColumnsOf(text));
  }
  return longest;
}

// Lines such as `frog.png   frog 93.1 %   turtle  2.0 %`, in columns.
class AnswerTable {
 public:
  AnswerTable(const Console& console, std::vector<std::string> labels,
              const std::vector<std::string>& class_names)
      : console_(console),
        colour_(console.colour && console.out_is_terminal),
        labels_(std::move(labels)),
        label_columns_(LongestOf(labels_)) {
    for (const std::string& name : class_names) {
      const int columns = ColumnsOf(Printable(name));
      if (columns <= kMaxClassColumns) {
        class_columns_ = std::max(class_columns_, columns);
      }
    }
  }

  const std::string& label(int64_t i) const { return labels_[i]; }

  void Print(int64_t i, const Answer& answer) const {
    std::string line = PadRight(labels_[i], label_columns_);
    const Prediction& best = answer.predictions.front();
    if (console_.out_is_terminal) {
      absl::StrAppend(&line, "  ",
                      Green(Bar(best.probability, kBarColumns), colour_));
    }
    for (const Prediction& prediction : answer.predictions) {
      const std::string guess = absl::StrCat(
          PadRight(Printable(prediction.class_name), class_columns_), " ",
          PadLeft(Percent(prediction.probability), 7));
      absl::StrAppend(
          &line, "  ",
          &prediction == &best ? Bold(guess, colour_) : Dim(guess, colour_));
    }
    *console_.out << line << std::endl;
  }

 private:
  const Console& console_;
  const bool colour_;
  const std::vector<std::string> labels_;
  const int label_columns_;
  int class_columns_ = 0;
};

// The set's id and, if people read the answers, its class names for the width
// of the columns. Finds a wrong id once rather than at every file.
absl::StatusOr<WeightSet> Describe(const Invocation& run,
                                   const std::string& weight_set_id) {
  if (!run.json) return run.client->GetWeightSet(weight_set_id);
  WeightSet set;
  set.info.weight_set_id = weight_set_id;
  return set;
}

int ClassifyFiles(const Invocation& run, const Options& options,
                  Classifier* classifier, const WeightSet& set) {
  const Console& console = run.console;
  const AnswerTable table(console, Labels(options.files), set.class_names);
  const absl::Time start = absl::Now();
  int64_t failed = 0;
  InOrder<absl::StatusOr<Answer>>(
      options.files.size(), options.parallel,
      [&](int64_t i) -> absl::StatusOr<Answer> {
        const ClassifyOptions call{.top_k = options.top_k};
        absl::StatusOr<std::string> image =
            ReadInput(options.files[i], *console.in);
        if (!image.ok()) return image.status();
        return classifier != nullptr
                   ? classifier->Classify(*image, call)
                   : run.client->Classify(*image, set.info.weight_set_id, call);
      },
      [&](int64_t i, absl::StatusOr<Answer> answer) {
        if (!answer.ok()) ++failed;
        if (run.json) {
          const std::string id = classifier != nullptr
                                     ? classifier->weight_set_id()
                                     : set.info.weight_set_id;
          *console.out << ToJson(options.files[i], id, answer) << std::endl;
        } else if (answer.ok()) {
          table.Print(i, *answer);
        } else {
          *console.err << table.label(i) << ": " << HumanError(answer.status())
                       << std::endl;
        }
      });
  if (failed > 0 && !run.json && options.files.size() > 1) {
    *console.err << failed << " of " << options.files.size()
                 << " pictures failed\n";
  } else if (console.out_is_terminal && !run.json && options.files.size() > 1) {
    *console.err << Dim(absl::StrCat(options.files.size(), " pictures in ",
                                     HumanDuration(absl::Now() - start)),
                        console.colour && console.err_is_terminal)
                 << "\n";
  }
  return failed > 0 ? kCallFailed : kOk;
}

int RunClassify(const Invocation& run) {
  const absl::StatusOr<Options> options = ReadOptions(run.arguments);
  if (!options.ok()) return UsageError(run, options.status());
  std::unique_ptr<Classifier> classifier;
  std::string id = options->weight_set_id;
  if (id.empty()) {
    auto built = BuildWithProgress(run, options->spec, /*stream=*/false);
    if (!built.ok()) return CallFailed(run, built.status());
    classifier = *std::move(built);
    id = classifier->weight_set_id();
  }
  const absl::StatusOr<WeightSet> set = Describe(run, id);
  if (!set.ok()) return CallFailed(run, set.status());
  return ClassifyFiles(run, *options, classifier.get(), *set);
}

}  // namespace

Command ClassifyCommand() {
  std::vector<FlagDefinition> flags = {
      {"weight_set", "ID", "the classifier: an id printed by build"},
      {"top_k", "N", "guesses for each picture (default: 5)"},
      {"parallel", "N", "calls in flight (default: 8)"},
  };
  for (const FlagDefinition& flag : SpecFlags()) flags.push_back(flag);
  return {"classify", "FILE...", "say what pictures show",
          kDetails,   flags,     RunClassify};
}

}  // namespace zeroshot::client
