#include "zeroshot/classifier_spec.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/error_info.h"
#include "base/quoted.h"
#include "base/sha256.h"
#include "zeroshot/named_sets.h"

namespace zeroshot {
namespace {

using base::InvalidField;
using base::Quoted;

constexpr size_t kMaxWarnings = 20;

absl::Status TooMany(absl::string_view what, int64_t found, int64_t allowed,
                     absl::string_view field) {
  return InvalidField(
      field, absl::StrCat("too many ", what, ": ", found,
                          " are given; at most ", allowed, " are allowed"));
}

std::string BackgroundField(int index) {
  return absl::StrCat("background[", index, "]");
}

// Of a number, for hashes: its bits.
std::string NumberText(float number) {
  return absl::StrCat(absl::Hex(std::bit_cast<uint32_t>(number)));
}

absl::Status CheckLength(absl::string_view field, absl::string_view text,
                         const BuildLimits& limits) {
  if (text.size() <= limits.max_text_bytes) return absl::OkStatus();
  return InvalidField(
      field,
      absl::StrCat(field, " has ", text.size(), " bytes; at most ",
                   limits.max_text_bytes, " are allowed: ", Quoted(text)));
}

absl::Status CheckText(absl::string_view field, absl::string_view text,
                       const BuildLimits& limits) {
  if (text.empty()) {
    return InvalidField(field, absl::StrCat(field, " is empty"));
  }
  return CheckLength(field, text, limits);
}

absl::StatusOr<std::vector<ClassDefinition>> ResolveClasses(
    ClassifierSpec& spec) {
  if (spec.classes.empty() == spec.class_set.empty()) {
    return InvalidField(
        spec.classes.empty() ? "classes" : "class_set",
        spec.classes.empty()
            ? "no classes: give `classes` or `class_set`"
            : "both `classes` and `class_set` are given: give one of them");
  }
  if (spec.class_set.empty()) return std::move(spec.classes);
  const std::vector<std::string>* names = FindClassSet(spec.class_set);
  if (names == nullptr) return UnknownClassSet(spec.class_set);
  std::vector<ClassDefinition> classes;
  for (const std::string& name : *names) classes.push_back({name});
  return classes;
}

absl::StatusOr<std::vector<std::string>> ResolveTemplates(
    ClassifierSpec& spec) {
  if (!spec.templates.empty() && !spec.template_set.empty()) {
    return InvalidField(
        "template_set",
        "both `templates` and `template_set` are given: give one of them");
  }
  if (!spec.templates.empty()) return std::move(spec.templates);
  const std::string name =
      spec.template_set.empty() ? "simple" : spec.template_set;
  const std::vector<std::string>* templates = FindTemplateSet(name);
  if (templates == nullptr) {
    return InvalidField("template_set",
                        absl::StrCat("template_set ", Quoted(name),
                                     " is unknown; it must be one of: ",
                                     absl::StrJoin(TemplateSetNames(), ", ")));
  }
  return *templates;
}

absl::Status CheckRow(int row, int num_classes,
                      const ClassDefinition& definition,
                      const BuildLimits& limits) {
  if (row >= num_classes) {
    return CheckText(BackgroundField(row - num_classes), definition.name,
                     limits);
  }
  const std::string field = absl::StrCat("classes[", row, "]");
  if (absl::Status status =
          CheckText(absl::StrCat(field, ".name"), definition.name, limits);
      !status.ok()) {
    return status;
  }
  for (size_t i = 0; i < definition.prompts.size(); ++i) {
    if (absl::Status status =
            CheckText(absl::StrCat(field, ".prompts[", i, "]"),
                      definition.prompts[i], limits);
        !status.ok()) {
      return status;
    }
  }
  if (definition.min_probability.has_value()) {
    if (absl::Status status =
            CheckMinProbability(absl::StrCat(field, ".min_probability"),
                                *definition.min_probability);
        !status.ok()) {
      return status;
    }
  }
  return CheckLength(absl::StrCat(field, ".group"), definition.group, limits);
}

absl::Status CheckTemperature(float temperature) {
  if (std::isfinite(temperature) && temperature > 0) return absl::OkStatus();
  return InvalidField("temperature",
                      absl::StrCat("temperature is ", temperature,
                                   "; a finite number over 0 is allowed"));
}

absl::Status CheckTemplate(size_t index, absl::string_view text,
                           const BuildLimits& limits) {
  const std::string field = absl::StrCat("templates[", index, "]");
  if (absl::Status status = CheckText(field, text, limits); !status.ok()) {
    return status;
  }
  if (text.find("{}") == text.npos) {
    return InvalidField(
        field, absl::StrCat(field, " is ", Quoted(text),
                            ": it must hold {} where the class name goes"));
  }
  return absl::OkStatus();
}

// Whether its vector is the examples' alone.
bool IsOnlyShown(const ClassDefinition& definition) {
  return definition.shown.has_value() && definition.shown->weight == 1;
}

// A template may repeat {}: checks the prompt that it makes of the longest
// class name before any prompt is made.
absl::Status CheckPromptSizes(const std::vector<ClassDefinition>& rows,
                              const std::vector<std::string>& templates,
                              const BuildLimits& limits) {
  const std::string* longest = nullptr;
  for (const ClassDefinition& definition : rows) {
    if (!definition.prompts.empty() || IsOnlyShown(definition)) continue;
    if (longest == nullptr || definition.name.size() > longest->size()) {
      longest = &definition.name;
    }
  }
  if (longest == nullptr) return absl::OkStatus();
  for (size_t i = 0; i < templates.size(); ++i) {
    int64_t size = templates[i].size();
    for (size_t at = templates[i].find("{}"); at != std::string::npos;
         at = templates[i].find("{}", at + 2)) {
      size += static_cast<int64_t>(longest->size()) - 2;
    }
    if (size > limits.max_text_bytes) {
      return InvalidField(
          absl::StrCat("templates[", i, "]"),
          absl::StrCat("templates[", i, "] with class ", Quoted(*longest),
                       " makes a prompt of ", size, " bytes; at most ",
                       limits.max_text_bytes, " are allowed"));
    }
  }
  return absl::OkStatus();
}

bool HasBraces(const std::vector<std::string>& pieces) {
  return std::any_of(pieces.begin(), pieces.end(),
                     [](const std::string& piece) {
                       return piece.find_first_of("{}") != piece.npos;
                     });
}

// White space of ASCII, and what else pages and spreadsheets leave behind: no-
// break and ideographic space, zero width space, byte order mark.
bool IsBlank(absl::string_view name) {
  while (!name.empty()) {
    const size_t size = name.size();
    name = absl::StripLeadingAsciiWhitespace(name);
    for (const char* blank :
         {"\xc2\xa0", "\xe2\x80\x8b", "\xe3\x80\x80", "\xef\xbb\xbf"}) {
      absl::ConsumePrefix(&name, blank);
    }
    if (name.size() == size) return false;
  }
  return true;
}

}  // namespace

absl::Status CheckMinProbability(absl::string_view field, float probability) {
  // Not what is over 1 and not NaN either.
  if (probability >= 0 && probability <= 1) return absl::OkStatus();
  return InvalidField(
      field, absl::StrCat(field, " is ", probability, "; 0 to 1 is allowed"));
}

absl::StatusOr<ResolvedSpec> ResolvedSpec::Resolve(ClassifierSpec spec,
                                                   const BuildLimits& limits,
                                                   int embedding_dim) {
  if (spec.classes.size() > limits.max_classes) {
    return TooMany("classes", spec.classes.size(), limits.max_classes,
                   "classes");
  }
  if (spec.templates.size() > limits.max_templates) {
    return TooMany("templates", spec.templates.size(), limits.max_templates,
                   "templates");
  }
  absl::StatusOr<std::vector<ClassDefinition>> classes = ResolveClasses(spec);
  if (!classes.ok()) return classes.status();
  if (!spec.background.empty() &&
      classes->size() + spec.background.size() > limits.max_classes) {
    return TooMany("classes with background",
                   classes->size() + spec.background.size(), limits.max_classes,
                   "background");
  }
  absl::StatusOr<std::vector<std::string>> templates = ResolveTemplates(spec);
  if (!templates.ok()) return templates.status();
  ResolvedSpec resolved;
  if (spec.temperature.has_value()) {
    absl::Status temperature = CheckTemperature(*spec.temperature);
    if (!temperature.ok()) return temperature;
    resolved.temperature_ = *spec.temperature;
  }
  resolved.rows_ = *std::move(classes);
  resolved.num_classes_ = static_cast<int>(resolved.rows_.size());
  for (std::string& name : spec.background) {
    resolved.rows_.push_back({std::move(name)});
  }
  resolved.templates_ = *std::move(templates);
  for (size_t i = 0; i < resolved.templates_.size(); ++i) {
    if (absl::Status status = CheckTemplate(i, resolved.templates_[i], limits);
        !status.ok()) {
      return status;
    }
    resolved.template_pieces_.push_back(
        absl::StrSplit(resolved.templates_[i], "{}"));
  }
  absl::Status shown = resolved.ResolveExamples(limits, embedding_dim);
  if (!shown.ok()) return shown;
  for (int row = 0; row < resolved.num_rows(); ++row) {
    if (absl::Status status =
            CheckRow(row, resolved.num_classes_, resolved.rows_[row], limits);
        !status.ok()) {
      return status;
    }
    resolved.total_prompts_ += resolved.num_prompts(row);
  }
  if (absl::Status status =
          CheckPromptSizes(resolved.rows_, resolved.templates_, limits);
      !status.ok()) {
    return status;
  }
  if (resolved.total_prompts_ > limits.max_prompts) {
    return TooMany("prompts (classes x templates)", resolved.total_prompts_,
                   limits.max_prompts, "classes");
  }
  return resolved;
}

std::string ResolvedSpec::Place(int row) const {
  return row < num_classes() ? absl::StrCat("class ", row)
                             : BackgroundField(row - num_classes());
}

std::string ResolvedSpec::Described(int row) const {
  return absl::StrCat(Place(row), " (", Quoted(name(row)), ")");
}

absl::Status ResolvedSpec::ResolveExamples(const BuildLimits& limits,
                                           int embedding_dim) {
  for (int row = 0; row < num_classes(); ++row) {
    ClassDefinition& definition = rows_[row];
    const std::string field = absl::StrCat("classes[", row, "]");
    if (definition.examples.given()) {
      absl::StatusOr<stores::ClassExamples> shown =
          Summarise(field, definition.examples, embedding_dim);
      if (!shown.ok()) return shown.status();
      definition.shown = *std::move(shown);
    } else if (definition.shown.has_value()) {
      absl::Status good = CheckExampleWeight(
          absl::StrCat(field, ".example_weight"), definition.shown->weight);
      if (!good.ok()) return good;
    } else {
      continue;
    }
    total_examples_ += definition.shown->count;
    total_example_images_ +=
        static_cast<int64_t>(definition.examples.images.size());
    if (IsOnlyShown(definition)) definition.prompts.clear();
  }
  if (total_examples_ <= limits.max_examples) return absl::OkStatus();
  return TooMany("examples", total_examples_, limits.max_examples, "classes");
}

int ResolvedSpec::num_prompts(int row) const {
  if (IsOnlyShown(rows_[row])) return 0;
  const std::vector<std::string>& own = rows_[row].prompts;
  return static_cast<int>(own.empty() ? templates_.size() : own.size());
}

std::string ResolvedSpec::Prompt(int row, int i) const {
  const ClassDefinition& definition = rows_[row];
  if (!definition.prompts.empty()) return definition.prompts[i];
  return absl::StrJoin(template_pieces_[i], definition.name);
}

std::string ResolvedSpec::Id(absl::string_view model_fingerprint,
                             absl::string_view precision) const {
  const bool shows = total_examples() > 0;
  const bool decides = shows || HasDecisions();
  base::Sha256 hash;
  // Sets that have nothing beyond classes and prompts keep the ids that they
  // had when there was nothing else, as do those without examples.
  hash.UpdateField(shows     ? "zeroshot weight set 3"
                   : decides ? "zeroshot weight set 2"
                             : "zeroshot weight set 1");
  hash.UpdateField(model_fingerprint);
  hash.UpdateField(precision);
  if (decides) {
    hash.UpdateField(NumberText(temperature_));
    hash.UpdateField(absl::StrCat(num_classes()));
  }
  std::string fields;  // of one row
  for (int row = 0; row < num_rows(); ++row) {
    fields.clear();
    base::Sha256::AppendField(name(row), &fields);
    base::Sha256::AppendField(absl::StrCat(num_prompts(row)), &fields);
    for (int i = 0; i < num_prompts(row); ++i)
      base::Sha256::AppendField(Prompt(row, i), &fields);
    if (decides) {
      const std::optional<float>& threshold = rows_[row].min_probability;
      base::Sha256::AppendField(
          threshold.has_value() ? NumberText(*threshold) : "", &fields);
      base::Sha256::AppendField(rows_[row].group, &fields);
    }
    if (shows) {
      const std::optional<stores::ClassExamples>& shown = rows_[row].shown;
      base::Sha256::AppendField(
          shown.has_value() ? NumberText(shown->weight) : "", &fields);
      base::Sha256::AppendField(
          shown.has_value() ? absl::StrCat(shown->count) : "", &fields);
      base::Sha256::AppendField(shown.has_value() ? shown->sha256 : "",
                                &fields);
    }
    hash.Update(fields);
  }
  return hash.HexDigest();
}

bool ResolvedSpec::HasDecisions() const {
  return temperature_ != 1 || num_rows() > num_classes() ||
         std::any_of(rows_.begin(), rows_.end(), [](const auto& row) {
           return row.min_probability.has_value() || !row.group.empty();
         });
}

void ResolvedSpec::SetDecisions(stores::WeightSet* set) const {
  set->temperature = temperature_;
  std::vector<std::string> groups;
  for (int row = 0; row < num_rows(); ++row) {
    if (row >= num_classes()) {
      set->background.push_back(name(row));
      continue;
    }
    groups.push_back(rows_[row].group);
    if (!rows_[row].min_probability.has_value()) continue;
    set->min_probabilities.resize(num_classes());
    set->min_probabilities[row] = rows_[row].min_probability;
  }
  set->SetGroups(groups);
}

std::vector<std::string> ResolvedSpec::Warnings() const {
  std::vector<std::string> warnings;
  if (num_rows() == 1) {
    warnings.push_back(absl::StrCat("there is only one class, ",
                                    Quoted(name(0)),
                                    ": its softmax probability is always 1; "
                                    "class names are items of a list, one "
                                    "for each class"));
  }
  const bool uses_templates =
      std::any_of(rows_.begin(), rows_.end(), [](const ClassDefinition& c) {
        return c.prompts.empty() && !IsOnlyShown(c);
      });
  for (size_t i = 0; uses_templates && i < templates_.size() &&
                     warnings.size() < kMaxWarnings;
       ++i) {
    if (!HasBraces(template_pieces_[i])) continue;
    warnings.push_back(absl::StrCat(
        "templates[", i, "] is ", Quoted(templates_[i]),
        ": only {} stands for the class name, other braces are left in the "
        "prompt"));
  }
  for (int row = 0; row < num_rows() && warnings.size() < kMaxWarnings; ++row) {
    if (IsBlank(name(row))) {
      warnings.push_back(absl::StrCat("the name of ", Place(row),
                                      " holds nothing but blanks"));
    }
  }
  std::map<absl::string_view, int> first;
  for (int row = 0; row < num_rows() && warnings.size() < kMaxWarnings; ++row) {
    const auto [it, added] = first.emplace(name(row), row);
    if (added) continue;
    warnings.push_back(
        row < num_classes()
            ? absl::StrCat("class name ", Quoted(name(row)),
                           " is given twice: classes ", it->second, " and ",
                           row)
            : absl::StrCat("the name ", Quoted(name(row)), " is given twice: ",
                           Place(it->second), " and ", Place(row)));
  }
  return warnings;
}

}  // namespace zeroshot
