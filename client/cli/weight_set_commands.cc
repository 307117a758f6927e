// list, show, delete: the weight sets that the server keeps.
#include <algorithm>
#include <ostream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "client/cli/command.h"
#include "client/cli/json.h"

namespace zeroshot::client {
namespace {

JsonObject ToJson(const WeightSetInfo& info) {
  JsonObject object;
  object.Text("weight_set_id", info.weight_set_id())
      .Integer("num_classes", info.num_classes())
      .Integer("embedding_dim", info.embedding_dim())
      .Integer("num_prompts", info.num_prompts())
      .Text("model_fingerprint", info.model_fingerprint())
      .Text("precision", info.precision())
      .Integer("size_bytes", info.size_bytes())
      .Integer("num_background", info.num_background())
      .Float("temperature", info.temperature())
      .Text("create_time",
            absl::FormatTime(absl::RFC3339_full, ToTime(info.create_time()),
                             absl::UTCTimeZone()))
      .Text("display_name", info.display_name())
      .Json("first_class_names", JsonArray(info.first_class_names()));
  return object;
}

std::string ToJson(
    const google::protobuf::RepeatedPtrField<v1::ClassDecision>& decisions) {
  std::string items;
  for (const v1::ClassDecision& decision : decisions) {
    JsonObject item;
    item.Integer("class_index", decision.class_index());
    if (decision.has_min_probability()) {
      item.Float("min_probability", decision.min_probability());
    }
    if (!decision.group().empty()) item.Text("group", decision.group());
    absl::StrAppend(&items, items.empty() ? "" : ",", item.str());
  }
  return absl::StrCat("[", items, "]");
}

// "  (vehicle; accepted from 60.0 % on)"
std::string Words(const v1::ClassDecision& decision) {
  std::string words = Printable(decision.group());
  if (decision.has_min_probability()) {
    absl::StrAppend(&words, words.empty() ? "" : "; ", "accepted from ",
                    Percent(decision.min_probability()), " on");
  }
  return absl::StrCat("  (", words, ")");
}

std::string LocalTime(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M", time, absl::LocalTimeZone());
}

// The name that people gave it, or else how its classes begin.
std::string NameOf(const WeightSetInfo& info) {
  if (!info.display_name().empty()) return info.display_name();
  const bool more = info.num_classes() > info.first_class_names().size();
  return absl::StrCat("(", absl::StrJoin(info.first_class_names(), ", "),
                      more ? ", ...)" : ")");
}

void PrintLine(const Console& console, const WeightSetInfo& info) {
  *console.out << Printable(info.weight_set_id())
               << PadLeft(WithCommas(info.num_classes()), 9)
               << PadLeft(WithCommas(info.num_prompts()), 11)
               << PadLeft(HumanBytes(info.size_bytes()), 11) << "  "
               << LocalTime(ToTime(info.create_time())) << "  "
               << Printable(NameOf(info)) << "\n";
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
  const int id_columns = ColumnsOf(Printable(sets->front().weight_set_id()));
  *run.console.out
      << Dim(PadRight("WEIGHT SET", id_columns) +
                 "  CLASSES    PROMPTS       SIZE  BUILT             NAME",
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
  const WeightSetInfo& info = set->weight_set();
  std::ostream& out = *run.console.out;
  if (run.json) {
    out << ToJson(info)
               .Json("class_names", JsonArray(set->class_names()))
               .Json("background", JsonArray(set->background()))
               .Json("decisions", ToJson(set->decisions()))
               .str()
        << "\n";
    return kOk;
  }
  out << "weight set   " << Printable(info.weight_set_id()) << "\n";
  if (!info.display_name().empty()) {
    out << "name         " << Printable(info.display_name()) << "\n";
  }
  out << "classes      " << WithCommas(info.num_classes()) << "\n"
      << "prompts      " << WithCommas(info.num_prompts()) << "\n"
      << "vectors      " << info.embedding_dim() << " floats per class, "
      << HumanBytes(info.size_bytes()) << "\n"
      << "model        " << Printable(info.model_fingerprint()) << "\n"
      << "precision    " << Printable(info.precision()) << "\n"
      << "built        " << LocalTime(ToTime(info.create_time())) << "\n";
  if (info.temperature() != 0 && info.temperature() != 1) {
    out << "temperature  " << info.temperature() << "\n";
  }
  out << "\n";
  auto decision = set->decisions().begin();
  for (int c = 0; c < static_cast<int>(set->class_names().size()); ++c) {
    out << Printable(set->class_names(c));
    if (decision != set->decisions().end() && decision->class_index() == c) {
      out << Words(*decision++);
    }
    out << "\n";
  }
  if (set->background().empty()) return kOk;
  out << "\nbackground, none of the classes:\n\n";
  for (const std::string& name : set->background()) {
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
  for (const std::string& given : ids) {
    // Here and not by the server, to say which set it was.
    const absl::StatusOr<std::string> whole = CompleteId(run, given);
    const std::string id = whole.value_or(given);
    const absl::Status status =
        whole.ok() ? run.client->DeleteWeightSet(id) : whole.status();
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

absl::StatusOr<std::string> CompleteId(const Invocation& run,
                                       const std::string& id) {
  constexpr size_t kLeast = 8, kWhole = 64;
  absl::string_view digits = id;
  absl::ConsumePrefix(&digits, "imported-");
  const bool is_beginning =
      digits.size() >= kLeast && digits.size() < kWhole &&
      std::all_of(digits.begin(), digits.end(), absl::ascii_isxdigit);
  if (!is_beginning) return id;
  absl::StatusOr<WeightSetInfo> info = run.client->DescribeWeightSet(id);
  if (!info.ok()) return info.status();
  return std::move(*info->mutable_weight_set_id());
}

Command ListCommand() {
  return {
      "list",
      "",
      "list the classifiers that the server keeps",
      "\nLists the classifiers (weight sets) that the server keeps in memory, "
      "on disk or in Redis:\none line for each; with --json one object for "
      "each. NAME is what `build --name` last gave\nit, or in parentheses how "
      "its classes begin.\n\n  zeroshot_client list\n",
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
      "line. The first 8 digits of an id, or more, are\nenough where no other "
      "begins so.\n\n  zeroshot_client show $ID\n"
      "  zeroshot_client show 3fa2b1c0\n",
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
          "or importing\nthe same file, gives the same id. The first 8 digits "
          "of an "
          "id, or more, are enough where\nno other begins so.\n\n"
          "  zeroshot_client delete $ID\n",
          {},
          RunDelete};
}

}  // namespace zeroshot::client
