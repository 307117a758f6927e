#include "zeroshot/embedder.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "base/finite.h"
#include "base/in_parallel.h"
#include "base/monotonic.h"
#include "base/no_throw.h"
#include "base/quoted.h"
#include "base/sha256.h"

namespace zeroshot {

absl::StatusOr<std::vector<int32_t>> EncodePrompt(const clip::Model& model,
                                                  absl::string_view text) {
  const int context_length = model.info().context_length;
  absl::StatusOr<std::vector<int32_t>> tokens = model.tokenizer().Encode(text);
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
  options.decode.large_in_background = true;
  if (options.max_batch == 0) options.max_batch = model.info().max_batch;
  return options;
}

// Of the largest batch: with so many images a GPU is about as quick as with
// more. (The CPU has one batch at once.)
constexpr size_t kEnoughShare = 4;

// Most images are cropped row by row, or have a few megapixels. A decode that
// takes no more than this share of the budget is small.
constexpr int64_t kSmallDecodeShare = 64;

// A lost device starts nothing, and needs no second batch.
BatchPolicy BatchPolicyOn(const clip::Model& model, size_t max_batch) {
  const clip::ModelInfo& info = model.info();
  const int devices = std::max<int>(1, info.devices.size());
  const int left = model.devices_left();
  return {left, left * info.batches_at_once / devices,
          std::max<size_t>(1, max_batch / kEnoughShare)};
}

}  // namespace

Embedder::Embedder(clip::Model* model, const EmbedderOptions& options,
                   OnBatch on_batch)
    : model_(model),
      decode_budget_({.bytes = options.decode_memory_bytes,
                      .small = options.decode_memory_bytes / kSmallDecodeShare,
                      .name = "--decode_memory_bytes"}),
      options_(Resolved(options, *model, &decode_budget_)),
      on_batch_(std::move(on_batch)),
      known_(options.image_cache_bytes),
      batcher_(
          options_.max_batch,
          [this](absl::Span<Job* const> jobs) { RunBatch(jobs); },
          BatchPolicyOn(*model, options_.max_batch)) {}

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

EmbedTiming& EmbedTiming::operator+=(const EmbedTiming& other) {
  decode += other.decode;
  preprocess += other.preprocess;
  queue += other.queue;
  compute += other.compute;
  return *this;
}

int Embeddings::num_cached() const {
  return static_cast<int>(std::count(known.begin(), known.end(), true));
}

EmbedTiming Embeddings::timing() const {
  EmbedTiming sum;
  for (const EmbedTiming& timing : timings) sum += timing;
  return sum;
}

absl::Duration Embedder::TimeToStart() {
  return latency_.TimeToStart(
      pending(), options_.max_batch,
      BatchPolicyOn(*model_, options_.max_batch).max_with_large,
      base::MonotonicNow());
}

absl::StatusOr<Embeddings> Embedder::EmbedImages(
    absl::Span<const absl::string_view> images, const base::Caller& caller,
    Reuse reuse) {
  const size_t dim = model_->info().embedding_dim;
  Embeddings result;
  result.rows.resize(images.size() * dim);
  result.statuses.resize(images.size());
  result.timings.resize(images.size());
  result.known.resize(images.size());
  std::vector<Job> jobs(images.size());
  std::vector<Job*> runnable;
  Pending pending(&pending_, static_cast<int>(images.size()));
  absl::Status prepared =
      base::InParallel(images.size(), decode_budget_.at_once_for_one(),
                       "this image", [&](size_t i) {
                         absl::Status status = Prepare(
                             i, images[i], caller, reuse, &result, &jobs[i]);
                         if (status.ok() && jobs[i].crop.empty())
                           pending.Done();
                         return status;
                       });
  if (!prepared.ok()) return prepared;
  for (Job& job : jobs) {
    if (job.crop.empty()) continue;
    job.pending = &pending;
    runnable.push_back(&job);
  }
  if (runnable.empty()) return result;
  const absl::Time submitted = base::MonotonicNow();
  if (absl::Status status = batcher_.Run(runnable, caller); !status.ok()) {
    return status;
  }
  if (caller.steps != nullptr) NoteBatches(runnable, submitted, caller.steps);
  for (Job* job : runnable) {
    if (!job->status.ok()) return job->status;
    const size_t i = job - jobs.data();
    std::copy(job->row.begin(), job->row.end(), result.rows.begin() + i * dim);
    result.timings[i].queue += job->start - submitted;
    result.timings[i].compute += job->end - job->start;
    if (!job->key.empty()) known_.Put(job->key, job->row);
  }
  return result;
}

