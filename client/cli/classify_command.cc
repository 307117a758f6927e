#include <algorithm>
#include <optional>
#include <ostream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/answer_table.h"
#include "client/cli/answers.h"
#include "client/cli/command.h"
#include "client/cli/image_source.h"
#include "client/cli/scoring.h"
#include "client/cli/server_wait.h"
#include "client/cli/vector_file.h"
#include "client/error_info.h"
#include "client/in_order.h"

namespace zeroshot::client {
namespace {

constexpr char kDetails[] = R"(
Says what each image shows: one line per image, best guess first, in the order of
the files. The classifier is an id from `build`, or is described by the flags of
`build` and built first; for one image that is one call. Several ids
(--weight_set given again) cost one pass of each image and give one line each.

A folder is the images in it, by the ends of their names and in their order;
--recursive adds its subfolders. An archive (.tar, .tar.gz, .zip, ...), as a shard of
WebDataset, is the images in it. --files_from reads names from a list. `-` reads one
image from stdin.

  zeroshot_client classify --classes=frog,apple,car models/demo/images/*
  zeroshot_client classify --weight_set=$ID photos/*.jpg
  zeroshot_client classify --weight_set=$ANIMALS --weight_set=$PLACES a.jpg
  zeroshot_client classify --classes=cat,dog,horse --top_k=2 a.jpg b.png
  zeroshot_client classify --weight_set=$ID --min_probability=0.6 photos/*.jpg
  zeroshot_client classify --weight_set=$ID -- --a-name-with-dashes.jpg
  zeroshot_client classify --weight_set=$ID --recursive photos --output=labels.csv
  zeroshot_client classify --weight_set=$ID photos --vectors=photos.safetensors
  find photos -print0 | zeroshot_client classify --weight_set=$ID --files_from=-
  curl -s https://example.org/a.jpg | zeroshot_client classify --classes=cat,dog -
  zeroshot_client classify --weight_set=$ID --json *.jpg | jq -r .predictions[0].class_name

A guess in parentheses is not accepted: its probability is below the
min_probability of its class or, if that has none, below --min_probability. `none
of these` is the probability of the background classes, if the classifier has any.
A second line has the groups of classes, if there are any.

--output writes one line per image to a .csv or .jsonl (that of --json) as answers come.
The same command continues where a run was cut off: no image has two lines. An
image that cannot be read has a line with the error. An image that failed for
another reason has none, so that the next run tries it again. --vectors keeps the
images' embeddings in the same way, in FILE.safetensors with their names in
FILE.names.csv, so that `reclassify` can try other classes without the images.

A file that fails is reported on stderr and the others go on; the exit code is
then 1. If the server goes away classify waits for it, goes on where it was, and
stops if it does not come back; a last line on stderr counts the files that were
answered, failed and not tried. With --json every file has one line on stdout:
{"file", "weight_set_id", "predictions", "groups", "other_probability",
"timing_ms", "embedding_cached"}, or {"file", "error"}; with several ids also
"more": [{"weight_set_id", "predictions", "groups", "other_probability"}].
)";

// What a run needs to know.
struct Options {
  Scoring scoring;
  std::unique_ptr<ImageSource> images;
  std::optional<std::vector<std::string>> files;  // all, if that is all
  std::optional<std::string> image;  // of the only file, if it was read before
  Chosen chosen;
  std::unique_ptr<AnswerFile> output;     // null: stdout
  std::unique_ptr<VectorWriter> vectors;  // null: they are not kept
};

absl::StatusOr<Options> ReadOptions(const Invocation& run) {
  const Arguments& arguments = run.arguments;
  Options options;
  auto images = ImageSource::Open(arguments, *run.console.in);
  if (!images.ok()) return images.status();
  options.images = *std::move(images);
  options.files = options.images->OnlyFiles();
  absl::StatusOr<Scoring> scoring = ReadScoring(arguments);
  if (!scoring.ok()) return scoring.status();
  options.scoring = *std::move(scoring);
  if (arguments.Has("vectors")) {
    absl::Status named = VectorWriter::CheckPath(arguments.Text("vectors"));
    if (!named.ok()) return named;
  } else if (arguments.Has("overwrite") && options.scoring.output.empty()) {
    return absl::InvalidArgumentError(
        "--overwrite is for --output=FILE and --vectors=FILE");
  }
  return options;
}

// An image and the files that have nothing of it yet.
struct Item {
  NamedImage image;
  bool to_output = false, to_vectors = false;
};

// What became of it.
struct Outcome {
  absl::StatusOr<Answers> answers;
  std::optional<Embedding> embedding = {};  // if it is to be kept
  // The image itself is at fault, so that no later run does better.
  bool final = true;
};

// Whether the image is at fault, and not the classifier or the server.
bool IsOfImage(const absl::Status& status) {
  return absl::StartsWith(ReasonOf(status), "IMAGE_");
}

absl::StatusOr<Answers> ClassifyImage(const Invocation& run,
                                      const Options& options,
                                      const std::string& image) {
  const ClassifyOptions& call = options.scoring.call;
  const auto& [ids, classifier] = options.chosen;
  if (classifier == nullptr) {
    absl::StatusOr<std::vector<Answer>> answers =
        run.client->ClassifyWithEach(image, ids, call);
    if (!answers.ok()) return answers.status();
    return Answers{ids, *std::move(answers)};
  }
  absl::StatusOr<Answer> answer = classifier->Classify(image, call);
  if (!answer.ok()) return answer.status();
  return Answers{{classifier->weight_set_id()}, {*std::move(answer)}};
}

// The image's embedding, for `embedding`, and what that scores: one pass of the
// image.
absl::StatusOr<Answers> EmbedAndScore(const Invocation& run,
                                      const Options& options,
                                      const std::string& image,
                                      std::optional<Embedding>* embedding) {
  if (!embedding->has_value()) {
    auto embedded = run.client->EmbedImages(absl::MakeConstSpan(&image, 1));
    if (!embedded.ok()) return embedded.status();
    if (!embedded->front().ok()) return embedded->front().status();
    *embedding = *std::move(embedded->front());
  }
  auto scored =
      options.chosen.Score(run.client, **embedding, options.scoring.call);
  if (!scored.ok()) return scored.status();
  if (scored->size() != 1) {
    return absl::InternalError("the server answered another number of images");
  }
  return std::move(scored->front());
}

Outcome ClassifyOne(const Invocation& run, const Options& options, Item* item,
                    ServerWait* server) {
  NamedImage& image = item->image;
  if (options.output != nullptr) {
    absl::Status good = options.output->CheckName(image.name);
    if (!good.ok()) return {std::move(good), std::nullopt, /*final=*/false};
  }
  const absl::StatusOr<std::string> bytes =
      options.image.has_value() ? *options.image
                                : ImageSource::Read(image, *run.console.in);
  if (!bytes.ok()) return {bytes.status()};
  Outcome outcome;
  outcome.answers = server->Call<Answers>([&] {
    return item->to_vectors
               ? EmbedAndScore(run, options, *bytes, &outcome.embedding)
               : ClassifyImage(run, options, *bytes);
  });
  image.bytes.reset();  // not kept while it waits for its turn to be shown
  outcome.final = outcome.answers.ok() || IsOfImage(outcome.answers.status());
  return outcome;
}

