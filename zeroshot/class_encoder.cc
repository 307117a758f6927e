#include "zeroshot/class_encoder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "base/error_info.h"
#include "base/finite.h"
#include "base/monotonic.h"
#include "base/quoted.h"
#include "clip/template_tokenizer.h"
#include "stores/weight_set.h"
#include "zeroshot/embedder.h"

namespace zeroshot {
namespace {

// Prompts encoded by one call of the tower: bounds the memory for tokens
// whatever the size of the build, and is large enough for prompts that begin
// alike to meet.
constexpr int64_t kPromptsPerCall = 262'144;

std::string ClassName(const ResolvedSpec& spec, int c) {
  return absl::StrCat("class ", c, " (", base::Quoted(spec.class_name(c)), ")");
}

// What a prompt's vector is known by: its tokens, as they are, so that no other
// prompt can have it.
absl::string_view KeyOf(const std::vector<int32_t>& tokens) {
  return {reinterpret_cast<const char*>(tokens.data()),
          tokens.size() * sizeof(int32_t)};
}

void AddTo(double* sum, absl::Span<const float> row) {
  for (size_t d = 0; d < row.size(); ++d) sum[d] += row[d];
}

// The direction of the mean is the direction of the sum.
void UnitRow(const double* sum, size_t dim, float* row) {
  double square = 0;
  for (size_t d = 0; d < dim; ++d) square += sum[d] * sum[d];
  // Prompts that cancel out exactly leave zeros, not NaN.
  const double scale = square > 0 ? 1 / std::sqrt(square) : 0;
  for (size_t d = 0; d < dim; ++d) row[d] = static_cast<float>(sum[d] * scale);
}

absl::Status NobodyWaits() {
  return absl::CancelledError("nobody waits for the build any more");
}

}  // namespace

struct ClassEncoder::Batch {
  std::vector<std::vector<int32_t>> sequences;
  std::vector<int> classes;  // of each sequence
  std::vector<int> prompts;  // of each sequence: which one of its class's
};

namespace {

// Walks over the prompts of a spec.
class PromptReader {
 public:
  PromptReader(const ResolvedSpec* spec, const clip::Tokenizer* tokenizer,
               int context_length)
      : spec_(spec),
        tokenizer_(tokenizer),
        made_prompts_(tokenizer, spec->template_pieces()),
        context_length_(context_length) {
    SetName();
  }

  bool at_end() const { return class_ == spec_->num_classes(); }

  struct Prompt {
    int class_index;
    int prompt;  // of the class's
    std::vector<int32_t> tokens;
  };

  // REQUIRES: not at the end.
  absl::StatusOr<Prompt> Next() {
    absl::StatusOr<std::vector<int32_t>> tokens = Tokens();
    if (!tokens.ok()) {
      return base::WithPrefix(absl::StrCat(ClassName(*spec_, class_), ": "),
                              tokens.status());
    }
    Prompt next{class_, prompt_, *std::move(tokens)};
    if (++prompt_ == spec_->num_prompts(class_)) {
      prompt_ = 0;
      ++class_;
      SetName();
    }
    return next;
  }

 private:
  void SetName() {
    if (!at_end()) made_prompts_.SetName(spec_->class_name(class_));
  }

  absl::StatusOr<std::vector<int32_t>> Tokens() const {
    if (spec_->own_prompts(class_).empty()) {
      absl::StatusOr<std::vector<int32_t>> tokens =
          made_prompts_.Encode(prompt_);
      if (tokens.ok() && tokens->size() <= context_length_) return tokens;
    }
    return EncodePrompt(*tokenizer_, context_length_,
                        spec_->Prompt(class_, prompt_));
  }

