#include "client/cli/answers.h"

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/json.h"

namespace zeroshot::client {
namespace {

std::string ToJson(const std::vector<Prediction>& predictions) {
  std::string items;
  for (const Prediction& prediction : predictions) {
    absl::StrAppend(&items, items.empty() ? "" : ",",
                    JsonObject()
                        .Integer("class_index", prediction.class_index)
                        .Text("class_name", prediction.class_name)
                        .Float("probability", prediction.probability)
                        .Float("logit", prediction.logit)
                        .Float("cosine", prediction.cosine)
                        .Bool("accepted", prediction.accepted)
                        .str());
  }
  return absl::StrCat("[", items, "]");
}

std::string ToJson(const std::vector<GroupScore>& groups) {
  std::string items;
  for (const GroupScore& group : groups) {
    absl::StrAppend(&items, items.empty() ? "" : ",",
                    JsonObject()
                        .Text("group", group.group)
                        .Float("probability", group.probability)
                        .str());
  }
  return absl::StrCat("[", items, "]");
}

// What an answer of one weight set says.
void AddAnswer(const std::string& id, const Answer& answer, JsonObject* out) {
  out->Text("weight_set_id", id)
      .Json("predictions", ToJson(answer.predictions))
      .Json("groups", ToJson(answer.groups))
      .Float("other_probability", answer.other_probability);
}

}  // namespace

std::string ToJson(const std::string& file,
                   const absl::StatusOr<Answers>& answers) {
  JsonObject line;
  line.Text("file", file);
  if (!answers.ok()) {
    return line.Json("error", JsonError(answers.status())).str();
  }
  const Answer& answer = answers->answers.front();
  const ClassifyTiming& timing = answer.timing;
  AddAnswer(answers->ids.front(), answer, &line);
  line.Json("timing_ms", JsonObject()
                             .Milliseconds("decode", timing.decode)
                             .Milliseconds("preprocess", timing.preprocess)
                             .Milliseconds("queue", timing.queue)
                             .Milliseconds("compute", timing.compute)
                             .Milliseconds("total", timing.total)
                             .str())
      .Bool("embedding_cached", answer.embedding_cached);
  std::string more;
  for (size_t i = 1; i < answers->ids.size(); ++i) {
    JsonObject item;
    AddAnswer(answers->ids[i], answers->answers[i], &item);
    absl::StrAppend(&more, more.empty() ? "" : ",", item.str());
  }
  if (!more.empty()) line.Json("more", absl::StrCat("[", more, "]"));
  return line.str();
}

}  // namespace zeroshot::client
