// A weight set as bytes: what the tiers below memory hold. The bytes are a
// safetensors file, which Python reads with safetensors.numpy.load_file:
//
//   tensor "weights"  F32 [C, D], unit rows
//   __metadata__      labels, templates, prompts (JSON lists), id,
//                     model_fingerprint, precision, counts, and two checksums:
//                     `weights_sha256` and `checksum`, that of all the others
//
// so that the header alone can be trusted too: it is what a list of sets shows.
//
// Bytes come from disks and networks: nothing in them is believed unchecked.
//
// Thread rule: free functions without state.
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
#include "stores/weight_set.h"

namespace stores {

// Bytes before the JSON text, which hold its length.
constexpr int64_t kHeaderPrefixBytes = 8;

// Of the JSON text: more than 200,000 classes with long names need.
constexpr int64_t kMaxHeaderBytes = 256 << 20;

// Keys that servers share, by which they know their stored sets from those of
// others who may write where sets are stored. The first signs, each is
// accepted; with none sets are neither signed nor must they be. A signature is
// the metadata field `hmac`: HMAC-SHA256 of the checksum, and so of all.
using StoreKeys = std::vector<std::string>;

// Everything before the weights' bytes: prefix and JSON text.
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
  int64_t num_weights = 0;     // C x D
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

// A file's metadata, as base::SafetensorsHeader has it. DataLoss: it does not
// match its own checksum.
absl::Status CheckMetadata(
    const std::map<std::string, absl::string_view, std::less<>>& metadata);

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
