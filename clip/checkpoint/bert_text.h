// The text towers of BERT's kind that open_clip's models take from Hugging
// Face: what their names say of them, and how transformers names their tensors
// (modeling_bert.py, modeling_xlm_roberta.py). Sizes are the tensors'.
#ifndef ZEROSHOT_CLIP_CHECKPOINT_BERT_TEXT_H_
#define ZEROSHOT_CLIP_CHECKPOINT_BERT_TEXT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "clip/checkpoint/architecture.h"
#include "clip/checkpoint/formats.h"
#include "clip/checkpoint/tensor_view.h"

namespace clip {

// What text_cfg says of the tower.
struct BertTextConfig {
  std::string name;        // hf_model_name
  std::string pooler;      // hf_pooler_type; "": the library's choice
  std::string projection;  // hf_proj_type; "": none
};

// Whether the name is one of BERT, RoBERTa, XLM-RoBERTa or of one that was
// trained like them ("microsoft/BiomedNLP-PubMedBERT-base-uncased-abstract").
bool IsBertText(absl::string_view name);

// How the tower works, but for its sizes: needed before its tokenizer is read.
// InvalidArgument: a pooler or projection that is not supported. REQUIRES:
// IsBertText.
absl::Status SetBertText(const BertTextConfig& config, Architecture* all);

// The sizes. InvalidArgument: a tensor that tells one is missing.
absl::Status ReadBertSizes(const TensorMap& tensors, Architecture* all);

// Where the tensors of the text tower are; others have their own names.
WeightSource BertName(const Architecture& all, const std::string& required);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CHECKPOINT_BERT_TEXT_H_
