#include "zeroshot/classifier_spec.h"

#include <algorithm>
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
  return InvalidField(field, absl::StrCat("too many ", what, ": ", found,
                                          " given, ", allowed, " allowed"));
}

absl::Status CheckText(absl::string_view field, absl::string_view text,
                       const BuildLimits& limits) {
  if (text.empty()) {
    return InvalidField(field, absl::StrCat(field, " is empty"));
  }
  if (text.size() > limits.max_text_bytes) {
    return InvalidField(field, absl::StrCat(field, " has ", text.size(),
                                            " bytes, ", limits.max_text_bytes,
                                            " are allowed: ", Quoted(text)));
  }
  return absl::OkStatus();
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
  if (names == nullptr) {
    return InvalidField("class_set",
                        absl::StrCat("class_set ", Quoted(spec.class_set),
                                     " is unknown; known are: ",
                                     absl::StrJoin(ClassSetNames(), ", ")));
  }
  std::vector<ClassDefinition> classes;
  for (const std::string& name : *names) classes.push_back({name, {}});
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
    return InvalidField(
        "template_set",
        absl::StrCat("template_set ", Quoted(name), " is unknown; known are: ",
                     absl::StrJoin(TemplateSetNames(), ", ")));
  }
  return *templates;
}

absl::Status CheckClass(size_t index, const ClassDefinition& definition,
                        const BuildLimits& limits) {
  const std::string field = absl::StrCat("classes[", index, "]");
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
  return absl::OkStatus();
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

// A template may repeat {}: checks the prompt that it makes of the longest
// class name before any prompt is made.
absl::Status CheckPromptSizes(const std::vector<ClassDefinition>& classes,
                              const std::vector<std::string>& templates,
                              const BuildLimits& limits) {
  const std::string* longest = nullptr;
  for (const ClassDefinition& definition : classes) {
    if (!definition.prompts.empty()) continue;
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
                       " makes a prompt of ", size, " bytes, ",
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

absl::StatusOr<ResolvedSpec> ResolvedSpec::Resolve(ClassifierSpec spec,
                                                   const BuildLimits& limits) {
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
  absl::StatusOr<std::vector<std::string>> templates = ResolveTemplates(spec);
  if (!templates.ok()) return templates.status();
  ResolvedSpec resolved;
  resolved.classes_ = *std::move(classes);
  resolved.templates_ = *std::move(templates);
  for (size_t i = 0; i < resolved.templates_.size(); ++i) {
    if (absl::Status status = CheckTemplate(i, resolved.templates_[i], limits);
        !status.ok()) {
      return status;
    }
    resolved.template_pieces_.push_back(
        absl::StrSplit(resolved.templates_[i], "{}"));
  }
  for (size_t c = 0; c < resolved.classes_.size(); ++c) {
    if (absl::Status status = CheckClass(c, resolved.classes_[c], limits);
        !status.ok()) {
      return status;
    }
    resolved.total_prompts_ += resolved.num_prompts(c);
  }
  if (absl::Status status =
          CheckPromptSizes(resolved.classes_, resolved.templates_, limits);
      !status.ok()) {
    return status;
  }
  if (resolved.total_prompts_ > limits.max_prompts) {
    return TooMany("prompts (classes x templates)", resolved.total_prompts_,
                   limits.max_prompts, "classes");
  }
  return resolved;
}

int ResolvedSpec::num_prompts(int c) const {
  const std::vector<std::string>& own = classes_[c].prompts;
  return static_cast<int>(own.empty() ? templates_.size() : own.size());
}

std::string ResolvedSpec::Prompt(int c, int i) const {
  const ClassDefinition& definition = classes_[c];
  if (!definition.prompts.empty()) return definition.prompts[i];
  return absl::StrJoin(template_pieces_[i], definition.name);
}

std::string ResolvedSpec::Id(absl::string_view model_fingerprint,
                             absl::string_view precision) const {
  base::Sha256 hash;
  hash.UpdateField("zeroshot weight set 1");
  hash.UpdateField(model_fingerprint);
  hash.UpdateField(precision);
  std::string prompts;  // of one class
  for (int c = 0; c < num_classes(); ++c) {
    hash.UpdateField(class_name(c));
    hash.UpdateField(absl::StrCat(num_prompts(c)));
    prompts.clear();
    for (int i = 0; i < num_prompts(c); ++i)
      base::Sha256::AppendField(Prompt(c, i), &prompts);
    hash.Update(prompts);
  }
  return hash.HexDigest();
}

std::vector<std::string> ResolvedSpec::Warnings() const {
  std::vector<std::string> warnings;
  if (num_classes() == 1) {
    warnings.push_back(absl::StrCat(
        "there is only one class, ", Quoted(class_name(0)),
        ": its probability is always 1; class names are items of a list, one "
        "for each class"));
  }
  const bool uses_templates =
      std::any_of(classes_.begin(), classes_.end(),
                  [](const ClassDefinition& c) { return c.prompts.empty(); });
  for (size_t i = 0; uses_templates && i < templates_.size() &&
                     warnings.size() < kMaxWarnings;
       ++i) {
    if (!HasBraces(template_pieces_[i])) continue;
    warnings.push_back(absl::StrCat(
        "templates[", i, "] is ", Quoted(templates_[i]),
        ": only {} stands for the class name, other braces are left in the "
        "prompt"));
  }
  for (int c = 0; c < num_classes() && warnings.size() < kMaxWarnings; ++c) {
    if (IsBlank(class_name(c))) {
      warnings.push_back(
          absl::StrCat("the name of class ", c, " holds nothing but blanks"));
    }
  }
  std::map<absl::string_view, int> first;
  for (int c = 0; c < num_classes() && warnings.size() < kMaxWarnings; ++c) {
    const auto [it, added] = first.emplace(class_name(c), c);
    if (!added) {
      warnings.push_back(absl::StrCat("class name ", Quoted(class_name(c)),
                                      " is given twice: classes ", it->second,
                                      " and ", c));
    }
  }
  return warnings;
}

}  // namespace zeroshot