// For people or for programs; `label` is what people see of the name.
void Show(const Invocation& run, const std::string& name,
          const std::string& label, const absl::StatusOr<Answers>& answers,
          AnswerTable* table, ServerWait* server) {
  server->Count(answers.status());
  if (ServerWait::WasNotTried(answers.status())) return;
  if (run.json) {
    *run.console.out << ToJson(name, answers) << std::endl;
  } else if (answers.ok()) {
    table->Print(label, *answers);
  } else {
    server->Say(FileError(name, answers.status()));
  }
}

// A row and a line in the files; what a later run may do better has none. The
// row comes first: a file that has a line is done.
void Keep(const Item& item, const Outcome& outcome, Options* options,
          ServerWait* server) {
  const absl::Status& status = outcome.answers.status();
  if (ServerWait::WasNotTried(status) || !outcome.final) return;
  const std::string& name = item.image.name;
  absl::Status written;
  if (item.to_vectors) {
    written = options->vectors->Write(
        name, status.ok() ? absl::StatusOr<Embedding>(*outcome.embedding)
                          : absl::StatusOr<Embedding>(status));
  }
  if (item.to_output && written.ok()) {
    written =
        options->output->Append(options->output->Line(name, outcome.answers));
  }
  if (!written.ok()) server->Stop(written);
}

