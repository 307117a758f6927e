#include "server/tokens.h"

#include <openssl/crypto.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "clip/monotonic.h"
#include "clip/sha256.h"

namespace zeroshot::server {
namespace {

constexpr absl::Duration kBetweenLooks = absl::Seconds(1);
constexpr absl::string_view kNames[] = {"classify", "build", "delete"};

absl::string_view NameOf(Permission permission) {
  return kNames[static_cast<int>(permission)];
}

bool ParsePermissions(absl::string_view text, std::vector<Permission>* out) {
  for (absl::string_view word : absl::StrSplit(text, ',')) {
    const auto* const name =
        std::find(std::begin(kNames), std::end(kNames), word);
    if (name == std::end(kNames)) return false;
    out->push_back(static_cast<Permission>(name - std::begin(kNames)));
  }
  return true;
}

bool IsHash(absl::string_view text) {
  return text.size() == 64 &&
         std::all_of(text.begin(), text.end(), absl::ascii_isxdigit);
}

std::string HashOf(absl::string_view token) {
  clip::Sha256 hash;
  hash.Update(token);
  return hash.HexDigest();
}

// The token of "Bearer TOKEN", or nothing.
absl::string_view TokenOf(absl::string_view authorization) {
  constexpr absl::string_view kScheme = "Bearer ";
  if (!absl::StartsWithIgnoreCase(authorization, kScheme)) return "";
  return absl::StripAsciiWhitespace(authorization.substr(kScheme.size()));
}

std::filesystem::file_time_type ChangeOf(const std::string& file) {
  std::error_code error;
  return std::filesystem::last_write_time(file, error);
}

}  // namespace

absl::StatusOr<std::vector<Tokens::Token>> Tokens::Read(
    const std::string& file) {
  std::ifstream lines(file);
  if (!lines) {
    return absl::NotFoundError(
        absl::StrCat("--auth_tokens=", file, ": cannot be read"));
  }
  std::vector<Token> tokens;
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    const absl::string_view text = absl::StripAsciiWhitespace(line);
    if (text.empty() || text[0] == '#') continue;
    const std::vector<std::string> words =
        absl::StrSplit(text, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    Token token;
    if (words.size() != 3 || !ParsePermissions(words[1], &token.may) ||
        !IsHash(words[2])) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--auth_tokens=", file, ": line ", number,
          " is not NAME PERMISSIONS SHA256, the permissions some of classify, "
          "build, delete with commas between, the hash 64 hexadecimal digits"));
    }
    token.name = words[0];
    token.hash = absl::AsciiStrToLower(words[2]);
    tokens.push_back(std::move(token));
  }
  if (tokens.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--auth_tokens=", file, ": holds no token, so nobody could call"));
  }
  return tokens;
}

absl::StatusOr<std::unique_ptr<Tokens>> Tokens::Load(const std::string& file) {
  std::unique_ptr<Tokens> tokens(new Tokens(file));
  clip::MutexLock lock(&tokens->mu_);
  tokens->changed_ = ChangeOf(file);
  absl::StatusOr<std::vector<Token>> read = Read(file);
  if (!read.ok()) return read.status();
  tokens->tokens_ = *std::move(read);
  return tokens;
}

void Tokens::ReadAgainIfChanged() {
  const absl::Time now = clip::MonotonicNow();
  if (now < next_look_) return;
  next_look_ = now + kBetweenLooks;
  const auto changed = ChangeOf(file_);
  if (changed == changed_) return;
  changed_ = changed;
  absl::StatusOr<std::vector<Token>> read = Read(file_);
  if (!read.ok()) {
    spdlog::error("{}; the tokens read before stay in force",
                  std::string(read.status().message()));
    return;
  }
  tokens_ = *std::move(read);
  spdlog::info("tokens read again: {}", tokens_.size());
}

absl::StatusOr<std::string> Tokens::Check(absl::string_view authorization,
                                          Permission needed) {
  const absl::string_view given = TokenOf(authorization);
  if (given.empty()) {
    return absl::UnauthenticatedError(
        "a token is needed, as metadata 'authorization: Bearer TOKEN'");
  }
  const std::string hash = HashOf(given);
  clip::MutexLock lock(&mu_);
  ReadAgainIfChanged();
  // Every token is looked at to its end: time tells nothing.
  const Token* found = nullptr;
  for (const Token& token : tokens_) {
    if (CRYPTO_memcmp(token.hash.data(), hash.data(), hash.size()) == 0) {
      found = &token;
    }
  }
  if (found == nullptr) {
    return absl::UnauthenticatedError("the token is not known");
  }
  if (std::count(found->may.begin(), found->may.end(), needed) == 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        "the token of ", found->name, " does not allow to ", NameOf(needed)));
  }
  return found->name;
}

}  // namespace zeroshot::server
