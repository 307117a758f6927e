#include "stores/store_keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>

#include "absl/strings/escaping.h"

namespace stores {
namespace {

std::string Hmac(const std::string& key, absl::string_view text) {
  unsigned char code[EVP_MAX_MD_SIZE] = {};
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), code,
       &size);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(code), size));
}

}  // namespace

std::string Signature(const StoreKeys& keys, absl::string_view text) {
  return keys.empty() ? "" : Hmac(keys[0], text);
}

bool IsSigned(const StoreKeys& keys, absl::string_view text,
              absl::string_view signature) {
  return keys.empty() ||
         std::any_of(keys.begin(), keys.end(), [&](const std::string& key) {
           const std::string right = Hmac(key, text);
           return signature.size() == right.size() &&
                  CRYPTO_memcmp(signature.data(), right.data(), right.size()) ==
                      0;
         });
}

}  // namespace stores