  const ResolvedSpec* const spec_;
  const clip::Tokenizer* const tokenizer_;
  clip::TemplateTokenizer made_prompts_;  // of templates and the class's name
  const int context_length_;
  int class_ = 0;
  int prompt_ = 0;
};

}  // namespace

absl::StatusOr<EncodedClasses> ClassEncoder::Encode(
    const ResolvedSpec& spec, const clip::TextProgress& progress) {
  constexpr int kPromptsBetweenChecks = 4096;
  const size_t dim = model_->info().embedding_dim;
  const int64_t total = spec.total_prompts();
  EncodedClasses out;
  Sums sums(spec.num_classes() * dim);
  int64_t done = 0;
  absl::Time start = base::MonotonicNow();
  PromptReader prompts(&spec, tokenizer_, model_->info().context_length);
  while (!prompts.at_end()) {
    Batch batch;
    while (!prompts.at_end() && batch.sequences.size() < kPromptsPerCall) {
      if (batch.sequences.size() % kPromptsBetweenChecks == 0 &&
          !progress(done, total, out.num_tokens_encoded)) {
        return NobodyWaits();
      }
      auto prompt = prompts.Next();
      if (!prompt.ok()) return prompt.status();
      out.num_tokens += static_cast<int64_t>(prompt->tokens.size());
      batch.classes.push_back(prompt->class_index);
      batch.prompts.push_back(prompt->prompt);
      batch.sequences.push_back(std::move(prompt->tokens));
    }
    const int64_t count = batch.sequences.size();
    AddKnown(&batch, &sums);
    const absl::Time tokenized = base::MonotonicNow();
    out.tokenize += tokenized - start;
    const int64_t known = count - batch.sequences.size();
    absl::Status status =
        EncodeUnknown(spec, batch, done + known, progress, &sums, &out);
    if (!status.ok()) return status;
    done += count;
    start = base::MonotonicNow();
    out.encode += start - tokenized;
  }

  out.weights = stores::MakeWeights(spec.num_classes() * dim);
  for (int c = 0; c < spec.num_classes(); ++c) {
    UnitRow(&sums[c * dim], dim, &out.weights[c * dim]);
  }
  return out;
}

void ClassEncoder::AddKnown(Batch* batch, Sums* sums) {
  size_t kept = 0;
  std::vector<float> row(model_->info().embedding_dim);
  for (size_t i = 0; i < batch->sequences.size(); ++i) {
    if (cache_.Find(KeyOf(batch->sequences[i]), row.data())) {
      AddTo(&(*sums)[batch->classes[i] * row.size()], row);
      continue;
    }
    if (kept != i) {
      batch->sequences[kept] = std::move(batch->sequences[i]);
      batch->classes[kept] = batch->classes[i];
      batch->prompts[kept] = batch->prompts[i];
    }
    ++kept;
  }
  batch->sequences.resize(kept);
  batch->classes.resize(kept);
  batch->prompts.resize(kept);
}

absl::Status ClassEncoder::EncodeUnknown(const ResolvedSpec& spec,
                                         const Batch& batch, int64_t done,
                                         const clip::TextProgress& progress,
                                         Sums* sums, EncodedClasses* out) {
  const int64_t total = spec.total_prompts();
  if (batch.sequences.empty()) {
    const bool go_on = progress(done, total, out->num_tokens_encoded);
    return go_on || done == total ? absl::OkStatus() : NobodyWaits();
  }
  absl::Status finite;
  const absl::StatusOr<int64_t> positions = model_->EncodeText(
      batch.sequences,
      [&](int64_t i, absl::Span<const float> row) {
        if (!finite.ok()) return;
        if (!base::AllFinite(row)) {
          const int c = batch.classes[i];
          finite = base::NotFinite(
              absl::StrCat(ClassName(spec, c), ": the embedding of prompt ",
                           base::Quoted(spec.Prompt(c, batch.prompts[i]))));
          return;
        }
        AddTo(&(*sums)[batch.classes[i] * row.size()], row);
        cache_.Put(KeyOf(batch.sequences[i]), row);
      },
      [&](int64_t part, int64_t, int64_t positions) {
        return finite.ok() && progress(done + part, total,
                                       out->num_tokens_encoded + positions);
      });
  if (!finite.ok()) return finite;
  if (!positions.ok()) return positions.status();
  out->num_tokens_encoded += *positions;
  return absl::OkStatus();
}

}  // namespace zeroshot
