// What classes of transformers make of a tokenizer.json: their constructors in
// tokenization_t5.py, tokenization_gemma.py, tokenization_siglip2.py and
// tokenization_xlm_roberta.py.
#ifndef ZEROSHOT_CLIP_TEXT_JSON_CLASSES_H_
#define ZEROSHOT_CLIP_TEXT_JSON_CLASSES_H_

#include <string>

#include "clip/subword_tokenizer.h"
#include "clip/text/sentencepiece_model.h"
#include "nlohmann/json.hpp"

namespace clip {

// Puts the steps of a class into the place of the file's. REQUIRES: an object.
void PutSteps(JsonUse::Steps steps, nlohmann::json* root);

// The tokenizer.json that transformers makes of a SentencePiece model for
// T5Tokenizer, with `extra_ids` sentinels behind the pieces, and for
// XLMRobertaTokenizer, whose ids are other ones. REQUIRES: kT5 or kXlmRoberta.
std::string JsonOfPieces(const SentencePieceModel& model, JsonUse::Steps steps,
                         int extra_ids);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_JSON_CLASSES_H_
