#include "zeroshot/embedder.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "base/finite.h"
#include "base/monotonic.h"
#include "base/no_throw.h"
#include "base/quoted.h"
#include "base/sha256.h"

namespace zeroshot {

absl::StatusOr<std::vector<int32_t>> EncodePrompt(
    const clip::Tokenizer& tokenizer, int context_length,
    absl::string_view text) {
  absl::StatusOr<std::vector<int32_t>> tokens = tokenizer.Encode(text);
  if (tokens.ok() && tokens->size() <= context_length) return tokens;
  const std::string quoted = absl::StrCat("prompt ", base::Quoted(text));
  if (!tokens.ok()) {
    return base::WithReason(
        absl::Status(tokens.status().code(),
                     absl::StrCat(quoted, ": ", tokens.status().message())),
        base::kInvalidField);
  }
  return base::WithReason(
      absl::InvalidArgumentError(absl::StrCat(
          quoted, " has ", tokens->size(),
          " tokens, start and end included; the model takes ", context_length)),
      base::kPromptTooLong,
      {{"tokens", absl::StrCat(tokens->size())},
       {"max_tokens", absl::StrCat(context_length)}});
}

namespace {

EmbedderOptions Resolved(EmbedderOptions options, const clip::Model& model,
                         clip::DecodeBudget* budget) {
  options.decode.budget = budget;
  if (options.max_batch == 0) options.max_batch = model.info().max_batch;
  return options;
}

// Of the largest batch: with so many pictures a GPU is about as quick as with
// more. (The CPU has one batch at once.)
constexpr size_t kEnoughShare = 4;

// Most images are cropped row by row, or have a few megapixels. A decode that
// takes no more than this share of the budget is small.
constexpr int64_t kSmallDecodeShare = 64;

// A lost device starts nothing, and needs no second batch.
AtOnce AtOnceOn(const clip::Model& model, size_t max_batch) {
  const clip::ModelInfo& info = model.info();
  const int devices = std::max<int>(1, info.devices.size());
  const int left = model.devices_left();
  return {left, left * info.batches_at_once / devices,
          std::max<size_t>(1, max_batch / kEnoughShare)};
}

}  // namespace

Embedder::Embedder(clip::Model* model, const clip::Tokenizer* tokenizer,
                   const EmbedderOptions& options, OnBatch on_batch)
    : model_(model),
      tokenizer_(tokenizer),
      decode_budget_({.bytes = options.decode_memory_bytes,
                      .small = options.decode_memory_bytes / kSmallDecodeShare,
                      .name = "--decode_memory_bytes"}),
      options_(Resolved(options, *model, &decode_budget_)),
      on_batch_(std::move(on_batch)),
      known_(options.image_cache_bytes),
      batcher_(
          options_.max_batch,
          [this](absl::Span<Job* const> jobs) { RunBatch(jobs); },
          AtOnceOn(*model, options_.max_batch)) {}

// The images of one call that have no row yet, counted as such until then.
class Embedder::Pending {
 public:
  Pending(std::atomic<int>* all, int images) : all_(all), left_(images) {
    *all_ += images;
  }
  ~Pending() { *all_ -= left_; }
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;

  // Thread rule: called from several batch threads at once.
  void Done() {
    --left_;
    --*all_;
  }

