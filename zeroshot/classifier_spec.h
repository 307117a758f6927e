// What a user asks BuildClassifier for, and its resolution into prompts.
//
// Thread rule: plain values and free functions.
#ifndef ZEROSHOT_ZEROSHOT_CLASSIFIER_SPEC_H_
#define ZEROSHOT_ZEROSHOT_CLASSIFIER_SPEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace zeroshot {

struct ClassDefinition {
  std::string name;
  std::vector<std::string> prompts;  // complete; instead of templates x name
};

// As asked: exactly one of classes and class_set, at most one of templates
// and template_set (neither means the set "simple").
struct ClassifierSpec {
  std::vector<ClassDefinition> classes;
  std::string class_set;
  std::vector<std::string> templates;
  std::string template_set;
};

struct BuildLimits {
  int64_t max_classes = 200'000;
  int64_t max_templates = 1'000;
  int64_t max_prompts = 2'000'000;
  int64_t max_text_bytes = 2'048;  // of one name, template or whole prompt
};

// A checked spec with named sets replaced by what they hold. Prompts are made
// on demand: 200,000 classes x 80 templates are never all in memory as text.
class ResolvedSpec {
 public:
  // InvalidArgument: both or neither of classes and class_set, both templates
  // and template_set, an unknown set, a template without {}, an empty name or
  // prompt, or a limit exceeded. The message names the field, what was found
  // and what is allowed.
  static absl::StatusOr<ResolvedSpec> Resolve(ClassifierSpec spec,
                                              const BuildLimits& limits);

  int num_classes() const { return static_cast<int>(classes_.size()); }
  const std::string& class_name(int c) const { return classes_[c].name; }

  // Named sets spelled out.
  const std::vector<std::string>& templates() const { return templates_; }
  // Each template's text around its {}: templates()[t] is the pieces of t,
  // joined by {}.
  const std::vector<std::vector<std::string>>& template_pieces() const {
    return template_pieces_;
  }
  // Of class c, if it has complete prompts instead of templates x name.
  const std::vector<std::string>& own_prompts(int c) const {
    return classes_[c].prompts;
  }

  // Prompts of class c: its own, or one a template.
  int num_prompts(int c) const;
  std::string Prompt(int c, int i) const;
  int64_t total_prompts() const { return total_prompts_; }

  // The weight set's id: SHA-256 of model fingerprint, text precision, class
  // order with names, and every prompt fully expanded, so that a named set
  // and its spelled-out list give the same id.
  std::string Id(absl::string_view model_fingerprint,
                 absl::string_view precision) const;

  // Things worth a look that are no errors: one class only, braces that are
  // left in a prompt, blank and duplicate class names.
  std::vector<std::string> Warnings() const;

 private:
  std::vector<ClassDefinition> classes_;
  std::vector<std::string> templates_;
  std::vector<std::vector<std::string>> template_pieces_;
  int64_t total_prompts_ = 0;
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_CLASSIFIER_SPEC_H_
