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
  zeroshot_client build --classes=cat,dog --name=pets
  zeroshot_client build --classes=cat,dog --background='landscape,empty room'
  zeroshot_client build --spec=animals.json
  zeroshot_client build shots

--name is for people: `list` and `show` show the last name that anybody gave the
classifier. The id does not depend on it. --background names things that are none
of the classes: answers then say how likely it is that an image shows none of them.
--spec reads the whole build from JSON, with thresholds and groups of classes:

  {"classes": [{"name": "car", "group": "vehicle", "minProbability": 0.6}, ...],
   "templateSet": "openai-imagenet-7", "temperature": 1.5, "background": [...]}

or classes with prompts of their own: {"class": ["sentence", ...], ...}.
--name, --temperature and --background replace those of the file.

A class can be shown by example images besides, whose mean counts half unless
"exampleWeight" says otherwise (over 0; at 1 the prompts are left out). In a file
of --spec they are paths from its folder on; a FOLDER has a subfolder for each
class:

  {"classes": [{"name": "car", "exampleImages": ["car/1.jpg", ...]}, ...]}

A name with a comma in it needs --classes_file or --spec. `zeroshot_client sets`
lists the sets that the server knows.
)";

std::string TimeLeft(const BuildProgress& progress) {
  if (!progress.has_time_left()) return "";
  return absl::StrCat(", ", HumanDuration(ToDuration(progress.time_left())),
                      " left");
}

// Shows a build's progress: a bar on a terminal, lines elsewhere.
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
    return progress.prompts_total() > 0
               ? static_cast<double>(progress.prompts_done()) /
                     progress.prompts_total()
               : 0;
  }

  static std::string Counts(const BuildProgress& progress) {
    return absl::StrCat(WithCommas(progress.prompts_done()), " of ",
                        WithCommas(progress.prompts_total()), " prompts",
                        TimeLeft(progress));
  }

  void ShowJson(const BuildProgress& progress) {
    JsonObject event;
    event.Integer("prompts_done", progress.prompts_done())
        .Integer("prompts_total", progress.prompts_total())
        .Integer("num_tokens_encoded", progress.num_tokens_encoded());
    if (progress.has_time_left()) {
      event.Milliseconds("time_left_ms", ToDuration(progress.time_left()));
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
  const v1::BuildTiming& timing = built.timing();
  return JsonObject()
      .Text("weight_set_id", built.weight_set_id())
      .Integer("num_classes", built.num_classes())
      .Integer("num_background", built.num_background())
      .Integer("embedding_dim", built.embedding_dim())
      .Bool("cached", built.cached())
      .Integer("num_prompts", built.num_prompts())
      .Integer("num_examples", built.num_examples())
      .Integer("num_tokens", built.num_tokens())
      .Integer("num_tokens_encoded", built.num_tokens_encoded())
      .Json("warnings", JsonArray(built.warnings()))
      .Json("timing_ms",
            JsonObject()
                .Milliseconds("queue", ToDuration(timing.queue()))
                .Milliseconds("tokenize", ToDuration(timing.tokenize()))
                .Milliseconds("encode", ToDuration(timing.encode()))
                .Milliseconds("finish", ToDuration(timing.finish()))
                .Milliseconds("total", ToDuration(timing.total()))
                .str())
      .str();
}

std::string Summary(const BuildResult& built) {
  const std::string what = absl::StrCat(
      WithCommas(built.num_classes()), " classes, ",
      built.num_background() == 0
          ? ""
          : absl::StrCat(WithCommas(built.num_background()),
                         " of background, "),
      WithCommas(built.num_prompts()), " prompts",
      built.num_examples() == 0
          ? ""
          : absl::StrCat(", ", WithCommas(built.num_examples()), " examples"));
  if (built.cached()) return absl::StrCat("found ", what, ", built before");
  return absl::StrCat("built ", what, " in ",
                      HumanDuration(ToDuration(built.timing().total())), " (",
                      WithCommas(built.num_tokens()), " tokens, ",
                      WithCommas(built.num_tokens_encoded()), " encoded)");
}

int RunBuild(const Invocation& run) {
  const std::vector<std::string>& folders = run.arguments.positional();
  if (folders.size() > 1) {
    return UsageError(
        run, absl::InvalidArgumentError(absl::StrCat(
                 "unexpected '", folders[1],
                 "'; one folder has a subfolder for each class, and names are "
                 "given by --classes")));
  }
  absl::StatusOr<ClassifierSpec> spec =
      ReadSpec(run.arguments, folders.empty() ? "" : folders.front());
  if (!spec.ok()) return UsageError(run, spec.status());
  if (run.arguments.Has("name")) {
    spec->display_name = run.arguments.Text("name");
  }
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
  *run.console.out << Printable(built.weight_set_id()) << "\n";
  return kOk;
}

}  // namespace

void ShowWarnings(const Invocation& run, const BuildResult& built) {
  if (run.json) return;
  for (const std::string& warning : built.warnings()) {
    *run.console.err << "warning: " << Printable(warning) << "\n";
  }
}

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
  if (classifier.ok()) ShowWarnings(run, (*classifier)->built());
  return classifier;
}

Command BuildCommand() {
  std::vector<FlagDefinition> flags = SpecFlags();
  flags.push_back({"name", "TEXT", "what people call the classifier"});
  flags.push_back({"stream", nullptr,
                   "report progress also where no terminal shows a bar"});
  return {
      "build",  "[FOLDER]", "make a classifier from class names; prints its id",
      kDetails, flags,      RunBuild};
}

}  // namespace zeroshot::client