 private:
  std::atomic<int>* const all_;
  std::atomic<int> left_;
};

absl::Duration Embedder::TimeToStart() {
  return latency_.TimeToStart(pending(), options_.max_batch,
                              AtOnceOn(*model_, options_.max_batch).of_enough,
                              base::MonotonicNow());
}

absl::StatusOr<Embeddings> Embedder::EmbedImages(
    absl::Span<const absl::string_view> images, const base::Caller& caller,
    Reuse reuse) {
  const size_t dim = model_->info().embedding_dim;
  Embeddings result;
  result.rows.resize(images.size() * dim);
  result.statuses.resize(images.size());
  std::vector<Job> jobs(images.size());
  std::vector<Job*> runnable;
  Pending pending(&pending_, static_cast<int>(images.size()));
  for (size_t i = 0; i < images.size(); ++i) {
    if (absl::Status status = caller.StillWaiting(); !status.ok())
      return status;
    result.statuses[i] = CheckSize(images[i]);
    if (!result.statuses[i].ok()) {
      pending.Done();
      continue;
    }
    jobs[i].key = CacheKey(images[i], reuse);
    if (!jobs[i].key.empty() &&
        known_.Find(jobs[i].key, &result.rows[i * dim])) {
      ++result.num_cached;
      pending.Done();
      continue;
    }
    absl::Status made =
        MakeCrop(images[i], caller, &jobs[i].crop, &result.timing);
    if (absl::IsDeadlineExceeded(made) || absl::IsCancelled(made)) return made;
    result.statuses[i] = std::move(made);
    if (!result.statuses[i].ok()) {
      pending.Done();
      continue;
    }
    jobs[i].pending = &pending;
    runnable.push_back(&jobs[i]);
  }
  if (runnable.empty()) return result;
  const absl::Time submitted = base::MonotonicNow();
  if (absl::Status status = batcher_.Run(runnable, caller); !status.ok()) {
    return status;
  }
  for (Job* job : runnable) {
    if (!job->status.ok()) return job->status;
    const size_t i = job - jobs.data();
    std::copy(job->row.begin(), job->row.end(), result.rows.begin() + i * dim);
    result.timing.queue += job->start - submitted;
    result.timing.compute += job->end - job->start;
    if (!job->key.empty()) known_.Put(job->key, job->row);
  }
  return result;
}

absl::StatusOr<Embeddings> Embedder::EmbedTexts(
    absl::Span<const absl::string_view> texts, const base::Caller& caller) {
  const size_t dim = model_->info().embedding_dim;
  Embeddings result;
  result.rows.resize(texts.size() * dim);
  result.statuses.resize(texts.size());
  std::vector<std::vector<int32_t>> sequences;
  std::vector<size_t> items;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].size() > options_.max_text_bytes) {
      result.statuses[i] = base::InvalidField(
          absl::StrCat("texts[", i, "]"),
          absl::StrCat("the text has ", texts[i].size(), " bytes, ",
                       options_.max_text_bytes, " are allowed"));
      continue;
    }
    absl::StatusOr<std::vector<int32_t>> tokens =
        EncodePrompt(*tokenizer_, model_->info().context_length, texts[i]);
    result.statuses[i] = tokens.status();
    if (!tokens.ok()) continue;
    sequences.push_back(*std::move(tokens));
    items.push_back(i);
  }
  if (sequences.empty()) return result;
  absl::Status finite;
  const absl::Status encoded =
      model_
          ->EncodeText(
              sequences,
              [&](int64_t sequence, absl::Span<const float> row) {
                if (finite.ok() && !base::AllFinite(row)) {
                  finite = base::NotFinite(absl::StrCat(
                      "the embedding of text ", items[sequence], " (",
                      base::Quoted(texts[items[sequence]]), ")"));
                }
                std::copy(row.begin(), row.end(),
                          result.rows.begin() + items[sequence] * dim);
              },
              [&](int64_t, int64_t, int64_t) {
                return caller.StillWaiting().ok();
              })
          .status();
  if (!encoded.ok()) {
    const absl::Status left = caller.StillWaiting();
    return absl::IsCancelled(encoded) && !left.ok() ? left : encoded;
  }
  if (!finite.ok()) return finite;
  return result;
}

absl::Status Embedder::CheckSize(absl::string_view bytes) const {
  if (bytes.size() <= options_.max_image_bytes) return absl::OkStatus();
  return base::WithReason(absl::InvalidArgumentError(absl::StrCat(
                              "the image has ", bytes.size(), " bytes, ",
                              options_.max_image_bytes, " are allowed")),
                          base::kImageTooLarge);
}

// Hashed is all that the row depends on, but for the model, with which the
// cache goes.
std::string Embedder::CacheKey(absl::string_view bytes, Reuse reuse) const {
  if (options_.image_cache_bytes == 0 || reuse == Reuse::kNever) return "";
  base::Sha256 hash;
  hash.UpdateField("picture");
  hash.UpdateField(options_.decode.fast ? "fast" : "exact");
  hash.UpdateField(options_.decode.apply_exif_orientation ? "upright"
                                                          : "as is");
  hash.Update(bytes);
  return hash.HexDigest();
}

absl::Status Embedder::MakeCrop(absl::string_view bytes,
                                const base::Caller& caller,
                                std::vector<uint8_t>* crop,
                                EmbedTiming* timing) const {
  clip::CropTiming crop_timing;
  const clip::ModelInfo& info = model_->info();
  absl::StatusOr<std::vector<uint8_t>> made =
      clip::DecodeAndCrop(bytes, {info.image_size, info.squash},
                          options_.decode, &crop_timing, caller);
  timing->queue += crop_timing.wait;
  timing->decode += crop_timing.decode;
  timing->preprocess += crop_timing.crop;
  if (!made.ok()) return made.status();
  *crop = *std::move(made);
  return absl::OkStatus();
}

void Embedder::RunBatch(absl::Span<Job* const> jobs) {
  const absl::Time start = base::MonotonicNow();
  latency_.BatchBegan(static_cast<int>(jobs.size()), start);
  const absl::Status status = base::NoThrow("this batch", [&] {
    std::vector<absl::Span<const uint8_t>> crops;
    for (const Job* job : jobs) crops.push_back(job->crop);
    const absl::StatusOr<std::vector<float>> rows = model_->EncodeImages(crops);
    if (!rows.ok()) return rows.status();
    const size_t dim = model_->info().embedding_dim;
    for (size_t i = 0; i < jobs.size(); ++i) {
      const absl::Span<const float> row(&(*rows)[i * dim], dim);
      if (!base::AllFinite(row))
        jobs[i]->status = base::NotFinite("the image's embedding");
      jobs[i]->row.assign(row.begin(), row.end());
    }
    return absl::OkStatus();
  });
  const absl::Time end = base::MonotonicNow();
  latency_.BatchEnded(static_cast<int>(jobs.size()), start, end);
  batcher_.SetAtOnce(AtOnceOn(*model_, options_.max_batch));
  if (on_batch_) on_batch_(static_cast<int>(jobs.size()));
  for (Job* job : jobs) {
    job->start = start;
    job->end = end;
    job->status.Update(status);
    job->pending->Done();
  }
}

}  // namespace zeroshot