// The next image that a file has nothing of yet, or any if there are none.
std::optional<Item> NextItem(Options* options, ServerWait* server,
                             int64_t* found) {
  AnswerFile* const output = options->output.get();
  VectorWriter* const vectors = options->vectors.get();
  while (true) {
    // Of files that are named all are counted, also those not tried.
    if (!options->files.has_value() && server->stopped()) return std::nullopt;
    std::optional<NamedImage> image = options->images->Next();
    if (!image.has_value()) return std::nullopt;
    Item item{*std::move(image)};
    item.to_output = output != nullptr && output->Claim(item.image.name);
    item.to_vectors = vectors != nullptr && vectors->Claim(item.image.name);
    if (item.to_output || item.to_vectors ||
        (output == nullptr && vectors == nullptr)) {
      return item;
    }
    ++*found;
  }
}

int64_t NumFound(const Options& options) {
  if (options.output == nullptr) {
    return options.vectors == nullptr ? 0 : options.vectors->num_found();
  }
  if (options.vectors == nullptr) return options.output->num_found();
  return std::min(options.output->num_found(), options.vectors->num_found());
}

int ClassifyAll(const Invocation& run, Options* options,
                const std::vector<WeightSet>& sets, ServerWait* server) {
  std::vector<std::string> labels;
  if (options->files.has_value()) labels = Labels(*options->files);
  AnswerTable table(run.console, labels, sets);
  const bool shows = options->output == nullptr;
  if (!shows || (run.console.err_is_terminal && !run.console.out_is_terminal)) {
    server->ShowProgress();
  }
  // Beside the calls: a tree may take long to be walked.
  std::thread count([&] {
    if (const auto total = options->images->Count(); total.has_value()) {
      server->SetTotal(*total - NumFound(*options));
    }
  });
  int64_t begun = 0, found = 0, shown = 0;
  InOrderOf<Outcome, Item>(
      options->scoring.parallel,
      [&]() -> std::optional<Item> {
        std::optional<Item> item = NextItem(options, server, &found);
        if (item.has_value()) ++begun;
        return item;
      },
      [&](Item& item) { return ClassifyOne(run, *options, &item, server); },
      [&](const Item& item, const Outcome& outcome) {
        Keep(item, outcome, options, server);
        const std::string& name = item.image.name;
        if (shows) {
          const std::string label =
              options->files.has_value() ? labels[shown++] : Printable(name);
          return Show(run, name, label, outcome.answers, &table, server);
        }
        const absl::Status& status = outcome.answers.status();
        server->Count(status);
        if (!status.ok() && !ServerWait::WasNotTried(status)) {
          server->Say(FileError(name, status));
        }
      });
  count.join();
  if (found > 0) {
    server->Say(absl::StrCat(
        run.arguments.Text(options->output != nullptr ? "output" : "vectors"),
        " has ", WithCommas(found), " of the images already"));
  } else if (begun == 0 && !server->stopped()) {
    server->Say(absl::StrCat("zeroshot_client ", run.command,
                             ": no file there has the name of an image"));
    return kCallFailed;
  }
  return server->Finish(begun);
}

