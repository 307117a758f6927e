#include "client/cli/answer_table.h"

#include <algorithm>
#include <ostream>

#include "absl/strings/str_cat.h"

namespace zeroshot::client {
namespace {

constexpr int kMaxClassColumns = 20;  // longer names do not widen the table
constexpr int kBarColumns = 20;
constexpr int kIdBytes = 12;  // of an id that people see

}  // namespace

AnswerTable::AnswerTable(const Console& console,
                         const std::vector<std::string>& labels,
                         const std::vector<WeightSet>& sets)
    : console_(console), colour_(console.colour && console.out_is_terminal) {
  for (const std::string& label : labels) {
    label_columns_ = std::max(label_columns_, ColumnsOf(label));
  }
  for (const WeightSet& set : sets) {
    for (const std::string& name : set.class_names()) {
      const int columns = ColumnsOf(Printable(name));
      if (columns <= kMaxClassColumns) {
        class_columns_ = std::max(class_columns_, columns);
      }
    }
  }
}

void AnswerTable::Print(const std::string& label, const Answers& shown) {
  label_columns_ = std::max(label_columns_, ColumnsOf(label));
  for (size_t set = 0; set < shown.ids.size(); ++set) {
    std::string line =
        PadRight(set == 0 ? label : std::string(), label_columns_);
    if (shown.ids.size() > 1) {
      absl::StrAppend(
          &line, "  ",
          PadRight(Printable(shown.ids[set].substr(0, kIdBytes)), kIdBytes));
    }
    const Answer& answer = shown.answers[set];
    absl::StrAppend(&line, Guesses(answer));
    if (answer.other_probability > 0) absl::StrAppend(&line, Other(answer));
    if (!answer.groups.empty()) {
      absl::StrAppend(&line, "\n", PadRight("", label_columns_), "  groups",
                      Groups(answer));
    }
    *console_.out << line << std::endl;
  }
}

std::string AnswerTable::Guesses(const Answer& answer) const {
  std::string line;
  const Prediction& best = answer.predictions.front();
  if (console_.out_is_terminal) {
    absl::StrAppend(&line, "  ",
                    Green(Bar(best.probability, kBarColumns), colour_));
  }
  for (const Prediction& prediction : answer.predictions) {
    const std::string percent = Percent(prediction.probability);
    const std::string guess = absl::StrCat(
        PadRight(Printable(prediction.class_name), class_columns_), " ",
        PadLeft(prediction.accepted ? percent : absl::StrCat("(", percent, ")"),
                7));
    absl::StrAppend(&line, "  ",
                    &prediction == &best && prediction.accepted
                        ? Bold(guess, colour_)
                        : Dim(guess, colour_));
  }
  return line;
}

std::string AnswerTable::Other(const Answer& answer) const {
  return absl::StrCat("  ", Dim(absl::StrCat("none of these ",
                                             Percent(answer.other_probability)),
                                colour_));
}

std::string AnswerTable::Groups(const Answer& answer) {
  std::string line;
  const size_t count =
      std::min(answer.groups.size(), answer.predictions.size());
  for (size_t i = 0; i < count; ++i) {
    absl::StrAppend(&line, "  ", Printable(answer.groups[i].group), " ",
                    Percent(answer.groups[i].probability));
  }
  return line;
}

}  // namespace zeroshot::client
