#include <algorithm>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/json.h"

namespace zeroshot::client {
namespace {

constexpr char kDetails[] = R"(
Turns class names into a classifier (a weight set) and prints its id, alone, on
stdout. Building again is safe: what is there already is found at once.

  ID=$(zeroshot_client build --classes=cat,dog,horse)
  zeroshot_client build --classes_file=animals.txt \
      --templates='a photo of a {}.' --templates='a drawing of a {}.'
  zeroshot_client build --class_set=imagenet-1k --template_set=openai-imagenet-80

A name with a comma in it needs --classes_file. `zeroshot_client model` lists
the sets that the server knows.
)";

std::string TimeLeft(const BuildProgress& progress) {
  if (!progress.time_left.has_value()) return "";
  return absl::StrCat(", ", HumanDuration(*progress.time_left), " left");
}

// Shows a build's progress in the way that suits who is looking.
class ProgressDisplay {
 public:
  ProgressDisplay(const Invocation& run, bool stream)
      : run_(run), stream_(stream) {}

  ~ProgressDisplay() {
    if (drawn_) *run_.console.err << "\r\033[K" << std::flush;
  }

  bool wanted() const { return stream_ || run_.console.err_is_terminal; }

  void Show(const BuildProgress& progress) {
    if (stream_ && run_.json) {
      ShowJson(progress);
    } else if (run_.console.err_is_terminal) {
      ShowBar(progress);
    } else {
      ShowLine(progress);
    }
  }

 private:
  static double Fraction(const BuildProgress& progress) {
    return progress.prompts_total > 0
               ? static_cast<double>(progress.prompts_done) /
                     progress.prompts_total
               : 0;
  }

  static std::string Counts(const BuildProgress& progress) {
    return absl::StrCat(WithCommas(progress.prompts_done), " of ",
                        WithCommas(progress.prompts_total), " prompts",
                        TimeLeft(progress));
  }

  void ShowJson(const BuildProgress& progress) {
    JsonObject event;
    event.Integer("prompts_done", progress.prompts_done)
        .Integer("prompts_total", progress.prompts_total)
        .Integer("num_tokens_encoded", progress.num_tokens_encoded);
    if (progress.time_left.has_value()) {
      event.Milliseconds("time_left_ms", *progress.time_left);
    }
    *run_.console.out << JsonObject().Json("progress", event.str()).str()
                      << std::endl;
  }

  void ShowBar(const BuildProgress& progress) {
    const double fraction = Fraction(progress);
    const std::string words =
        absl::StrCat(PadLeft(Percent(fraction), 7), "  ", Counts(progress));
    // What is left of the line after "building  [] " and the words.
    const int room = std::min(30, run_.console.width - ColumnsOf(words) - 14);
    std::ostream& err = *run_.console.err;
    err << "\r\033[Kbuilding  ";
    if (room >= 5) {
      err << "[" << Green(Bar(fraction, room), run_.console.colour) << "] ";
    }
    err << words << std::flush;
    drawn_ = true;
  }

  // A line for every percent at most.
  void ShowLine(const BuildProgress& progress) {
    const int percent = static_cast<int>(Fraction(progress) * 100);
    if (percent == shown_percent_) return;
    shown_percent_ = percent;
    *run_.console.err << "building: " << percent << " %, " << Counts(progress)
                      << std::endl;
  }

  const Invocation& run_;
  const bool stream_;
  bool drawn_ = false;
  int shown_percent_ = -1;
};

std::string ToJson(const BuildResult& built) {
  const BuildTiming& timing = built.timing;
  return JsonObject()
      .Text("weight_set_id", built.weight_set_id)
      .Integer("num_classes", built.num_classes)
      .Integer("embedding_dim", built.embedding_dim)
      .Bool("cached", built.cached)
      .Integer("num_prompts", built.num_prompts)
      .Integer("num_tokens", built.num_tokens)
      .Integer("num_tokens_encoded", built.num_tokens_encoded)
      .Json("warnings", JsonArray(built.warnings))
      .Json("timing_ms", JsonObject()
                             .Milliseconds("queue", timing.queue)
                             .Milliseconds("tokenize", timing.tokenize)
                             .Milliseconds("encode", timing.encode)
                             .Milliseconds("finish", timing.finish)
                             .Milliseconds("total", timing.total)
                             .str())
      .str();
}

std::string Summary(const BuildResult& built) {
  const std::string what =
      absl::StrCat(WithCommas(built.num_classes), " classes, ",
                   WithCommas(built.num_prompts), " prompts");
  if (built.cached) return absl::StrCat("found ", what, ", built before");
  return absl::StrCat("built ", what, " in ", HumanDuration(built.timing.total),
                      " (", WithCommas(built.num_tokens), " tokens, ",
                      WithCommas(built.num_tokens_encoded), " encoded)");
}

int RunBuild(const Invocation& run) {
  if (!run.arguments.positional().empty()) {
    return UsageError(run, absl::InvalidArgumentError(absl::StrCat(
                               "unexpected '", run.arguments.positional()[0],
                               "'; classes are given by --classes")));
  }
  const absl::StatusOr<ClassifierSpec> spec = ReadSpec(run.arguments);
  if (!spec.ok()) return UsageError(run, spec.status());
  const auto classifier =
      BuildWithProgress(run, *spec, run.arguments.Has("stream"));
  if (!classifier.ok()) return CallFailed(run, classifier.status());
  const BuildResult& built = (*classifier)->built();
  if (run.json) {
    *run.console.out << ToJson(built) << "\n";
    return kOk;
  }
  // Flushed in this order: people see what the id is of.
  *run.console.err << Dim(Summary(built),
                          run.console.err_is_terminal && run.console.colour)
                   << std::endl;
  *run.console.out << Printable(built.weight_set_id) << "\n";
  return kOk;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Classifier>> BuildWithProgress(
    const Invocation& run, const ClassifierSpec& spec, bool stream) {
  OnBuildProgress on_progress;
  absl::StatusOr<std::unique_ptr<Classifier>> classifier;
  {
    ProgressDisplay display(run, stream);
    if (display.wanted()) {
      on_progress = [&](const BuildProgress& p) { display.Show(p); };
    }
    classifier = Classifier::Build(run.client, spec, on_progress);
  }
  if (classifier.ok() && !run.json) {
    for (const std::string& warning : (*classifier)->built().warnings) {
      *run.console.err << "warning: " << Printable(warning) << "\n";
    }
  }
  return classifier;
}

Command BuildCommand() {
  std::vector<FlagDefinition> flags = SpecFlags();
  flags.push_back({"stream", nullptr,
                   "report progress also where no terminal shows a bar"});
  return {"build",  "",    "make a classifier from class names; prints its id",
          kDetails, flags, RunBuild};
}

}  // namespace zeroshot::client
