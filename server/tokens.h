// Bearer tokens and what each may do, from a file that knows only their
// hashes. One line a token; empty lines and those that begin with # are
// skipped:
//
//   NAME PERMISSIONS SHA256
//   web-shop classify 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c...
//   trainer classify,build,delete 60303ae22b998861bce3b28f33eec1be758a213c8...
//
// A token is a long random string: head -c 32 /dev/urandom | base64. Its hash:
// printf %s TOKEN | sha256sum.
#ifndef ZEROSHOT_SERVER_TOKENS_H_
#define ZEROSHOT_SERVER_TOKENS_H_

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "clip/mutex.h"

namespace zeroshot::server {

// What a call needs. To classify is also to embed and to look at the model and
// the weight sets; to build is also to export and import them.
enum class Permission { kClassify, kBuild, kDelete };

// Thread rule: every method may be called from many threads at once.
class Tokens {
 public:
  // NotFound: no such file. InvalidArgument: a line is not as above, or there
  // is none; the message names file and line.
  static absl::StatusOr<std::unique_ptr<Tokens>> Load(const std::string& file);

  // The name that belongs to the token of `authorization` ("Bearer TOKEN"). A
  // file that has changed is read again first, once a second at most; while it
  // is broken, what it held before stays in force.
  //
  // Unauthenticated: no token, or none of the file. PermissionDenied: one that
  // may not do this.
  absl::StatusOr<std::string> Check(absl::string_view authorization,
                                    Permission needed);

 private:
  struct Token {
    std::string name;
    std::vector<Permission> may;
    std::string hash;  // SHA-256 in lower-case hex
  };

  explicit Tokens(std::string file) : file_(std::move(file)) {}
  static absl::StatusOr<std::vector<Token>> Read(const std::string& file);
  void ReadAgainIfChanged() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string file_;
  clip::Mutex mu_;
  std::vector<Token> tokens_ ABSL_GUARDED_BY(mu_);
  std::filesystem::file_time_type changed_ ABSL_GUARDED_BY(mu_);
  absl::Time next_look_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_TOKENS_H_
