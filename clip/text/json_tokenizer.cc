#include "clip/text/json_tokenizer.h"

namespace clip {

void JsonTokenizer::AppendPart(absl::string_view text, bool starts_text,
                               std::vector<int32_t>* ids) const {
  std::string normal(text);
  for (const auto& normalize : normalizers_) normalize(&normal);
  bool first = starts_text;
  for (const TextPart& part : normalized_added_.Split(normal)) {
    if (part.token) {
      ids->push_back(*part.token);
    } else {
      Words words = {{std::string(part.text), first}};
      for (const auto& split : pre_tokenizers_) split(&words);
      for (const Word& word : words) model_->Append(word.text, ids);
    }
    first = false;
  }
}

void JsonTokenizer::Append(absl::string_view text,
                           std::vector<int32_t>* ids) const {
  ids->insert(ids->end(), before_.begin(), before_.end());
  bool first = true;
  for (const TextPart& part : added_.Split(text)) {
    if (part.token) {
      ids->push_back(*part.token);
    } else {
      AppendPart(part.text, first, ids);
    }
    first = false;
  }
  ids->insert(ids->end(), after_.begin(), after_.end());
}

std::optional<int32_t> JsonTokenizer::IdOf(absl::string_view token) const {
  for (const AddedToken& added : all_added_) {
    if (added.text == token) return added.id;
  }
  return model_->vocabulary().Find(token);
}

}  // namespace clip