void Embedder::NoteBatches(absl::Span<Job* const> jobs, absl::Time submitted,
                           base::Steps* steps) {
  // Jobs of one batch began and ended together, and batches of several devices
  // may overlap.
  std::map<std::pair<absl::Time, absl::Time>, std::vector<const Job*>> batches;
  for (const Job* job : jobs) batches[{job->start, job->end}].push_back(job);
  for (const auto& [time, of_call] : batches) {
    const auto images = static_cast<int64_t>(of_call.size());
    steps->End(steps->Begin("queue", submitted), time.first,
               {{"images", images}});
    steps->End(
        steps->Begin("batch", time.first), time.second,
        {{"images", images}, {"batch_images", of_call.front()->batch_images}});
  }
}

absl::Status Embedder::Prepare(size_t i, absl::string_view bytes,
                               const base::Caller& caller, Reuse reuse,
                               Embeddings* result, Job* job) {
  absl::Status& status = result->statuses[i];
  status = CheckSize(bytes);
  if (!status.ok()) return absl::OkStatus();
  job->key = CacheKey(bytes, reuse);
  result->known[i] =
      !job->key.empty() &&
      known_.Find(job->key, &result->rows[i * model_->info().embedding_dim]);
  if (result->known[i]) return absl::OkStatus();
  // Where there is work to do only: the answer has its price (gRPC looks
  // through a queue).
  if (absl::Status wanted = caller.StillWaiting(); !wanted.ok()) return wanted;
  status = MakeCrop(bytes, caller, &job->crop, &result->timings[i]);
  const bool left =
      absl::IsDeadlineExceeded(status) || absl::IsCancelled(status);
  return left ? status : absl::OkStatus();
}

absl::StatusOr<Embeddings> Embedder::EmbedTexts(
    absl::Span<const absl::string_view> texts, const base::Caller& caller) {
  const size_t dim = model_->info().embedding_dim;
  Embeddings result;
  result.rows.resize(texts.size() * dim);
  result.statuses.resize(texts.size());
  std::vector<std::vector<int32_t>> sequences;
  std::vector<size_t> items;
  base::ScopedStep step(caller.steps, "embed_texts");
  int64_t tokens_in_all = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].size() > options_.max_text_bytes) {
      result.statuses[i] = base::InvalidField(
          absl::StrCat("texts[", i, "]"),
          absl::StrCat("the text has ", texts[i].size(), " bytes; at most ",
                       options_.max_text_bytes, " are allowed"));
      continue;
    }
    absl::StatusOr<std::vector<int32_t>> tokens =
        EncodePrompt(*model_, texts[i]);
    result.statuses[i] = tokens.status();
    if (!tokens.ok()) continue;
    tokens_in_all += static_cast<int64_t>(tokens->size());
    sequences.push_back(*std::move(tokens));
    items.push_back(i);
  }
  step.Add({"texts", static_cast<int64_t>(sequences.size())});
  step.Add({"tokens", tokens_in_all});
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
  return base::WithReason(
      absl::InvalidArgumentError(
          absl::StrCat("the image has ", bytes.size(), " bytes; at most ",
                       options_.max_image_bytes, " are allowed")),
      base::kImageTooLarge);
}

// Hashed is all that the row depends on: the model's fingerprint holds its
// preprocessing.
std::string Embedder::CacheKey(absl::string_view bytes, Reuse reuse) const {
  if (options_.image_cache_bytes == 0 || reuse == Reuse::kNever) return "";
  base::Sha256 hash;
  hash.UpdateField("image");
  hash.UpdateField(model_->info().fingerprint);
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
  base::ScopedStep step(caller.steps, "decode");
  step.Add({"bytes", static_cast<int64_t>(bytes.size())});
  clip::CropTiming crop_timing;
  absl::StatusOr<std::vector<uint8_t>> made =
      clip::DecodeAndCrop(bytes, model_->preprocessing().crop, options_.decode,
                          &crop_timing, caller);
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
  batcher_.SetPolicy(BatchPolicyOn(*model_, options_.max_batch));
  if (on_batch_) on_batch_(static_cast<int>(jobs.size()));
  for (Job* job : jobs) {
    job->start = start;
    job->end = end;
    job->batch_images = static_cast<int>(jobs.size());
    job->status.Update(status);
    job->pending->Done();
  }
}

}  // namespace zeroshot
