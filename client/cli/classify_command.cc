#include <algorithm>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/json.h"
#include "client/cli/server_wait.h"
#include "client/in_order.h"

namespace zeroshot::client {
namespace {

constexpr char kDetails[] = R"(
Says what each picture shows: one line a file, best guess first, in the order of
the files. The classifier is an id from `build`, or is described by the flags of
`build` and built first. Several ids (--weight_set given again) cost one pass of
each picture and give a line each. `-` reads a picture from stdin.

  zeroshot_client classify --classes=frog,apple,car models/demo/pictures/*
  zeroshot_client classify --weight_set=$ID photos/*.jpg
  zeroshot_client classify --weight_set=$ANIMALS --weight_set=$PLACES a.jpg
  zeroshot_client classify --classes=cat,dog,horse --top_k=2 a.jpg b.png
  zeroshot_client classify --weight_set=$ID -- --a-name-with-dashes.jpg
  curl -s https://example.org/a.jpg | zeroshot_client classify --classes=cat,dog -
  zeroshot_client classify --weight_set=$ID --json *.jpg | jq -r .predictions[0].class_name

A file that fails is reported on stderr and the others go on; the exit code is
then 1. If the server goes away classify waits for it, goes on where it was, and
stops if it does not come back; a last line on stderr counts the files that were
answered, failed and not tried. With --json every file has one line on stdout: {"file", "weight_set_id",
"predictions", "timing_ms", "embedding_cached"}, or {"file", "error"}; with
several ids also "more": [{"weight_set_id", "predictions"}].
)";

constexpr int kMaxClassColumns = 20;  // longer names do not widen the table
constexpr int kBarColumns = 20;
constexpr int kIdBytes = 12;  // of an id that people see

// What a run needs to know, read from the flags.
struct Options {
  std::vector<std::string> files;
  std::vector<std::string> weight_set_ids;  // or:
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
  options.weight_set_ids = arguments.Texts("weight_set");
  for (const std::string& id : options.weight_set_ids) {
    if (id.empty()) return absl::InvalidArgumentError("--weight_set is empty");
  }
  if (options.weight_set_ids.empty()) {
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

// What the server said of one picture: an answer a weight set, in their order.
struct Shown {
  std::vector<std::string> ids;
  std::vector<Answer> answers;
};

std::string ToJson(const std::vector<Prediction>& predictions) {
  std::string items;
  for (const Prediction& prediction : predictions) {
    absl::StrAppend(&items, items.empty() ? "" : ",",
                    JsonObject()
                        .Integer("class_index", prediction.class_index)
                        .Text("class_name", prediction.class_name)
                        .Float("probability", prediction.probability)
                        .Float("logit", prediction.logit)
                        .str());
  }
  return absl::StrCat("[", items, "]");
}

std::string ToJson(const std::string& file,
                   const absl::StatusOr<Shown>& shown) {
  JsonObject line;
  line.Text("file", file);
  if (!shown.ok()) {
    return line.Json("error", JsonError(shown.status())).str();
  }
  const Answer& answer = shown->answers.front();
  const ClassifyTiming& timing = answer.timing;
  line.Text("weight_set_id", shown->ids.front())
      .Json("predictions", ToJson(answer.predictions))
      .Json("timing_ms", JsonObject()
                             .Milliseconds("decode", timing.decode)
                             .Milliseconds("preprocess", timing.preprocess)
                             .Milliseconds("queue", timing.queue)
                             .Milliseconds("compute", timing.compute)
                             .Milliseconds("total", timing.total)
                             .str())
      .Bool("embedding_cached", answer.embedding_cached);
  std::string more;
  for (size_t i = 1; i < shown->ids.size(); ++i) {
    absl::StrAppend(
        &more, more.empty() ? "" : ",",
        JsonObject()
            .Text("weight_set_id", shown->ids[i])
            .Json("predictions", ToJson(shown->answers[i].predictions))
            .str());
  }
  if (!more.empty()) line.Json("more", absl::StrCat("[", more, "]"));
  return line.str();
}

int LongestOf(const std::vector<std::string>& texts) {
  int longest = 0;
  for (const std::string& text : texts) {
    longest = std::max(longest, ColumnsOf(text));
  }
  return longest;
}

// Lines such as `frog.png   frog 93.1 %   turtle  2.0 %`, in columns; of
// several weight sets a line each, the beginning of its id before the guesses.
class AnswerTable {
 public:
  AnswerTable(const Console& console, std::vector<std::string> labels,
              const std::vector<WeightSet>& sets)
      : console_(console),
        colour_(console.colour && console.out_is_terminal),
        labels_(std::move(labels)),
        label_columns_(LongestOf(labels_)) {
    for (const WeightSet& set : sets) {
      for (const std::string& name : set.class_names) {
        const int columns = ColumnsOf(Printable(name));
        if (columns <= kMaxClassColumns) {
          class_columns_ = std::max(class_columns_, columns);
        }
      }
    }
  }

  void Print(int64_t i, const Shown& shown) const {
    for (size_t set = 0; set < shown.ids.size(); ++set) {
      std::string line =
          PadRight(set == 0 ? labels_[i] : std::string(), label_columns_);
      if (shown.ids.size() > 1) {
        absl::StrAppend(
            &line, "  ",
            PadRight(Printable(shown.ids[set].substr(0, kIdBytes)), kIdBytes));
      }
      *console_.out << line << Guesses(shown.answers[set]) << std::endl;
    }
  }

 private:
  std::string Guesses(const Answer& answer) const {
    std::string line;
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
    return line;
  }

  const Console& console_;
  const bool colour_;
  const std::vector<std::string> labels_;
  const int label_columns_;
  int class_columns_ = 0;
};

// The sets, if people read the answers: their class names give the width of
// the columns. Finds a wrong id once rather than at every file.
absl::StatusOr<std::vector<WeightSet>> Describe(
    const Invocation& run, const std::vector<std::string>& ids) {
  std::vector<WeightSet> sets;
  if (run.json) return sets;
  for (const std::string& id : ids) {
    absl::StatusOr<WeightSet> set = run.client->GetWeightSet(id);
    if (!set.ok()) return set.status();
    sets.push_back(*std::move(set));
  }
  return sets;
}

// `classifier` null: the sets are named by the options.
absl::StatusOr<Shown> ClassifyImage(const Invocation& run,
                                    const Options& options,
                                    const std::string& image,
                                    Classifier* classifier) {
  const ClassifyOptions call{.top_k = options.top_k};
  if (classifier == nullptr) {
    absl::StatusOr<std::vector<Answer>> answers =
        run.client->ClassifyWithEach(image, options.weight_set_ids, call);
    if (!answers.ok()) return answers.status();
    return Shown{options.weight_set_ids, *std::move(answers)};
  }
  absl::StatusOr<Answer> answer = classifier->Classify(image, call);
  if (!answer.ok()) return answer.status();
  return Shown{{classifier->weight_set_id()}, {*std::move(answer)}};
}

int ClassifyFiles(const Invocation& run, const Options& options,
                  Classifier* classifier, const std::vector<WeightSet>& sets,
                  ServerWait* server) {
  const Console& console = run.console;
  const std::vector<std::string>& files = options.files;
  const AnswerTable table(console, Labels(files), sets);
  InOrder<absl::StatusOr<Shown>>(
      files.size(), options.parallel,
      [&](int64_t i) -> absl::StatusOr<Shown> {
        const auto image = ReadInput(files[i], *console.in);
        if (!image.ok()) return image.status();
        return server->Call<Shown>(
            [&] { return ClassifyImage(run, options, *image, classifier); });
      },
      [&](int64_t i, absl::StatusOr<Shown> shown) {
        server->Count(shown.status());
        if (ServerWait::WasNotTried(shown.status())) return;
        if (run.json) {
          *console.out << ToJson(files[i], shown) << std::endl;
        } else if (shown.ok()) {
          table.Print(i, *shown);
        } else {
          server->Say(FileError(files[i], shown.status()));
        }
      });
  return server->Finish(files.size());
}

int RunClassify(const Invocation& run) {
  const absl::StatusOr<Options> options = ReadOptions(run.arguments);
  if (!options.ok()) return UsageError(run, options.status());
  ServerWait server(run);
  const absl::Status begun = server.Begin();
  if (absl::IsInvalidArgument(begun)) return UsageError(run, begun);
  if (!begun.ok()) return CallFailed(run, begun);
  std::unique_ptr<Classifier> classifier;
  std::vector<std::string> ids = options->weight_set_ids;
  if (ids.empty()) {
    auto built = BuildWithProgress(run, options->spec, /*stream=*/false);
    if (!built.ok()) return CallFailed(run, built.status());
    classifier = *std::move(built);
    ids = {classifier->weight_set_id()};
    // A call has less time than a build.
    server.OnReturn([&] { return run.client->Build(options->spec).status(); });
  }
  const absl::StatusOr<std::vector<WeightSet>> sets = Describe(run, ids);
  if (!sets.ok()) return CallFailed(run, sets.status());
  return ClassifyFiles(run, *options, classifier.get(), *sets, &server);
}

}  // namespace

Command ClassifyCommand() {
  std::vector<FlagDefinition> flags = {
      {"weight_set", "ID",
       "the classifier: an id printed by build; repeat for more",
       /*repeated=*/true},
      {"top_k", "N", "guesses for each picture (default: 5)"},
      {"parallel", "N", "calls in flight (default: 8)"},
      WaitForServerFlag(),
  };
  for (const FlagDefinition& flag : SpecFlags()) flags.push_back(flag);
  return {"classify", "FILE...", "say what pictures show",
          kDetails,   flags,     RunClassify};
}

}  // namespace zeroshot::client
