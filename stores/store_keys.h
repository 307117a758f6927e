// Keys that servers share. With them they tell sets that they stored from sets
// that others wrote to the same place.
#ifndef ZEROSHOT_STORES_STORE_KEYS_H_
#define ZEROSHOT_STORES_STORE_KEYS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace stores {

// The first signs, each is accepted; with none nothing is signed, nor must be.
using StoreKeys = std::vector<std::string>;

// HMAC-SHA256 of `text` with the first key, in hexadecimal; empty: no keys.
std::string Signature(const StoreKeys& keys, absl::string_view text);

// Whether one of the keys made the signature; true: no keys.
bool IsSigned(const StoreKeys& keys, absl::string_view text,
              absl::string_view signature);

}  // namespace stores

#endif  // ZEROSHOT_STORES_STORE_KEYS_H_
