// The class lists and template lists that the service knows by name, embedded
// from data/class_sets and data/template_sets (sources and licences there).
#ifndef ZEROSHOT_ZEROSHOT_NAMED_SETS_H_
#define ZEROSHOT_ZEROSHOT_NAMED_SETS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace zeroshot {

// Names, sorted.
std::vector<std::string> ClassSetNames();
std::vector<std::string> TemplateSetNames();

// The list of that name, or null. Lives as long as the program.
const std::vector<std::string>* FindClassSet(absl::string_view name);
const std::vector<std::string>* FindTemplateSet(absl::string_view name);

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_NAMED_SETS_H_
