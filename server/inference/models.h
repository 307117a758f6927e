// The models that the inference protocol offers: both towers, and each weight
// set by its display name or id.
#ifndef ZEROSHOT_SERVER_INFERENCE_MODELS_H_
#define ZEROSHOT_SERVER_INFERENCE_MODELS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/caller.h"
#include "base/mutex.h"
#include "base/single_flight.h"
#include "stores/tiered_store.h"

namespace zeroshot::server {

inline constexpr char kImageEncoder[] = "image_encoder";
inline constexpr char kTextEncoder[] = "text_encoder";
// Of every model, the one version.
inline constexpr char kModelVersion[] = "1";
// Of the server, and the platform of its models.
inline constexpr char kServerName[] = "zeroshot";

// Names of datatypes.
inline constexpr char kBytes[] = "BYTES";
inline constexpr char kFp32[] = "FP32";
inline constexpr char kInt32[] = "INT32";
inline constexpr char kBool[] = "BOOL";

// A tensor that goes in or comes out. Its shape is [n, columns], since Triton's
// tools know no batches of less than two dimensions; -1: any number.
struct Tensor {
  absl::string_view name;
  absl::string_view datatype;
  int64_t columns;
};

struct InferenceModel {
  enum class Kind { kImageEncoder, kTextEncoder, kWeightSet };

  Kind kind;
  std::string weight_set_id;  // of a weight set

  Tensor input() const;
  std::vector<Tensor> outputs(int embedding_dim) const;
};

// Thread rule: every method may be called from many threads at once.
class InferenceModels {
 public:
  // What other servers have named is known after so long, or after twenty times
  // as long as it takes to look.
  static constexpr absl::Duration kLookEvery = absl::Seconds(5);

  // The model of that name. A weight set that is named by its id may be none
  // that there is: see Exists. NotFound: there is no such model, or no such
  // version. DeadlineExceeded, Cancelled: the caller has left. Unavailable: a
  // store does not say what there is.
  absl::StatusOr<InferenceModel> Find(stores::TieredStore& store,
                                      const std::string& name,
                                      absl::string_view version,
                                      const base::Caller& caller);

  // OK, or NotFound: the model's weight set is not there.
  static absl::Status Exists(stores::TieredStore& store,
                             const InferenceModel& model);

  // Calls `add` with the name of each model; an error ends it.
  absl::Status List(stores::TieredStore& store, const base::Caller& caller,
                    absl::FunctionRef<absl::Status(const std::string&)> add);

 private:
  // The display names, as they were when the store was looked through.
  struct Names {
    struct Set {
      std::string id;
      int64_t given_us = 0;
    };
    std::map<std::string, Set> sets;  // by name, the last one that was given it
    int64_t naming_changes = 0;       // of the store, before the look
    absl::Time until;                 // when others' changes are looked for
  };
  using NamesPtr = std::shared_ptr<const Names>;

  // Those that hold now, as far as this server has named the sets.
  absl::StatusOr<NamesPtr> CurrentNames(stores::TieredStore& store,
                                        const base::Caller& caller);
  absl::StatusOr<NamesPtr> Look(stores::TieredStore& store);

  base::SingleFlight<NamesPtr> looks_;
  base::Mutex mu_;
  NamesPtr names_ ABSL_GUARDED_BY(mu_);  // null: nobody has looked yet
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_INFERENCE_MODELS_H_
