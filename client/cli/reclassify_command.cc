#include <algorithm>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/answer_table.h"
#include "client/cli/command.h"
#include "client/cli/scoring.h"
#include "client/cli/server_wait.h"
#include "client/cli/vector_file.h"
#include "client/in_order.h"

namespace zeroshot::client {
namespace {

constexpr char kDetails[] = R"(
Says what images show whose embeddings `classify --vectors` kept, with another
classifier and without the images: no image is read or goes through the model.
The classifier, the options and what is printed are those of `classify`.

  zeroshot_client classify --classes=cat,dog photos --vectors=photos.safetensors
  zeroshot_client reclassify --vectors=photos.safetensors --classes=cat,dog,horse
  zeroshot_client reclassify --vectors=photos.safetensors --weight_set=$ID \
      --output=labels.csv

The server must have the model that made the vectors. --output goes on where a run
was cut off.
)";

// Rows of one call, and what it says of each. Those of images that have no
// vector, or that --output has already, are not sent.
struct Batch {
  std::vector<VectorReader::Row> rows;
};

using Outcomes = std::vector<absl::StatusOr<Answers>>;  // one a row

absl::Status NoVector(const VectorReader::Row& row) {
  return absl::InvalidArgumentError(
      absl::StrCat("it has no vector: ", row.error));
}

Outcomes ScoreBatch(const Invocation& run, const Scoring& scoring,
                    const Chosen& chosen, const Batch& batch,
                    ServerWait* server) {
  std::vector<float> embeddings;
  for (const VectorReader::Row& row : batch.rows) {
    if (!row.error.empty()) continue;
    embeddings.insert(embeddings.end(), row.vector.begin(), row.vector.end());
  }
  absl::StatusOr<Outcomes> scored = Outcomes();
  if (!embeddings.empty()) {
    scored = server->Call<Outcomes>(
        [&] { return chosen.Score(run.client, embeddings, scoring.call); });
  }
  Outcomes outcomes;
  size_t next = 0;
  for (const VectorReader::Row& row : batch.rows) {
    if (!row.error.empty()) {
      outcomes.push_back(NoVector(row));
    } else if (!scored.ok()) {
      outcomes.push_back(scored.status());
    } else if (next < scored->size()) {
      outcomes.push_back(std::move((*scored)[next++]));
    } else {
      outcomes.push_back(absl::InternalError(
          "the server answered another number of embeddings"));
    }
  }
  return outcomes;
}

// Lines of a batch are written together: there may be many in a second.
void Show(const Invocation& run, const Batch& batch, const Outcomes& outcomes,
          AnswerFile* output, AnswerTable* table, ServerWait* server) {
  std::string lines;
  for (size_t i = 0; i < batch.rows.size(); ++i) {
    const VectorReader::Row& row = batch.rows[i];
    const absl::StatusOr<Answers>& answers = outcomes[i];
    server->Count(answers.status());
    if (ServerWait::WasNotTried(answers.status())) continue;
    if (!answers.ok() && (output != nullptr || !run.json)) {
      server->Say(FileError(row.name, answers.status()));
    }
    // An image without a vector never gets one; else a later run may do better.
    if (output != nullptr && (answers.ok() || !row.error.empty())) {
      lines += output->Line(row.name, answers);
    } else if (output == nullptr && run.json) {
      absl::StrAppend(&lines, ToJson(row.name, answers), "\n");
    } else if (output == nullptr && answers.ok()) {
      table->Print(Printable(row.name), *answers);
    }
  }
  if (output == nullptr) {
    *run.console.out << lines << std::flush;
  } else if (const absl::Status written = output->Append(lines);
             !written.ok()) {
    server->Stop(written);
  }
}

int ReclassifyAll(const Invocation& run, const Scoring& scoring,
                  const Chosen& chosen, int rows_of_a_call,
                  const std::vector<WeightSet>& sets, VectorReader* vectors,
                  AnswerFile* output, ServerWait* server) {
  AnswerTable table(run.console, {}, sets);
  if (output != nullptr ||
      (run.console.err_is_terminal && !run.console.out_is_terminal)) {
    server->ShowProgress();
    server->SetTotal(vectors->Count() -
                     (output == nullptr ? 0 : output->num_found()));
  }
  int64_t begun = 0, found = 0;
  InOrderOf<Outcomes, Batch>(
      scoring.parallel,
      [&]() -> std::optional<Batch> {
        Batch batch;
        while (batch.rows.empty()) {
          if (server->stopped()) return std::nullopt;
          auto rows = vectors->Next(rows_of_a_call);
          if (!rows.ok()) server->Stop(rows.status());
          if (!rows.ok() || rows->empty()) return std::nullopt;
          for (VectorReader::Row& row : *rows) {
            if (output == nullptr || output->Claim(row.name)) {
              batch.rows.push_back(std::move(row));
            } else {
              ++found;
            }
          }
        }
        begun += static_cast<int64_t>(batch.rows.size());
        return batch;
      },
      [&](Batch& batch) {
        return ScoreBatch(run, scoring, chosen, batch, server);
      },
      [&](const Batch& batch, const Outcomes& outcomes) {
        Show(run, batch, outcomes, output, &table, server);
      });
  if (found > 0) {
    server->Say(absl::StrCat(scoring.output, " has ", WithCommas(found),
                             " of the images already"));
  }
  return server->Finish(begun);
}

int RunReclassify(const Invocation& run) {
  const Arguments& arguments = run.arguments;
  absl::StatusOr<Scoring> scoring = ReadScoring(arguments);
  if (scoring.ok() && !arguments.Has("vectors")) {
    scoring = absl::InvalidArgumentError(
        "no vectors; say --vectors=FILE, which `classify --vectors` wrote");
  }
  if (scoring.ok() && !arguments.positional().empty()) {
    scoring = absl::InvalidArgumentError(
        absl::StrCat("unexpected '", arguments.positional()[0],
                     "'; what is scored is in --vectors"));
  }
  if (!scoring.ok()) return UsageError(run, scoring.status());
  auto vectors = VectorReader::Open(arguments.Text("vectors"));
  if (!vectors.ok()) return UsageError(run, vectors.status());
  ServerWait server(run);
  const absl::Status begun = server.Begin();
  if (absl::IsInvalidArgument(begun)) return UsageError(run, begun);
  if (!begun.ok()) return CallFailed(run, begun);
  const absl::StatusOr<ModelInfo> model = run.client->GetModel();
  if (!model.ok()) return CallFailed(run, model.status());
  const absl::Status same = (*vectors)->CheckModel(*model);
  if (!same.ok()) return UsageError(run, same);
  const absl::StatusOr<Chosen> chosen = Choose(run, *scoring, &server);
  if (!chosen.ok()) return CallFailed(run, chosen.status());
  const auto output = OpenOutput(run, *scoring, *chosen);
  if (!output.ok()) return UsageError(run, output.status());
  const auto sets = DescribeChosen(run, *scoring, *chosen);
  if (!sets.ok()) return CallFailed(run, sets.status());
  const auto rows =
      static_cast<int>(std::max<int64_t>(1, model->limits().max_batch_items()));
  return ReclassifyAll(run, *scoring, *chosen, rows, *sets, vectors->get(),
                       output->get(), &server);
}

}  // namespace

Command ReclassifyCommand() {
  std::vector<FlagDefinition> flags = ScoringFlags();
  flags.push_back({"vectors", "FILE", "embeddings that `classify` kept"});
  flags.push_back({"overwrite", nullptr, "begin --output again from nothing"});
  return {
      "reclassify", "",    "say what images show whose embeddings were kept",
      kDetails,     flags, RunReclassify};
}

}  // namespace zeroshot::client
