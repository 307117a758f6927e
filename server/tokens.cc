#include "server/tokens.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/monotonic.h"
#include "base/no_throw.h"
#include "base/sha256.h"

namespace zeroshot::server {
namespace {

// Of a file that is read every second; 100,000 tokens take 10 MB.
constexpr size_t kMaxFileBytes = 16 << 20;
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
  base::Sha256 hash;
  hash.Update(token);
  return hash.HexDigest();
}

// The token of "Bearer TOKEN", or nothing.
absl::string_view TokenOf(absl::string_view authorization) {
  constexpr absl::string_view kScheme = "Bearer ";
  if (!absl::StartsWithIgnoreCase(authorization, kScheme)) return "";
  return absl::StripAsciiWhitespace(authorization.substr(kScheme.size()));
}

// The bytes of the file. NotFound: there is none. InvalidArgument: it is too
// large or no regular file. Unavailable: it cannot be read now.
absl::StatusOr<std::string> TextOf(const std::string& file) {
  const auto failed = [&file](absl::string_view what) {
    return absl::StrCat("--auth_tokens=", file, ": ", what);
  };
  const auto unreadable = [&failed](int error) {
    return absl::UnavailableError(failed(absl::StrCat(
        "cannot be read: ", std::generic_category().message(error))));
  };
  // A pipe must not make us wait for who writes it.
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
    return absl::NotFoundError(failed("cannot be read: there is no such file"));
  }
  if (fd < 0) return unreadable(errno);
  const absl::Cleanup closing = [fd] { close(fd); };
  struct stat info {};
  if (fstat(fd, &info) != 0) return unreadable(errno);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(failed("is no regular file"));
  }
  std::string text;
  char buffer[16 << 10];
  ssize_t got = 0;
  while ((got = read(fd, buffer, sizeof(buffer))) > 0) {
    text.append(buffer, got);
    if (text.size() > kMaxFileBytes) {
      return absl::InvalidArgumentError(
          failed(absl::StrCat("has more than ", kMaxFileBytes, " bytes")));
    }
  }
  if (got < 0) return unreadable(errno);
  return text;
}

std::string HoldsNone(const std::string& file) {
  return absl::StrCat("--auth_tokens=", file,
                      ": holds no token, so nobody could call");
}

}  // namespace

absl::StatusOr<Tokens::List> Tokens::Parse(const std::string& file,
                                           const std::string& all) {
  List tokens;
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(all, '\n')) {
    ++number;
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
  return tokens;
}

absl::StatusOr<std::unique_ptr<Tokens>> Tokens::Load(
    const std::string& file, absl::Duration between_looks) {
  absl::StatusOr<std::string> text = TextOf(file);
  if (!text.ok()) return text.status();
  absl::StatusOr<List> list = Parse(file, *text);
  if (!list.ok()) return list.status();
  if (list->empty()) return absl::InvalidArgumentError(HoldsNone(file));
  std::unique_ptr<Tokens> tokens(new Tokens(file));
  {
    base::MutexLock lock(&tokens->look_mu_);
    tokens->text_ = *std::move(text);
  }
  tokens->Set(*std::move(list));
  tokens->thread_ = std::thread(
      [tokens = tokens.get(), between_looks] { tokens->Loop(between_looks); });
  return tokens;
}

Tokens::~Tokens() {
  {
    base::MutexLock lock(&mu_);
    stopped_ = true;
  }
  stopping_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void Tokens::Set(List tokens) {
  auto shared = std::make_shared<const List>(std::move(tokens));
  base::MutexLock lock(&mu_);
  tokens_ = std::move(shared);
}

void Tokens::Loop(absl::Duration between_looks) {
  while (true) {
    {
      base::MutexLock lock(&mu_);
      const absl::Time next = base::MonotonicNow() + between_looks;
      while (!stopped_ && stopping_.WaitUntil(&mu_, next)) {
      }
      if (stopped_) return;
    }
    // It is logged there.
    (void)base::NoThrow("the token file", [this] { return ReadAgain(); });
  }
}

absl::Status Tokens::ReadAgain() {
  base::MutexLock lock(&look_mu_);
  absl::StatusOr<std::string> text = TextOf(file_);
  absl::StatusOr<List> list = List();
  const bool changed = text.ok() && text_ != *text;
  if (changed) list = Parse(file_, *text);
  const bool gone = absl::IsNotFound(text.status());
  absl::Status problem = text.ok() ? list.status() : text.status();
  std::string in_force = "the tokens read before stay in force";
  const bool empty = gone || (changed && list.ok() && list->empty());
  if (empty) {
    if (!gone) problem = absl::InvalidArgumentError(HoldsNone(file_));
    if (!std::exchange(empty_before_, true)) return problem;
    in_force = "nobody may call until it holds some";
    text_.reset();
    Set({});
  } else {
    empty_before_ = false;
  }
  if (!problem.ok()) {
    const std::string told = absl::StrCat(problem.message(), "; ", in_force);
    if (told != problem_) spdlog::error("{}", told);
    problem_ = told;
    return problem;
  }
  if (changed) {
    spdlog::info("tokens read again: {}", list->size());
    text_ = *std::move(text);
    Set(*std::move(list));
  } else if (!problem_.empty()) {
    spdlog::info("the token file is as it was before");
  }
  problem_.clear();
  return absl::OkStatus();
}

absl::StatusOr<std::string> Tokens::Check(absl::string_view authorization,
                                          Permission needed) {
  const absl::string_view given = TokenOf(authorization);
  if (given.empty()) {
    return absl::UnauthenticatedError(
        "a token is needed, as metadata 'authorization: Bearer TOKEN'");
  }
  const std::string hash = HashOf(given);
  std::shared_ptr<const List> tokens;
  {
    base::MutexLock lock(&mu_);
    tokens = tokens_;
  }
  // Every token is looked at to its end: time tells nothing.
  const Token* found = nullptr;
  for (const Token& token : *tokens) {
    if (CRYPTO_memcmp(token.hash.data(), hash.data(), hash.size()) == 0) {
      found = &token;
    }
  }
  if (found == nullptr) {
    return absl::UnauthenticatedError("the token is not known");
  }
  if (std::count(found->may.begin(), found->may.end(), needed) == 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("the token of ", found->name, " lacks the permission ",
                     NameOf(needed)));
  }
  return found->name;
}

}  // namespace zeroshot::server
