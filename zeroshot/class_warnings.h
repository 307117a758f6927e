// Warnings about the classes of a build that only the model can give: classes
// that it cannot tell apart, and names whose words it never saw.
#ifndef ZEROSHOT_ZEROSHOT_CLASS_WARNINGS_H_
#define ZEROSHOT_ZEROSHOT_CLASS_WARNINGS_H_

#include <string>
#include <vector>

#include "clip/model.h"
#include "stores/weight_set.h"
#include "zeroshot/classifier_spec.h"

namespace zeroshot {

// A warning for each pair of classes, background or not, with the same vector,
// at most `most`: names that differ in upper case, blanks or the spelling of a
// character only, or prompts that do. Classes of the same name are left out.
std::vector<std::string> EqualVectorWarnings(const stores::WeightSet& set,
                                             size_t most);

// A warning for each name of a class or background all of whose words are
// `unseen` by the model (clip::ModelInfo::unseen_tokens), at most `most`.
std::vector<std::string> UnseenWordWarnings(const ResolvedSpec& spec,
                                            const clip::ModelInfo& model,
                                            size_t most);

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_CLASS_WARNINGS_H_
