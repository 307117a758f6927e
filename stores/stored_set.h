// A weight set as bytes: what the tiers below memory hold. The bytes are a
// safetensors file, which Python reads with safetensors.numpy.load_file:
//
//   tensor "weights"  F32 [C + B, D], unit rows; background classes last
//   __metadata__      labels, templates, prompts (JSON lists), id,
//                     model_fingerprint, precision, counts, and two checksums:
//                     `weights_sha256` and `checksum`, that of all the others
//                     Only if the set has them: temperature (a JSON number),
//                     background (a JSON list of names), min_probabilities,
//                     groups and examples (JSON lists of one item per class: a
//                     number or null, a name or "", null or [count, weight,
//                     "sha256"])
//
// so that the header alone can be trusted too: it is what a list of sets shows.
//
// Bytes come from disks and networks: nothing in them is believed unchecked.
#ifndef ZEROSHOT_STORES_STORED_SET_H_
#define ZEROSHOT_STORES_STORED_SET_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "stores/store_keys.h"
#include "stores/weight_set.h"

namespace stores {

// Bytes before the JSON text, which hold its length.
constexpr int64_t kHeaderPrefixBytes = 8;

// Of the JSON text: more than 200,000 classes with long names need.
constexpr int64_t kMaxHeaderBytes = 256 << 20;

// Everything before the weights' bytes: prefix and JSON text. With keys it is
// signed in the metadata field `hmac`: the checksum is, and so all.
std::string SerializeHeader(const WeightSet& set, const StoreKeys& keys = {});

// ResourceExhausted: the header of the set, of so many bytes, is larger than
// what ParseHeader takes, so that no store should have it.
absl::Status CheckStorable(const WeightSet& set, int64_t header_bytes);

// The bytes of set.weights as they stand in the file. Borrows the set.
absl::string_view WeightBytes(const WeightSet& set);

// How many bytes SerializeHeader made, told from the first
// kHeaderPrefixBytes of them. DataLoss: they cannot be a header's.
absl::StatusOr<int64_t> HeaderBytes(absl::string_view prefix);

// A header read and checked; the set has no weights yet.
struct StoredHeader {
  std::shared_ptr<WeightSet> set;
  int64_t num_weights = 0;     // (C + B) x D
  int64_t weights_offset = 0;  // where they begin
  std::string weights_sha256;
};

// DataLoss: not a header, not that of `id`, it does not match its checksum, or
// none of the keys signed it.
absl::StatusOr<StoredHeader> ParseHeader(absl::string_view header,
                                         absl::string_view id,
                                         const StoreKeys& keys = {});

// DataLoss: these are not the bytes of the weights that were stored.
absl::Status CheckWeights(const StoredHeader& header,
                          absl::string_view weights);

// A list of texts in JSON, as metadata has them. False: it is something else,
// or has more than `max_count`.
bool ParseTexts(absl::string_view text, int64_t max_count,
                std::vector<std::string>* out);

// A file's metadata, as base::SafetensorsHeader has it.
using Metadata = std::map<std::string, absl::string_view, std::less<>>;

// DataLoss: it does not match its own checksum.
absl::Status CheckMetadata(const Metadata& metadata);

// What a set decides with, and the names of its background classes, as metadata
// has them: those that the set has only, so that it is empty for a set of
// classes alone.
std::map<std::string, std::string> DecisionMetadata(const WeightSet& set);

// Fills the same from metadata. False: a field is not what it must be, or not
// one item per class, or there are more than `max_background`. REQUIRES:
// set->class_names are there.
bool ReadDecisions(const Metadata& metadata, int64_t max_background,
                   WeightSet* set);

// Where a stored set's bytes lie: fills `out` from there on, or says why not.
using ReadBytes =
    absl::FunctionRef<absl::Status(int64_t offset, absl::Span<char> out)>;

// Reads a set of `size` bytes, or its header only. DataLoss as above, or
// truncated; or what `read` says.
absl::StatusOr<std::shared_ptr<const WeightSet>> ReadWeightSet(
    int64_t size, absl::string_view id, const StoreKeys& keys, ReadBytes read);
absl::StatusOr<StoredHeader> ReadHeader(int64_t size, absl::string_view id,
                                        const StoreKeys& keys, ReadBytes read);

// Whether a store may make a key or file name of `id`: 1 to 128 letters,
// digits, '-' and '_'.
bool IsPlainId(absl::string_view id);

}  // namespace stores

#endif  // ZEROSHOT_STORES_STORED_SET_H_
