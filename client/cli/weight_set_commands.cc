// list, show, delete: the weight sets that the server keeps.
#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/cli/command.h"
#include "client/cli/json.h"

namespace zeroshot::client {
namespace {

JsonObject ToJson(const WeightSetInfo& info) {
  JsonObject object;
  object.Text("weight_set_id", info.weight_set_id)
      .Integer("num_classes", info.num_classes)
      .Integer("embedding_dim", info.embedding_dim)
      .Integer("num_prompts", info.num_prompts)
      .Text("model_fingerprint", info.model_fingerprint)
      .Text("precision", info.precision)
      .Integer("size_bytes", info.size_bytes)
      .Text("create_time",
            absl::FormatTime(absl::RFC3339_full, info.create_time,
                             absl::UTCTimeZone()));
  return object;
}

std::string LocalTime(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M", time, absl::LocalTimeZone());
}

void PrintLine(const Console& console, const WeightSetInfo& info) {
  *console.out << Printable(info.weight_set_id)
               << PadLeft(WithCommas(info.num_classes), 9)
               << PadLeft(WithCommas(info.num_prompts), 11)
               << PadLeft(HumanBytes(info.size_bytes), 11) << "  "
               << LocalTime(info.create_time) << "\n";
}

int RunList(const Invocation& run) {
  if (!run.arguments.positional().empty()) {
    return UsageError(
        run, absl::InvalidArgumentError(
                 "list takes no arguments; `show ID` describes one set"));
  }
  const auto sets = run.client->ListWeightSets();
  if (!sets.ok()) return CallFailed(run, sets.status());
  if (run.json) {
    for (const WeightSetInfo& info : *sets) {
      *run.console.out << ToJson(info).str() << "\n";
    }
    return kOk;
  }
  if (sets->empty()) {
    *run.console.err << "no weight sets; `zeroshot_client build` makes one\n";
    return kOk;
  }
  const bool colour = run.console.colour && run.console.out_is_terminal;
  const int id_columns = ColumnsOf(Printable(sets->front().weight_set_id));
  *run.console.out << Dim(PadRight("WEIGHT SET", id_columns) +
                              "  CLASSES    PROMPTS       SIZE  BUILT",
                          colour)
                   << "\n";
  for (const WeightSetInfo& info : *sets) PrintLine(run.console, info);
  return kOk;
}

int RunShow(const Invocation& run) {
  const std::vector<std::string>& ids = run.arguments.positional();
  if (ids.size() != 1) {
    return UsageError(
        run, absl::InvalidArgumentError("show needs one weight set's id"));
  }
  const absl::StatusOr<WeightSet> set = run.client->GetWeightSet(ids[0]);
  if (!set.ok()) return CallFailed(run, set.status());
  const WeightSetInfo& info = set->info;
  std::ostream& out = *run.console.out;
  if (run.json) {
    out << ToJson(info).Json("class_names", JsonArray(set->class_names)).str()
        << "\n";
    return kOk;
  }
  out << "weight set   " << Printable(info.weight_set_id) << "\n"
      << "classes      " << WithCommas(info.num_classes) << "\n"
      << "prompts      " << WithCommas(info.num_prompts) << "\n"
      << "vectors      " << info.embedding_dim << " floats a class, "
      << HumanBytes(info.size_bytes) << "\n"
      << "model        " << Printable(info.model_fingerprint) << "\n"
      << "precision    " << Printable(info.precision) << "\n"
      << "built        " << LocalTime(info.create_time) << "\n\n";
  for (const std::string& name : set->class_names) {
    out << Printable(name) << "\n";
  }
  return kOk;
}

int RunDelete(const Invocation& run) {
  const std::vector<std::string>& ids = run.arguments.positional();
  if (ids.empty()) {
    return UsageError(
        run, absl::InvalidArgumentError("delete needs a weight set's id"));
  }
  bool failed = false;
  for (const std::string& id : ids) {
    const absl::Status status = run.client->DeleteWeightSet(id);
    failed = failed || !status.ok();
    if (run.json) {
      JsonObject line;
      line.Text("weight_set_id", id).Bool("deleted", status.ok());
      if (!status.ok()) line.Json("error", JsonError(status));
      *run.console.out << line.str() << "\n";
    } else if (status.ok()) {
      *run.console.out << "deleted " << Printable(id) << "\n";
    } else {
      CallFailed(run, status);
    }
  }
  return failed ? kCallFailed : kOk;
}

}  // namespace

Command ListCommand() {
  return {
      "list",
      "",
      "list the classifiers that the server keeps",
      "\nLists the classifiers (weight sets) that the server keeps in memory, "
      "on disk or in Redis:\none line for each; with --json one object for "
      "each.\n\n  zeroshot_client list\n",
      {},
      RunList};
}

Command ShowCommand() {
  return {
      "show",
      "ID",
      "describe one classifier and list its classes",
      "\nShows what one classifier (weight set) is: its size, the model that "
      "it is for, when it was\nbuilt, and the names of its classes, one a "
      "line.\n\n  zeroshot_client show $ID\n",
      {},
      RunShow};
}

Command DeleteCommand() {
  return {"delete",
          "ID...",
          "delete classifiers",
          "\nDeletes classifiers (weight sets) from the server, its disk and "
          "Redis. "
          "Deleting loses\nnothing for good: building the same classes again, "
          "or importing\nthe same file, gives the same id.\n\n"
          "  zeroshot_client delete $ID\n",
          {},
          RunDelete};
}

}  // namespace zeroshot::client
