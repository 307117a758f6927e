// The normalizers and pre-tokenizers of a tokenizer.json, in the order in which
// they are applied.
//
// Thread rule: free functions without state; the steps may be called from any
// thread.
#ifndef ZEROSHOT_CLIP_TEXT_JSON_STEPS_H_
#define ZEROSHOT_CLIP_TEXT_JSON_STEPS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "clip/text/pre_tokenizers.h"
#include "nlohmann/json.hpp"

namespace clip {

using NormalizerStep = std::function<void(std::string* text)>;
using PreTokenizerStep = std::function<void(Words* words)>;

// "normalizer" and "pre_tokenizer"; null has no steps.
//
// InvalidArgument: a part that is damaged or not supported; the message names
// it as the file does.
absl::StatusOr<std::vector<NormalizerStep>> ReadNormalizers(
    const nlohmann::json& part);
absl::StatusOr<std::vector<PreTokenizerStep>> ReadPreTokenizers(
    const nlohmann::json& part);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_JSON_STEPS_H_
