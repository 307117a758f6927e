#include "base/sha256.h"

#include <openssl/evp.h>

#include <array>

#include "absl/strings/escaping.h"

namespace base {
namespace {

std::array<char, 8> SizePrefix(absl::string_view bytes) {
  std::array<char, 8> prefix;
  for (int i = 0; i < 8; ++i)
    prefix[i] = static_cast<char>(uint64_t{bytes.size()} >> (8 * i));
  return prefix;
}

}  // namespace

Sha256::Sha256() : ctx_(EVP_MD_CTX_new()) {
  EVP_DigestInit_ex(ctx_, EVP_sha256(), nullptr);
}

Sha256::~Sha256() { EVP_MD_CTX_free(ctx_); }

void Sha256::Update(absl::string_view bytes) {
  EVP_DigestUpdate(ctx_, bytes.data(), bytes.size());
}

void Sha256::UpdateField(absl::string_view bytes) {
  const std::array<char, 8> size = SizePrefix(bytes);
  Update(absl::string_view(size.data(), size.size()));
  Update(bytes);
}

void Sha256::AppendField(absl::string_view bytes, std::string* fields) {
  const std::array<char, 8> size = SizePrefix(bytes);
  fields->append(size.data(), size.size());
  fields->append(bytes.data(), bytes.size());
}

std::string Sha256::HexDigest() { return absl::BytesToHexString(Digest()); }

std::string Sha256::Digest() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_DigestFinal_ex(ctx_, digest, &size);
  return std::string(reinterpret_cast<char*>(digest), size);
}

}  // namespace base
