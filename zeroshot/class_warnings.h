// What a model itself has to say of the classes of a build: which it cannot
// tell apart, and whose words it never saw. Thread rule: free functions without
// state.
#ifndef ZEROSHOT_ZEROSHOT_CLASS_WARNINGS_H_
#define ZEROSHOT_ZEROSHOT_CLASS_WARNINGS_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "clip/tokenizer.h"
#include "stores/weight_set.h"
#include "zeroshot/classifier_spec.h"

namespace zeroshot {

// A warning for each pair of classes with the same vector, at most `most`:
// names that differ in upper case, blanks or the spelling of a character only,
// or prompts that do. Classes of one name are not told again.
std::vector<std::string> EqualVectorWarnings(const stores::WeightSet& set,
                                             size_t most);

// A warning for each class name all of whose words are `unseen` by the model
// (clip::ModelInfo::unseen_tokens), at most `most`.
std::vector<std::string> UnseenWordWarnings(const ResolvedSpec& spec,
                                            const clip::Tokenizer& tokenizer,
                                            absl::Span<const int32_t> unseen,
                                            size_t most);

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_CLASS_WARNINGS_H_
