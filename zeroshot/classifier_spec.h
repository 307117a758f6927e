// What a user asks BuildClassifier for, and its resolution into prompts.
#ifndef ZEROSHOT_ZEROSHOT_CLASSIFIER_SPEC_H_
#define ZEROSHOT_ZEROSHOT_CLASSIFIER_SPEC_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "stores/weight_set.h"
#include "zeroshot/class_examples.h"

namespace zeroshot {

struct ClassDefinition {
  std::string name;
  std::vector<std::string> prompts = {};  // complete; instead of templates x
                                          // name
  std::optional<float> min_probability = {};  // from which it is accepted
  std::string group = {};                     // empty: of none
  Examples examples = {};
  // What is left of examples that a stored set was built with, instead of them.
  std::optional<stores::ClassExamples> shown = {};
};

// As asked: exactly one of classes and class_set, at most one of templates
// and template_set (neither means the set "simple").
struct ClassifierSpec {
  std::vector<ClassDefinition> classes;
  std::string class_set;
  std::vector<std::string> templates;
  std::string template_set;
  std::optional<float> temperature = {};     // divides logits; none: 1
  std::vector<std::string> background = {};  // names: "none of these"
  std::string display_name;  // given to the set; no part of its id
};

struct BuildLimits {
  int64_t max_classes = 200'000;  // with background
  int64_t max_templates = 1'000;
  int64_t max_prompts = 2'000'000;
  int64_t max_text_bytes = 2'048;  // of one name, template or whole prompt
  int64_t max_examples = 20'000;   // images and embeddings
};

// InvalidArgument: `field`, a threshold, is not 0 to 1.
absl::Status CheckMinProbability(absl::string_view field, float probability);

// A checked spec with named sets replaced by what they hold: rows, which become
// a vector each, of the classes and, after them, of the background. Prompts are
// made on demand: 200,000 classes x 80 templates are never all in memory as
// text.
class ResolvedSpec {
 public:
  // InvalidArgument: both or neither of classes and class_set, both templates
  // and template_set, an unknown set, a template without {}, an empty name or
  // prompt, a threshold outside 0 to 1, a temperature that is not over 0 and
  // finite, examples that are not as Summarise says, or a limit exceeded.
  // The message names the field, what was found and what is allowed.
  // `embedding_dim`: of example embeddings; a spec with images alone needs
  // none.
  static absl::StatusOr<ResolvedSpec> Resolve(ClassifierSpec spec,
                                              const BuildLimits& limits,
                                              int embedding_dim = 0);

  int num_classes() const { return num_classes_; }
  int num_rows() const { return static_cast<int>(rows_.size()); }
  const std::string& name(int row) const { return rows_[row].name; }
  // For messages: `class 3` or `background[0]`; and with the name in quotes.
  std::string Place(int row) const;
  std::string Described(int row) const;

  // Named sets spelled out.
  const std::vector<std::string>& templates() const { return templates_; }
  // Each template's text around its {}: templates()[t] is the pieces of t,
  // joined by {}.
  const std::vector<std::vector<std::string>>& template_pieces() const {
    return template_pieces_;
  }
  // Of a row, if it has complete prompts instead of templates x name.
  const std::vector<std::string>& own_prompts(int row) const {
    return rows_[row].prompts;
  }

  // Prompts of a row: its own, or one a template; none if its examples are all
  // there is to it.
  int num_prompts(int row) const;
  std::string Prompt(int row, int i) const;
  int64_t total_prompts() const { return total_prompts_; }

  // Of a row, if it has any: the examples, and what is kept of them.
  const Examples& examples(int row) const { return rows_[row].examples; }
  const std::optional<stores::ClassExamples>& shown(int row) const {
    return rows_[row].shown;
  }
  int64_t total_examples() const { return total_examples_; }
  int64_t total_example_images() const { return total_example_images_; }
  // What goes through a tower: example images and prompts.
  int64_t total_to_encode() const {
    return total_example_images_ + total_prompts_;
  }

  // The weight set's id: SHA-256 of model fingerprint, text precision, class
  // order with names, and every prompt fully expanded, so that a named set
  // and its spelled-out list give the same id; and of background, temperature,
  // thresholds, groups and examples where there are any.
  std::string Id(absl::string_view model_fingerprint,
                 absl::string_view precision) const;

  // Gives a set of these classes, whose names are there, the background's names
  // and what it decides with.
  void SetDecisions(stores::WeightSet* set) const;

  // Things worth a look that are no errors: one class only, braces that are
  // left in a prompt, blank and duplicate names, of the background too.
  std::vector<std::string> Warnings() const;

 private:
  // Whether there is more than classes and prompts.
  bool HasDecisions() const;
  // Checks the examples of all rows and puts down what is kept of them.
  absl::Status ResolveExamples(const BuildLimits& limits, int embedding_dim);

  int num_classes_ = 0;
  std::vector<ClassDefinition> rows_;
  float temperature_ = 1;
  std::vector<std::string> templates_;
  std::vector<std::vector<std::string>> template_pieces_;
  int64_t total_prompts_ = 0;
  int64_t total_examples_ = 0;
  int64_t total_example_images_ = 0;
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_CLASSIFIER_SPEC_H_
