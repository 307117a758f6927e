// TLS on the server's port, from files that may be replaced while it runs.
// Thread rule: CertificateFiles has one; the functions have no state.
#ifndef ZEROSHOT_SERVER_CREDENTIALS_H_
#define ZEROSHOT_SERVER_CREDENTIALS_H_

#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/security/server_credentials.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/options.h"

namespace zeroshot::server {

// Plain text without tls_cert. With it new connections get what the files hold
// a moment after they changed; open connections go on. A certificate and its
// key should be replaced at once, as by renaming the folder that holds both:
// between the two, connections fail.
//
// `authorizer` (may be null) decides on each call's metadata, over plain text
// too.
//
// InvalidArgument: a file cannot be read, holds something else, or the key is
// not the certificate's; the message names the flag.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const SecurityOptions& security,
    const std::shared_ptr<grpc::AuthMetadataProcessor>& authorizer = nullptr);

// Of the server's own certificate, the first of --tls_cert.
struct Certificate {
  std::string subject;  // "CN=zeroshot.example"
  absl::Time expires;
};

// As MakeServerCredentials checks them. REQUIRES: there is a tls_cert.
absl::StatusOr<Certificate> CheckCertificate(const SecurityOptions& security);

// "CN=zeroshot.example, valid until 2027-01-02 03:04 UTC".
std::string CertificateText(const Certificate& certificate);

// Follows the files: gRPC reloads them by itself but does not say with what
// success. Thread rule: Look by one thread at a time, expires by any.
class CertificateFiles {
 public:
  explicit CertificateFiles(const SecurityOptions& security)
      : security_(security) {}

  // If a file has changed since the last look, or `anyway`: checks all of them
  // and logs what was found. Returns whether new connections can be made:
  // InvalidArgument while the files are not good.
  absl::Status Look(bool anyway);

  // How often files that had changed were found good.
  int loads() const { return loads_; }

  // 1970 before the first good look.
  absl::Time expires() const { return absl::FromUnixSeconds(expires_); }

 private:
  using Changes = std::vector<std::filesystem::file_time_type>;

  const SecurityOptions security_;
  std::optional<Changes> seen_;
  absl::Status status_;
  int loads_ = 0;
  std::atomic<int64_t> expires_{0};
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_CREDENTIALS_H_
