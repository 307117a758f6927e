// The class lists and template lists that the service knows by name, embedded
// from data/class_sets and data/template_sets (sources and licences there).
#ifndef ZEROSHOT_ZEROSHOT_NAMED_SETS_H_
#define ZEROSHOT_ZEROSHOT_NAMED_SETS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace zeroshot {

// Names, sorted.
std::vector<std::string> ClassSetNames();
std::vector<std::string> TemplateSetNames();

// The list of that name, or null. Lives as long as the program.
const std::vector<std::string>* FindClassSet(absl::string_view name);
const std::vector<std::string>* FindTemplateSet(absl::string_view name);

// The template list that was made for the class list of that name; empty: there
// is none.
std::string TemplateSetFor(absl::string_view class_set);

// InvalidArgument: no class list has this name. The message lists those that
// there are.
absl::Status UnknownClassSet(absl::string_view name);

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_NAMED_SETS_H_
