// Bearer tokens and what each may do, from a file that knows only their
// hashes. One line per token; empty lines and those that begin with # are
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

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/mutex.h"

namespace zeroshot::server {

// What a call needs. To classify is also to embed and to look at the model and
// the weight sets; to build is also to export and import them.
enum class Permission { kClassify, kBuild, kDelete };

// The file is looked at every second, whole: what changed in it is in force
// within two seconds, whatever its times say. A file that cannot be read, or
// has a line that is wrong, says nothing: what was read before stays in force.
// A file that is gone or holds no token any more says that nobody may call, if
// it does so for two looks in a row, because one may fall into its replacement.
// Each such change is logged once.
//
// Thread rule: every method may be called from many threads at once.
class Tokens {
 public:
  // NotFound: no such file. InvalidArgument: a line is not as above, or there
  // is none; the message names file and line.
  static absl::StatusOr<std::unique_ptr<Tokens>> Load(
      const std::string& file, absl::Duration between_looks = absl::Seconds(1));
  ~Tokens();

  // The name that belongs to the token of `authorization` ("Bearer TOKEN").
  // Waits for no file.
  //
  // Unauthenticated: no token, or none of the file. PermissionDenied: one that
  // may not do this.
  absl::StatusOr<std::string> Check(absl::string_view authorization,
                                    Permission needed);

  // Looks at the file now, whether it has changed or not. What is wrong with it
  // if something is.
  absl::Status ReadAgain();

 private:
  struct Token {
    std::string name;
    std::vector<Permission> may;
    std::string hash;  // SHA-256 in lower-case hex
  };
  using List = std::vector<Token>;

  explicit Tokens(std::string file) : file_(std::move(file)) {}
  // Each token of a file's text. InvalidArgument: see Load; none is none.
  static absl::StatusOr<List> Parse(const std::string& file,
                                    const std::string& text);
  void Set(List tokens);
  void Loop(absl::Duration between_looks);

  const std::string file_;

  base::Mutex look_mu_;  // held while the file is read, by no call
  // What is in force; nothing: nobody may call.
  std::optional<std::string> text_ ABSL_GUARDED_BY(look_mu_);
  std::string problem_ ABSL_GUARDED_BY(look_mu_);        // logged; empty: none
  bool empty_before_ ABSL_GUARDED_BY(look_mu_) = false;  // at the latest look

  base::Mutex mu_;
  std::shared_ptr<const List> tokens_ ABSL_GUARDED_BY(mu_);
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  base::CondVar stopping_;
  std::thread thread_;  // last: starts when all else stands
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_TOKENS_H_
