#include "zeroshot/class_encoder.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "base/error_info.h"
#include "base/finite.h"
#include "base/monotonic.h"
#include "base/quoted.h"
#include "clip/template_tokenizer.h"
#include "stores/weight_set.h"
#include "zeroshot/admission.h"
#include "zeroshot/embedder.h"

namespace zeroshot {
namespace {

// Prompts encoded by one call of the tower: bounds the memory for tokens
// whatever the size of the build, and is large enough for prompts that begin
// alike to meet.
constexpr int64_t kPromptsPerCall = 262'144;

// What a prompt's vector is known by: its tokens, as they are, so that no other
// prompt can have it.
absl::string_view KeyOf(const std::vector<int32_t>& tokens) {
  return {reinterpret_cast<const char*>(tokens.data()),
          tokens.size() * sizeof(int32_t)};
}

void AddTo(double* sum, absl::Span<const float> row) {
  for (size_t d = 0; d < row.size(); ++d) sum[d] += row[d];
}

// Example images for one call of `embed`: as many as fill a CPU's batch half,
// so that a build leaves room for those who classify.
constexpr size_t kImagesPerCall = 16;

// Before images that were refused are brought again.
constexpr absl::Duration kAskAgain = absl::Milliseconds(20);

absl::Status NobodyWaits() {
  return absl::CancelledError("nobody waits for the build any more");
}

}  // namespace

struct ClassEncoder::Batch {
  std::vector<std::vector<int32_t>> sequences;
  std::vector<int> rows;     // of each sequence: its class or background
  std::vector<int> prompts;  // of each sequence: which one of its row's
};

namespace {

// Walks over the prompts of a spec.
class PromptReader {
 public:
  PromptReader(const ResolvedSpec* spec, const clip::Model* model)
      : spec_(spec),
        model_(model),
        made_prompts_(&model->tokenizer(), spec->template_pieces()) {
    SkipEmpty();
    SetName();
  }

  bool at_end() const { return row_ == spec_->num_rows(); }

  struct Prompt {
    int row;
    int prompt;  // of the row's
    std::vector<int32_t> tokens;
  };

  // REQUIRES: not at the end.
  absl::StatusOr<Prompt> Next() {
    absl::StatusOr<std::vector<int32_t>> tokens = Tokens();
    if (!tokens.ok()) {
      return base::WithPrefix(absl::StrCat(spec_->Described(row_), ": "),
                              tokens.status());
    }
    Prompt next{row_, prompt_, *std::move(tokens)};
    if (++prompt_ == spec_->num_prompts(row_)) {
      prompt_ = 0;
      ++row_;
      SkipEmpty();
      SetName();
    }
    return next;
  }

 private:
  void SkipEmpty() {
    while (!at_end() && spec_->num_prompts(row_) == 0) ++row_;
  }

  void SetName() {
    if (!at_end()) made_prompts_.SetName(spec_->name(row_));
  }

  absl::StatusOr<std::vector<int32_t>> Tokens() const {
    if (spec_->own_prompts(row_).empty()) {
      absl::StatusOr<std::vector<int32_t>> tokens =
          made_prompts_.Encode(prompt_);
      if (tokens.ok() && tokens->size() <= model_->info().context_length) {
        return tokens;
      }
    }
    return EncodePrompt(*model_, spec_->Prompt(row_, prompt_));
  }

