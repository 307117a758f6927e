// Tokens of prompts that are templates with a class name put in: "a photo of a
// {}." Pieces of templates and names are tokenised once each and their ids put
// together, which is a fifteenth of the time. The result is that of
// Tokenizer::Encode over the whole prompt, always: where the cleaning may
// change text or a word may reach from a piece into a name, or with a tokenizer
// whose words do not part there, the whole prompt is tokenised.
//
// Thread rule: one object, one thread.
#ifndef ZEROSHOT_CLIP_TEMPLATE_TOKENIZER_H_
#define ZEROSHOT_CLIP_TEMPLATE_TOKENIZER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "clip/tokenizer.h"

namespace clip {

class TemplateTokenizer {
 public:
  // A template is the pieces around the places where the name goes: one more
  // than there are places, some perhaps empty. Borrows both.
  TemplateTokenizer(const Tokenizer* tokenizer,
                    absl::Span<const std::vector<std::string>> templates);

  // From now on prompts are about `name`, which is borrowed.
  void SetName(absl::string_view name);

  // As Tokenizer::Encode of the prompt that template `t` makes of the name.
  absl::StatusOr<std::vector<int32_t>> Encode(int t) const;

 private:
  // A piece of text and the ids of its words.
  struct Piece {
    absl::string_view text;
    std::vector<int32_t> ids;
  };

  Piece ToPiece(absl::string_view text) const;
  // Whether the ids of the prompt are those of its pieces.
  bool IsMadeOfPieces(const std::vector<Piece>& pieces) const;

  const Tokenizer* const tokenizer_;
  const absl::Span<const std::vector<std::string>> templates_;
  // [templates]; empty if one of its pieces is not plain.
  std::vector<std::vector<Piece>> pieces_;
  int32_t first_ = 0, last_ = 0;  // tokens of every text
  Piece name_;
  bool plain_name_ = false;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEMPLATE_TOKENIZER_H_
