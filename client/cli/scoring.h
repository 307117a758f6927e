// What classify and reclassify have alike: with which classifier they score,
// how, and where the answers go.
//
// Thread rule: plain values and free functions; use from one thread.
#ifndef ZEROSHOT_CLIENT_CLI_SCORING_H_
#define ZEROSHOT_CLIENT_CLI_SCORING_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/classifier.h"
#include "client/cli/answer_file.h"
#include "client/cli/answers.h"
#include "client/cli/arguments.h"
#include "client/cli/command.h"
#include "client/cli/server_wait.h"
#include "client/types.h"

namespace zeroshot::client {

// What the flags say, of which SpecFlags is a part.
struct Scoring {
  std::vector<std::string> weight_set_ids;  // or:
  ClassifierSpec spec;
  ClassifyOptions call;
  int parallel = 8;
  std::string output;  // empty: stdout
};

std::vector<FlagDefinition> ScoringFlags();
absl::StatusOr<Scoring> ReadScoring(const Arguments& arguments);

// The classifier of a run.
struct Chosen {
  std::vector<std::string> ids;
  std::unique_ptr<Classifier> classifier;  // null: the sets are only named

  // What it makes of embeddings, an item each, with one answer an id.
  absl::StatusOr<std::vector<absl::StatusOr<Answers>>> Score(
      Client* client, absl::Span<const float> embeddings,
      const ClassifyOptions& options) const;
};

// Makes the ids whole, or builds. Where the server was away it is built again.
// Errors are those of the calls.
absl::StatusOr<Chosen> Choose(const Invocation& run, const Scoring& scoring,
                              ServerWait* server);

// The sets, if people read the answers on stdout: their class names give the
// width of columns. Finds a wrong id once rather than at every file.
absl::StatusOr<std::vector<WeightSet>> DescribeChosen(const Invocation& run,
                                                      const Scoring& scoring,
                                                      const Chosen& chosen);

// --output's file; null: stdout.
absl::StatusOr<std::unique_ptr<AnswerFile>> OpenOutput(const Invocation& run,
                                                       const Scoring& scoring,
                                                       const Chosen& chosen);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_SCORING_H_
