#include "client/cli/answer_file.h"

#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/command.h"
#include "client/cli/json.h"
#include "client/error_info.h"
#include "client/utf8.h"

namespace zeroshot::client {
namespace {

// What a line of JSON begins with; the name follows.
constexpr absl::string_view kJsonBegin = "{\"file\":";

// The JSON string, with its quotes, at the beginning of `text`.
absl::string_view FirstString(absl::string_view text) {
  if (!absl::StartsWith(text, "\"")) return {};
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      return text.substr(0, i + 1);
    }
  }
  return {};
}

size_t HashOf(absl::string_view name) {
  return absl::Hash<absl::string_view>()(name);
}

}  // namespace

absl::Status AnswerFile::CheckPath(absl::string_view path) {
  if (absl::EndsWithIgnoreCase(path, ".csv") ||
      absl::EndsWithIgnoreCase(path, ".jsonl")) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--output=", path, "; its name should end in .csv or .jsonl"));
}

absl::StatusOr<std::unique_ptr<AnswerFile>> AnswerFile::Open(
    const std::string& path, int top_k,
    const std::vector<std::string>& weight_set_ids, bool overwrite) {
  absl::Status named = CheckPath(path);
  if (!named.ok()) return named;
  const std::string flag = absl::StrCat("--output=", path);
  const bool csv = absl::EndsWithIgnoreCase(path, ".csv");
  if (csv && weight_set_ids.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, ": a .csv holds the answers of one weight set, ",
                     weight_set_ids.size(), " are named; a .jsonl holds all"));
  }
  absl::StatusOr<std::unique_ptr<LineFile>> file =
      LineFile::Open(flag, path, overwrite);
  if (!file.ok()) return file.status();
  std::unique_ptr<AnswerFile> result(
      new AnswerFile(*std::move(file), csv, top_k));
  absl::Status resumed = result->Resume(weight_set_ids);
  if (!resumed.ok()) return resumed;
  return result;
}

std::string AnswerFile::Header() const {
  std::string line = "file,class,probability,accepted";
  for (int k = 2; k <= top_k_; ++k) {
    absl::StrAppend(&line, ",class_", k, ",probability_", k);
  }
  return absl::StrCat(line, ",other_probability,weight_set_id,error");
}

absl::Status AnswerFile::TakeLine(
    absl::string_view line, const std::vector<std::string>& weight_set_ids) {
  std::string id;
  if (csv_) {
    const std::vector<std::string> fields = CsvFields(line);
    const size_t columns = 5 + 2 * static_cast<size_t>(top_k_);
    if (fields.size() != columns) {
      return file_->OfAnother(absl::StrCat("a line has ", fields.size(),
                                           " columns in place of ", columns));
    }
    claimed_.insert(HashOf(fields.front()));
    id = fields[columns - 2];
  } else {
    const absl::string_view name =
        absl::StartsWith(line, kJsonBegin)
            ? FirstString(line.substr(kJsonBegin.size()))
            : absl::string_view();
    if (name.empty()) {
      return file_->OfAnother("a line is none of `classify --json`");
    }
    claimed_.insert(HashOf(name));
    constexpr absl::string_view kId = ",\"weight_set_id\":";
    absl::string_view rest = line.substr(kJsonBegin.size() + name.size());
    if (absl::StartsWith(rest, kId)) {
      id = std::string(FirstString(rest.substr(kId.size())));
      id = id.substr(1, id.size() - 2);
    }
  }
  ++num_found_;
  // An empty id is of an error.
  if (id.empty() || weight_set_ids.empty() || id == weight_set_ids.front()) {
    return absl::OkStatus();
  }
  return file_->OfAnother(absl::StrCat("it has answers of weight set ",
                                       Printable(id), ", this run's is ",
                                       weight_set_ids.front()));
}

absl::Status AnswerFile::Resume(
    const std::vector<std::string>& weight_set_ids) {
  bool header = csv_;  // the next line is one
  absl::Status resumed = file_->Resume(
      csv_, "file of answers",
      [&](absl::string_view line) {
        if (!std::exchange(header, false))
          return TakeLine(line, weight_set_ids);
        if (line == Header()) return absl::OkStatus();
        return file_->OfAnother(absl::StrCat("it does not begin with '",
                                             Header(), "', as --top_k=", top_k_,
                                             " does"));
      },
      [&] { return header ? Header()
                   : csv_ ? ""
                          : std::string(kJsonBegin); });
  if (!resumed.ok() || !header) return resumed;
  return Append(absl::StrCat(Header(), "\n"));
}

bool AnswerFile::Claim(absl::string_view name) {
  return claimed_.insert(HashOf(csv_ ? std::string(name) : JsonString(name)))
      .second;
}

absl::Status AnswerFile::CheckName(absl::string_view name) const {
  if (csv_ || FirstInvalidByte(name) < 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "the name is not UTF-8, which JSON needs; a .csv holds it");
}

std::string AnswerFile::Line(const std::string& name,
                             const absl::StatusOr<Answers>& answers) const {
  if (!csv_) return absl::StrCat(ToJson(name, answers), "\n");
  std::vector<std::string> fields = {CsvField(name)};
  const std::vector<Prediction> none;
  const std::vector<Prediction>& predictions =
      answers.ok() ? answers->answers.front().predictions : none;
  for (int k = 0; k < top_k_; ++k) {
    const bool there = k < static_cast<int>(predictions.size());
    fields.push_back(there ? CsvField(predictions[k].class_name) : "");
    fields.push_back(there ? JsonNumber(predictions[k].probability) : "");
    if (k > 0) continue;
    fields.push_back(!there ? "" : predictions[k].accepted ? "true" : "false");
  }
  fields.push_back(answers.ok()
                       ? JsonNumber(answers->answers.front().other_probability)
                       : "");
  fields.push_back(answers.ok() ? CsvField(answers->ids.front()) : "");
  fields.push_back(
      answers.ok() ? "" : CsvField(Printable(HumanError(answers.status()))));
  return absl::StrCat(absl::StrJoin(fields, ","), "\n");
}

}  // namespace zeroshot::client
