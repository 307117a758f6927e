#include "server/credentials.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace zeroshot::server {
namespace {

constexpr unsigned int kSecondsBetweenLooks = 1;

absl::Status NotGood(absl::string_view flag, const std::string& file,
                     absl::string_view expected) {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return absl::InvalidArgumentError(absl::StrCat(
      "--", flag, "=", file, ": ",
      reason == nullptr ? "cannot be read" : reason, "; expected ", expected));
}

// gRPC would start with files that do not fit and fail every handshake.
absl::Status CheckFiles(const SecurityOptions& security) {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(
      SSL_CTX_new(TLS_server_method()), &SSL_CTX_free);
  if (context == nullptr) return absl::InternalError("no TLS in this OpenSSL");
  if (SSL_CTX_use_certificate_chain_file(context.get(),
                                         security.tls_cert.c_str()) != 1) {
    return NotGood("tls_cert", security.tls_cert, "a certificate chain in PEM");
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), security.tls_key.c_str(),
                                  SSL_FILETYPE_PEM) != 1) {
    return NotGood("tls_key", security.tls_key,
                   "the key of --tls_cert's certificate in PEM");
  }
  if (!security.tls_client_ca.empty() &&
      SSL_CTX_load_verify_locations(
          context.get(), security.tls_client_ca.c_str(), nullptr) != 1) {
    return NotGood("tls_client_ca", security.tls_client_ca,
                   "certificates of authorities in PEM");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const SecurityOptions& security) {
  using grpc::experimental::FileWatcherCertificateProvider;
  if (security.tls_cert.empty()) return grpc::InsecureServerCredentials();
  if (absl::Status good = CheckFiles(security); !good.ok()) return good;
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<FileWatcherCertificateProvider>(
          security.tls_key, security.tls_cert, security.tls_client_ca,
          kSecondsBetweenLooks));
  options.watch_identity_key_cert_pairs();
  if (!security.tls_client_ca.empty()) {
    options.watch_root_certs();
    options.set_cert_request_type(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(options);
}

}  // namespace zeroshot::server