// One image with its classifier in one call. Nothing: it takes a build of its
// own, which has more time and may have more prompts, or says what is wrong;
// then the image is in the options.
std::optional<int> ClassifyInOneCall(const Invocation& run, Options* options,
                                     ServerWait* server) {
  absl::StatusOr<std::string> image =
      ReadInput(options->files->front(), *run.console.in);
  const auto classify = [&]() -> absl::StatusOr<Answers> {
    if (!image.ok()) return image.status();
    return server->Call<Answers>([&]() -> absl::StatusOr<Answers> {
      absl::StatusOr<Answer> answer = run.client->ClassifyInline(
          *image, options->scoring.spec, options->scoring.call);
      if (!answer.ok()) return answer.status();
      std::string id = answer->weight_set_id;
      return Answers{{std::move(id)}, {*std::move(answer)}};
    });
  };
  const absl::StatusOr<Answers> shown = classify();
  if (image.ok() && !shown.ok() && !IsOfImage(shown.status())) {
    options->image = *std::move(image);
    return std::nullopt;
  }
  if (shown.ok() && shown->answers.front().build.has_value()) {
    ShowWarnings(run, *shown->answers.front().build);
  }
  const std::vector<std::string> labels = Labels(*options->files);
  AnswerTable table(run.console, labels, {});
  Show(run, options->files->front(), labels.front(), shown, &table, server);
  return server->Finish(1);
}

// Opens --vectors' file for the server's model, which must stay that: another
// one in its place is no reason to go on.
absl::Status OpenVectors(const Invocation& run, Options* options,
                         ServerWait* server) {
  const absl::StatusOr<ModelInfo> model = run.client->GetModel();
  if (!model.ok()) return model.status();
  auto file = VectorWriter::Open(run.arguments.Text("vectors"), *model,
                                 run.arguments.Has("overwrite"));
  if (!file.ok()) return file.status();
  options->vectors = *std::move(file);
  server->OnReturn([&run, options, was = model->fingerprint()] {
    const absl::StatusOr<ModelInfo> now = run.client->GetModel();
    if (!now.ok()) return now.status();
    if (now->fingerprint() != was) {
      return absl::FailedPreconditionError(
          absl::StrCat("the server has another model now, ", now->name(),
                       ", which --vectors cannot go on with"));
    }
    return options->chosen.classifier == nullptr
               ? absl::OkStatus()
               : run.client->Build(options->scoring.spec).status();
  });
  return absl::OkStatus();
}

int RunClassify(const Invocation& run) {
  absl::StatusOr<Options> options = ReadOptions(run);
  if (!options.ok()) return UsageError(run, options.status());
  ServerWait server(run);
  const absl::Status begun = server.Begin();
  if (absl::IsInvalidArgument(begun)) return UsageError(run, begun);
  if (!begun.ok()) return CallFailed(run, begun);
  const Scoring& scoring = options->scoring;
  if (scoring.weight_set_ids.empty() && scoring.output.empty() &&
      !run.arguments.Has("vectors") && options->files.has_value() &&
      options->files->size() == 1) {
    const std::optional<int> exit = ClassifyInOneCall(run, &*options, &server);
    if (exit.has_value()) return *exit;
  }
  absl::StatusOr<Chosen> chosen = Choose(run, scoring, &server);
  if (!chosen.ok()) return CallFailed(run, chosen.status());
  options->chosen = *std::move(chosen);
  auto output = OpenOutput(run, scoring, options->chosen);
  if (!output.ok()) return UsageError(run, output.status());
  options->output = *std::move(output);
  if (run.arguments.Has("vectors")) {
    absl::Status opened = OpenVectors(run, &*options, &server);
    if (!opened.ok()) {
      return absl::IsInvalidArgument(opened) ||
                     absl::IsFailedPrecondition(opened)
                 ? UsageError(run, opened)
                 : CallFailed(run, opened);
    }
  }
  const auto sets = DescribeChosen(run, scoring, options->chosen);
  if (!sets.ok()) return CallFailed(run, sets.status());
  return ClassifyAll(run, &*options, *sets, &server);
}

}  // namespace

Command ClassifyCommand() {
  std::vector<FlagDefinition> flags = ScoringFlags();
  flags.push_back(
      {"vectors", "FILE",
       "keep embeddings in FILE (.safetensors), and go on where it ends"});
  flags.push_back({"overwrite", nullptr,
                   "begin --output and --vectors again from nothing"});
  for (const FlagDefinition& flag : ImageSourceFlags()) flags.push_back(flag);
  return {"classify",
          "FILE|FOLDER|ARCHIVE...",
          "say what images show",
          kDetails,
          flags,
          RunClassify};
}

}  // namespace zeroshot::client
