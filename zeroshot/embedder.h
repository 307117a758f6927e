// Images and texts to unit vectors, one caller's items at a time: decode,
// crop and tokenise on the caller's thread, towers through the batch threads.
#ifndef ZEROSHOT_ZEROSHOT_EMBEDDER_H_
#define ZEROSHOT_ZEROSHOT_EMBEDDER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/caller.h"
#include "base/steps.h"
#include "clip/decode_budget.h"
#include "clip/image.h"
#include "clip/model.h"
#include "zeroshot/batcher.h"
#include "zeroshot/latency_model.h"
#include "zeroshot/vector_cache.h"

namespace zeroshot {

struct EmbedTiming {
  absl::Duration decode, preprocess, queue, compute;

  EmbedTiming& operator+=(const EmbedTiming& other);
};

// Vectors of a batch of items that fail one by one.
struct Embeddings {
  std::vector<float> rows;             // [n, D], unit rows; zeros where failed
  std::vector<absl::Status> statuses;  // n
  // Of images only:
  std::vector<EmbedTiming> timings;  // n; zeros where known
  std::vector<char> known;           // n: whether its very bytes were known

  int num_cached() const;
  EmbedTiming timing() const;  // the sum of all
};

// Called for each batch that the tower has run, on a batch thread: several at
// once where there are several.
using OnBatch = std::function<void(int images)>;

// Whether an image whose very bytes were encoded before may be answered with
// the row that came of it then.
enum class Reuse { kIfKnown, kNever };

struct EmbedderOptions {
  int max_batch = 0;  // images; 0: what the model takes at once
  // Memory for the rows of images, by SHA-256 of their bytes; 0: none is kept
  // and none is hashed. Off by default: most traffic shows an image once, a
  // load test of few images would measure the cache, and how soon an answer
  // comes tells a caller whether someone sent the same image before.
  int64_t image_cache_bytes = 0;
  int64_t max_image_bytes = 20 << 20;
  int64_t max_text_bytes = 2'048;
  // Memory that all decodes together may take; more of them wait.
  int64_t decode_memory_bytes = int64_t{1} << 30;
  clip::DecodeOptions decode;  // whose budget is the embedder's
};

// Thread rule: every method may be called from many threads at once.
class Embedder {
 public:
  // Borrows the model. `on_batch` may be null.
  Embedder(clip::Model* model, const EmbedderOptions& options,
           OnBatch on_batch = nullptr);

  // Encoded images to rows. Several are decoded on as many threads as there
  // are cores, of which this call's own is one. Each waits for its share of the
  // memory for decodes (clip/decode_budget.h). An item that is no image, or
  // could never have such a share, fails alone, as InvalidArgument. The call as
  // a whole fails when the caller has left (DeadlineExceeded, Cancelled) or the
  // tower did. A known image is neither decoded nor run.
  absl::StatusOr<Embeddings> EmbedImages(
      absl::Span<const absl::string_view> images, const base::Caller& caller,
      Reuse reuse = Reuse::kIfKnown);

  // Texts to rows. A text that is not UTF-8, has more than max_text_bytes or
  // is too long for the model fails alone, as InvalidArgument.
  absl::StatusOr<Embeddings> EmbedTexts(
      absl::Span<const absl::string_view> texts, const base::Caller& caller);

  // Crops waiting for a device.
  int queued() { return batcher_.queued(); }

  // Images of all calls that have no row yet: not decoded, waiting or running.
  int pending() const { return pending_.load(); }

  // How long it takes until the tower can start with an image that comes now.
  // A call whose deadline is earlier cannot be answered in time.
  absl::Duration TimeToStart();

  // How long batches take.
  LatencyModel& latency() { return latency_; }

  // What decodes take of --decode_memory_bytes, and wait for.
  clip::DecodeBudget::Stats decodes() { return decode_budget_.stats(); }

  // How well the cache of images does; all zeros if there is none.
  VectorCache::Stats image_cache() { return known_.stats(); }

 private:
  class Pending;
  struct Job {
    Pending* pending = nullptr;  // of its call
    std::string key;  // under which the row is kept; empty: it is not
    std::vector<uint8_t> crop;
    std::vector<float> row;
    absl::Status status;
    // Of the batch that it was in:
    absl::Time start, end;
    int batch_images = 0;
  };

  absl::Status CheckSize(absl::string_view bytes) const;
  absl::Status MakeCrop(absl::string_view bytes, const base::Caller& caller,
                        std::vector<uint8_t>* crop, EmbedTiming* timing) const;
  // One image up to its crop, or its row if that is known: writes item i of
  // `result`. Only what ends the whole call is an error.
  absl::Status Prepare(size_t i, absl::string_view bytes,
                       const base::Caller& caller, Reuse reuse,
                       Embeddings* result, Job* job);
  // Empty if nothing is to be kept.
  std::string CacheKey(absl::string_view bytes, Reuse reuse) const;
  void RunBatch(absl::Span<Job* const> jobs);
  // Notes how long each of a call's jobs waited and ran.
  static void NoteBatches(absl::Span<Job* const> jobs, absl::Time submitted,
                          base::Steps* steps);

  clip::Model* const model_;
  clip::DecodeBudget decode_budget_;
  const EmbedderOptions options_;  // borrows the budget
  const OnBatch on_batch_;
  VectorCache known_;  // rows of images
  std::atomic<int> pending_{0};
  LatencyModel latency_;
  Batcher<Job> batcher_;
};

// Token ids of `text`, checked against the model's context length.
// InvalidArgument: not UTF-8, or longer; the message quotes the text.
absl::StatusOr<std::vector<int32_t>> EncodePrompt(const clip::Model& model,
                                                  absl::string_view text);

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_EMBEDDER_H_
