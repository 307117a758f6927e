// Turns a ClassifierSpec into a stored weight set. What the prompts become is
// up to zeroshot/class_encoder.h; this says which call builds, and which calls
// wait for it.
#ifndef ZEROSHOT_ZEROSHOT_WEIGHT_SET_BUILDER_H_
#define ZEROSHOT_ZEROSHOT_WEIGHT_SET_BUILDER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/caller.h"
#include "base/mutex.h"
#include "base/single_flight.h"
#include "clip/model.h"
#include "stores/weight_set.h"
#include "stores/weight_store.h"
#include "zeroshot/admission.h"
#include "zeroshot/class_encoder.h"
#include "zeroshot/class_examples.h"
#include "zeroshot/classifier_spec.h"
#include "zeroshot/embedder.h"
#include "zeroshot/vector_cache.h"

namespace zeroshot {

// Prompts, and example images before them.
struct BuildProgress {
  int64_t prompts_done = 0;
  int64_t prompts_total = 0;
  int64_t num_tokens_encoded = 0;                       // so far
  absl::Duration time_left = absl::InfiniteDuration();  // infinite: unknown
};

struct BuildTiming {
  absl::Duration queue, tokenize, encode, finish, total;
};

struct BuildResult {
  std::shared_ptr<const stores::WeightSet> set;
  bool cached = false;             // the set was there already
  bool joined = false;             // another call's build, waited for
  int64_t num_tokens_encoded = 0;  // positions computed; 0 if cached
  std::vector<std::string> warnings;
  BuildTiming timing;
};

// Thread rule: Build may be called from many threads at once. A build runs on
// the thread of its first caller; callers of the same spec wait for it.
class WeightSetBuilder {
 public:
  static constexpr int64_t kVectorCacheBytes = 512 << 20;

  using OnProgress = std::function<void(const BuildProgress&)>;
  // Encodes example images for as long as somebody waits for the build, whom
  // `all` stands for; see EmbedExamples.
  using EmbedImages = std::function<absl::StatusOr<Embeddings>(
      absl::Span<const absl::string_view> images, const base::Caller& all)>;

  // Borrows model and store. At most max_builds run at once. Of the
  // servers that share the store one builds, and the others wait for what it
  // puts there. Vectors of prompts may take vector_cache_bytes.
  WeightSetBuilder(clip::Model* model, stores::WeightStore* store,
                   const BuildLimits& limits, int max_builds,
                   int64_t vector_cache_bytes = kVectorCacheBytes);

  // A checked spec and the id of its set, which is there or not, and the name
  // to give to it. Errors: see ResolvedSpec::Resolve and CheckDisplayName.
  struct Named {
    ResolvedSpec spec;
    std::string id;
    std::string display_name;
  };
  absl::StatusOr<Named> Name(const ClassifierSpec& spec) const;

  // The set in the store, for no more than it costs to get it by its id, and to
  // look at its name in every tier if it is to have one. Errors are the
  // store's, NotFound among them.
  absl::StatusOr<std::shared_ptr<const stores::WeightSet>> Find(
      const Named& named);

  // Finds the set in the store or builds it. Equal specs asked for at once
  // are built once: the build goes on while one of its callers is left and
  // stops within a step when the last has gone. What it encoded by then, and
  // what other builds did, need not be encoded again.
  // `on_progress` (may be null) is called on the caller's own thread.
  // `embed_images` is for classes with example images.
  //
  // A display name is given to the set whether it was built or found.
  //
  // InvalidArgument: see ResolvedSpec::Resolve, CheckDisplayName and
  // ClassEncoder::Encode. ResourceExhausted: max_builds run
  // already, or memory. DeadlineExceeded, Cancelled: this caller has left.
  absl::StatusOr<BuildResult> Build(const ClassifierSpec& spec,
                                    const base::Caller& caller,
                                    const OnProgress& on_progress,
                                    const EmbedImages& embed_images = nullptr);
  absl::StatusOr<BuildResult> Build(const Named& named,
                                    const base::Caller& caller,
                                    const OnProgress& on_progress,
                                    const EmbedImages& embed_images = nullptr);

  VectorCache::Stats vector_cache_stats() { return encoder_.cache_stats(); }

 private:
  using Flights = base::SingleFlight<BuildResult>;

  void GiveName(const Named& named);

  // Joins the build of `id`, or begins and leads it.
  absl::StatusOr<BuildResult> JoinOrLead(const ResolvedSpec& spec,
                                         const std::string& id,
                                         const base::Caller& caller,
                                         const OnProgress& on_progress,
                                         const EmbedImages& embed_images);
  absl::StatusOr<BuildResult> Lead(const ResolvedSpec& spec,
                                   const std::string& id,
                                   Flights::Flight& flight,
                                   const base::Caller& caller,
                                   const OnProgress& on_progress,
                                   const EmbedImages& embed_images);
  absl::StatusOr<BuildResult> LeadWithLease(const ResolvedSpec& spec,
                                            const std::string& id,
                                            const clip::TextProgress& progress,
                                            EmbedExamples embed,
                                            base::Steps* steps);
  // Waits until this server should build (null), or until another one that did
  // has put the set into the store.
  absl::StatusOr<std::shared_ptr<const stores::WeightSet>> WaitForLease(
      const ResolvedSpec& spec, const std::string& id,
      const clip::TextProgress& progress);
  absl::StatusOr<BuildResult> BuildNow(const ResolvedSpec& spec,
                                       const std::string& id,
                                       const clip::TextProgress& progress,
                                       EmbedExamples embed, base::Steps* steps);

  clip::Model* const model_;
  stores::WeightStore* const store_;
  const BuildLimits limits_;
  ClassEncoder encoder_;
  Admission admission_;
  Flights flights_;
  base::Mutex mu_;
  // Of builds under way, for those who joined them.
  std::map<std::string, BuildProgress> progress_ ABSL_GUARDED_BY(mu_);
};

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_WEIGHT_SET_BUILDER_H_