  const ResolvedSpec* const spec_;
  const clip::Model* const model_;
  clip::TemplateTokenizer made_prompts_;  // of templates and the class's name
  int row_ = 0;
  int prompt_ = 0;
};

}  // namespace

absl::StatusOr<EncodedClasses> ClassEncoder::Encode(
    const ResolvedSpec& spec, const clip::TextProgress& progress,
    EmbedExamples embed, const base::ScopedStep& step) {
  constexpr int kPromptsBetweenChecks = 4096;
  const size_t dim = model_->info().embedding_dim;
  const int64_t total = spec.total_to_encode();
  EncodedClasses out;
  absl::Time start = base::MonotonicNow();
  absl::StatusOr<ExampleSums> examples = EncodeExamples(spec, progress, embed);
  if (!examples.ok()) return examples.status();
  out.encode = base::MonotonicNow() - start;
  Sums sums(spec.num_rows() * dim);
  int64_t done = spec.total_example_images();
  start = base::MonotonicNow();
  PromptReader prompts(&spec, model_);
  while (!prompts.at_end()) {
    Batch batch;
    std::optional<base::ScopedStep> part(std::in_place, step, "tokenize");
    while (!prompts.at_end() && batch.sequences.size() < kPromptsPerCall) {
      if (batch.sequences.size() % kPromptsBetweenChecks == 0 &&
          !progress(done, total, out.num_tokens_encoded)) {
        return NobodyWaits();
      }
      auto prompt = prompts.Next();
      if (!prompt.ok()) return prompt.status();
      out.num_tokens += static_cast<int64_t>(prompt->tokens.size());
      batch.rows.push_back(prompt->row);
      batch.prompts.push_back(prompt->prompt);
      batch.sequences.push_back(std::move(prompt->tokens));
    }
    const int64_t count = batch.sequences.size();
    AddKnown(&batch, &sums);
    part->Add({"prompts", count});
    const absl::Time tokenized = base::MonotonicNow();
    out.tokenize += tokenized - start;
    const int64_t known = count - batch.sequences.size();
    part.emplace(step, "encode");
    part->Add({"prompts", count - known});
    const int64_t tokens_before = out.num_tokens_encoded;
    absl::Status status =
        EncodeUnknown(spec, batch, done + known, progress, &sums, &out);
    part->Add({"tokens", out.num_tokens_encoded - tokens_before});
    if (!status.ok()) return status;
    done += count;
    start = base::MonotonicNow();
    out.encode += start - tokenized;
  }

  absl::Status mixed = Mix(spec, &sums, &*examples, &out);
  if (!mixed.ok()) return mixed;
  return out;
}

absl::StatusOr<ClassEncoder::ExampleSums> ClassEncoder::EncodeExamples(
    const ResolvedSpec& spec, const clip::TextProgress& progress,
    EmbedExamples embed) const {
  const size_t dim = model_->info().embedding_dim;
  struct Image {
    int row;
    size_t index;  // of the row's
  };
  std::vector<Image> images;
  ExampleSums sums;
  for (int row = 0; row < spec.num_classes(); ++row) {
    const Examples& examples = spec.examples(row);
    if (!examples.given()) continue;
    std::vector<double>& sum = sums[row];
    sum.resize(dim);
    AddUnitRows(examples.embeddings, absl::MakeSpan(sum));
    for (size_t i = 0; i < examples.images.size(); ++i) {
      images.push_back({row, i});
    }
  }
  for (size_t done = 0; done < images.size();) {
    if (!progress(static_cast<int64_t>(done), spec.total_to_encode(), 0)) {
      return NobodyWaits();
    }
    const absl::Span<const Image> now =
        absl::MakeConstSpan(images).subspan(done, kImagesPerCall);
    std::vector<absl::string_view> bytes;
    for (const Image& image : now) {
      bytes.push_back(spec.examples(image.row).images[image.index]);
    }
    const absl::StatusOr<Embeddings> embedded = embed(bytes);
    if (RetryDelay(embedded.status()) > absl::ZeroDuration()) {
      absl::SleepFor(kAskAgain);
      continue;
    }
    if (!embedded.ok()) return embedded.status();
    for (size_t i = 0; i < now.size(); ++i) {
      if (const absl::Status& status = embedded->statuses[i]; !status.ok()) {
        const std::string field = absl::StrCat(
            "classes[", now[i].row, "].example_images[", now[i].index, "]");
        return base::InvalidField(field,
                                  absl::StrCat(field, ": ", status.message()));
      }
      AddUnitRows(absl::MakeConstSpan(embedded->rows).subspan(i * dim, dim),
                  absl::MakeSpan(sums[now[i].row]));
    }
    done += now.size();
  }
  return sums;
}

absl::Status ClassEncoder::Mix(const ResolvedSpec& spec, Sums* texts,
                               ExampleSums* examples,
                               EncodedClasses* out) const {
  const size_t dim = model_->info().embedding_dim;
  out->weights = stores::MakeWeights(spec.num_rows() * dim);
  for (int row = 0; row < spec.num_rows(); ++row) {
    // The direction of the mean is the direction of the sum. Prompts that
    // cancel out exactly leave zeros, not NaN.
    const absl::Span<double> vector =
        absl::MakeSpan(*texts).subspan(row * dim, dim);
    MakeUnit(vector);
    if (const auto shown = examples->find(row); shown != examples->end()) {
      const double share = spec.shown(row)->weight;
      std::vector<double>& seen = shown->second;
      const bool any = MakeUnit(absl::MakeSpan(seen));
      for (size_t d = 0; d < dim; ++d) {
        vector[d] = (1 - share) * vector[d] + share * seen[d];
      }
      if (!any || !MakeUnit(vector)) {
        return base::InvalidField(
            absl::StrCat("classes[", row, "]"),
            absl::StrCat(spec.Described(row), ": its examples cancel ",
                         any ? "its prompts" : "each other",
                         " out, so that they make no vector"));
      }
    }
    for (size_t d = 0; d < dim; ++d) {
      out->weights[row * dim + d] = static_cast<float>(vector[d]);
    }
  }
  return absl::OkStatus();
}

void ClassEncoder::AddKnown(Batch* batch, Sums* sums) {
  size_t kept = 0;
  std::vector<float> row(model_->info().embedding_dim);
  for (size_t i = 0; i < batch->sequences.size(); ++i) {
    if (cache_.Find(KeyOf(batch->sequences[i]), row.data())) {
      AddTo(&(*sums)[batch->rows[i] * row.size()], row);
      continue;
    }
    if (kept != i) {
      batch->sequences[kept] = std::move(batch->sequences[i]);
      batch->rows[kept] = batch->rows[i];
      batch->prompts[kept] = batch->prompts[i];
    }
    ++kept;
  }
  batch->sequences.resize(kept);
  batch->rows.resize(kept);
  batch->prompts.resize(kept);
}

absl::Status ClassEncoder::EncodeUnknown(const ResolvedSpec& spec,
                                         const Batch& batch, int64_t done,
                                         const clip::TextProgress& progress,
                                         Sums* sums, EncodedClasses* out) {
  const int64_t total = spec.total_to_encode();
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
          const int of = batch.rows[i];
          finite = base::NotFinite(
              absl::StrCat(spec.Described(of), ": the embedding of prompt ",
                           base::Quoted(spec.Prompt(of, batch.prompts[i]))));
          return;
        }
        AddTo(&(*sums)[batch.rows[i] * row.size()], row);
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
