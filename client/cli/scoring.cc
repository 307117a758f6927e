#include "client/cli/scoring.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace zeroshot::client {
namespace {

absl::StatusOr<ScoreFunction> ReadScoreFunction(const Arguments& arguments) {
  const std::string name = arguments.Text("score_function");
  if (!arguments.Has("score_function")) return v1::SCORE_FUNCTION_UNSPECIFIED;
  for (const ScoreFunction known :
       {v1::SCORE_FUNCTION_SOFTMAX, v1::SCORE_FUNCTION_SIGMOID}) {
    if (name == NameOf(known)) return known;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--score_function=", name, "; it should be softmax or sigmoid"));
}

}  // namespace

std::vector<FlagDefinition> ScoringFlags() {
  std::vector<FlagDefinition> flags = {
      {"weight_set", "ID",
       "the classifier: an id printed by build; repeat for more",
       /*repeated=*/true},
      {"top_k", "N", "guesses for each image (default: 5)"},
      {"min_probability", "P",
       "the probability from which a guess is accepted, 0 to 1"},
      {"score_function", "NAME",
       "softmax (one class is right) or sigmoid (each is right or wrong by "
       "itself); default: the model's"},
      {"parallel", "N", "calls in flight (default: 8)"},
      {"output", "FILE",
       "write answers to FILE (.csv or .jsonl), and go on where it ends"},
      WaitForServerFlag(),
  };
  for (const FlagDefinition& flag : SpecFlags()) flags.push_back(flag);
  return flags;
}

absl::StatusOr<Scoring> ReadScoring(const Arguments& arguments) {
  Scoring scoring;
  if (arguments.Has("weight_set") == HasSpec(arguments)) {
    return absl::InvalidArgumentError(
        "say either --weight_set=ID or what to build (--classes=NAME,...)");
  }
  scoring.weight_set_ids = arguments.Texts("weight_set");
  for (const std::string& id : scoring.weight_set_ids) {
    if (id.empty()) return absl::InvalidArgumentError("--weight_set is empty");
  }
  if (scoring.weight_set_ids.empty()) {
    absl::StatusOr<ClassifierSpec> spec = ReadSpec(arguments);
    if (!spec.ok()) return spec.status();
    scoring.spec = *std::move(spec);
  }
  const absl::StatusOr<int> top_k =
      arguments.Integer("top_k", scoring.call.top_k, 1, 1'000'000);
  if (!top_k.ok()) return top_k.status();
  const auto min_probability = arguments.Number("min_probability", 0, 1);
  if (!min_probability.ok()) return min_probability.status();
  const auto score_function = ReadScoreFunction(arguments);
  if (!score_function.ok()) return score_function.status();
  const absl::StatusOr<int> parallel =
      arguments.Integer("parallel", scoring.parallel, 1, 256);
  if (!parallel.ok()) return parallel.status();
  scoring.call.top_k = *top_k;
  scoring.call.min_probability = *min_probability;
  scoring.call.score_function = *score_function;
  scoring.parallel = *parallel;
  if (arguments.Has("output")) {
    scoring.output = arguments.Text("output");
    absl::Status named = AnswerFile::CheckPath(scoring.output);
    if (!named.ok()) return named;
  }
  return scoring;
}

absl::StatusOr<std::vector<absl::StatusOr<Answers>>> Chosen::Score(
    Client* client, absl::Span<const float> embeddings,
    const ClassifyOptions& options) const {
  std::vector<absl::StatusOr<Answers>> all;
  for (size_t i = 0; i < ids.size(); ++i) {
    absl::StatusOr<BatchAnswer> batch =
        classifier != nullptr
            ? classifier->ClassifyEmbeddings(embeddings, options)
            : client->ClassifyEmbeddings(embeddings, ids[i], options);
    if (!batch.ok()) return batch.status();
    if (i == 0) all.assign(batch->items.size(), Answers());
    if (batch->items.size() != all.size()) {
      return absl::InternalError("the server answered fewer embeddings");
    }
    for (size_t item = 0; item < all.size(); ++item) {
      absl::StatusOr<Answer>& answer = batch->items[item];
      if (!all[item].ok()) continue;
      if (!answer.ok()) {
        all[item] = answer.status();
        continue;
      }
      all[item]->ids.push_back(batch->weight_set_id);
      all[item]->answers.push_back(*std::move(answer));
    }
  }
  return all;
}

absl::StatusOr<Chosen> Choose(const Invocation& run, const Scoring& scoring,
                              ServerWait* server) {
  Chosen chosen;
  for (const std::string& id : scoring.weight_set_ids) {
    absl::StatusOr<std::string> whole = CompleteId(run, id);
    if (!whole.ok()) return whole.status();
    chosen.ids.push_back(*std::move(whole));
  }
  if (!chosen.ids.empty()) return chosen;
  auto built = BuildWithProgress(run, scoring.spec, /*stream=*/false);
  if (!built.ok()) return built.status();
  chosen.classifier = *std::move(built);
  chosen.ids = {chosen.classifier->weight_set_id()};
  // A call has less time than a build.
  server->OnReturn(
      [&run, &scoring] { return run.client->Build(scoring.spec).status(); });
  return chosen;
}

absl::StatusOr<std::vector<WeightSet>> DescribeChosen(const Invocation& run,
                                                      const Scoring& scoring,
                                                      const Chosen& chosen) {
  std::vector<WeightSet> sets;
  if (run.json || !scoring.output.empty()) return sets;
  for (const std::string& id : chosen.ids) {
    absl::StatusOr<WeightSet> set = run.client->GetWeightSet(id);
    if (!set.ok()) return set.status();
    sets.push_back(*std::move(set));
  }
  return sets;
}

absl::StatusOr<std::unique_ptr<AnswerFile>> OpenOutput(const Invocation& run,
                                                       const Scoring& scoring,
                                                       const Chosen& chosen) {
  if (scoring.output.empty()) return std::unique_ptr<AnswerFile>();
  return AnswerFile::Open(scoring.output, scoring.call.top_k, chosen.ids,
                          run.arguments.Has("overwrite"));
}

}  // namespace zeroshot::client
