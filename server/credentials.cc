#include "server/credentials.h"

#include <grpc/grpc_security.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/support/string_ref.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/hand_over.h"

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

// What a file lacks that cannot be opened; empty: nothing.
std::string CannotBeRead(const std::string& file) {
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) return "it is a folder";
  std::FILE* opened = std::fopen(file.c_str(), "r");
  if (opened == nullptr) {
    return errno == ENOENT ? "no such file" : std::strerror(errno);
  }
  std::fclose(opened);
  return "";
}

absl::Status CheckReadable(absl::string_view flag, const std::string& file) {
  const std::string fault = file.empty() ? "" : CannotBeRead(file);
  if (fault.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", file, ": ", fault));
}

std::string SubjectOf(X509* certificate) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> text(BIO_new(BIO_s_mem()),
                                                       &BIO_free);
  X509_NAME_print_ex(text.get(), X509_get_subject_name(certificate), 0,
                     XN_FLAG_ONELINE & ~XN_FLAG_SPC_EQ);
  char* begin = nullptr;
  const int64_t size = BIO_get_mem_data(text.get(), &begin);
  return size > 0 ? std::string(begin, size) : "(no subject)";
}

absl::Time ExpiryOf(X509* certificate) {
  std::tm time = {};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) != 1) {
    return absl::InfiniteFuture();
  }
  return absl::FromTM(time, absl::UTCTimeZone());
}

}  // namespace

// gRPC would start with files that do not fit and fail every handshake.
absl::StatusOr<Certificate> CheckCertificate(const SecurityOptions& security) {
  absl::Status readable = CheckReadable("tls_cert", security.tls_cert);
  readable.Update(CheckReadable("tls_key", security.tls_key));
  readable.Update(CheckReadable("tls_client_ca", security.tls_client_ca));
  if (!readable.ok()) return readable;
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
  X509* own = SSL_CTX_get0_certificate(context.get());
  return Certificate{SubjectOf(own), ExpiryOf(own)};
}

std::string CertificateText(const Certificate& certificate) {
  return absl::StrCat(
      certificate.subject, ", valid until ",
      absl::FormatTime("%Y-%m-%d %H:%M UTC", certificate.expires,
                       absl::UTCTimeZone()));
}

absl::Status CertificateFiles::Look(bool anyway) {
  Changes changes;
  for (const std::string& file :
       {security_.tls_cert, security_.tls_key, security_.tls_client_ca}) {
    std::error_code error;
    changes.push_back(std::filesystem::last_write_time(file, error));
  }
  if (!anyway && seen_ == changes) return status_;
  seen_ = changes;
  const absl::StatusOr<Certificate> certificate = CheckCertificate(security_);
  status_ = certificate.status();
  if (!certificate.ok()) {
    spdlog::error("{}; new connections fail until it is correct",
                  std::string(status_.message()));
    return status_;
  }
  ++loads_;
  expires_ = absl::ToUnixSeconds(certificate->expires);
  spdlog::info("certificate: {}", CertificateText(*certificate));
  if (certificate->expires < absl::Now()) {
    spdlog::warn("the certificate of --tls_cert={} has expired",
                 security_.tls_cert);
  }
  return status_;
}

namespace {

// gRPC's own credentials for plain text take no processor, though the core's
// do.
class PlainText final : public grpc::ServerCredentials {
 public:
  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>& processor) override {
    processor_ = processor;
  }

 private:
  int AddPortToServer(const std::string& address,
                      grpc_server* server) override {
    grpc_server_credentials* const credentials =
        grpc_insecure_server_credentials_create();
    if (processor_ != nullptr) {
      auto* const processor = new Processor(processor_);
      base::HandOver(processor);
      grpc_server_credentials_set_auth_metadata_processor(
          credentials, {&Process, &Destroy, processor});
    }
    const int port =
        grpc_server_add_http2_port(server, address.c_str(), credentials);
    grpc_server_credentials_release(credentials);
    return port;
  }
  bool IsInsecure() const override { return true; }

  using Processor = std::shared_ptr<grpc::AuthMetadataProcessor>;

  // The core calls it with the metadata of each call.
  static void Process(void* processor, grpc_auth_context*,
                      const grpc_metadata* metadata, size_t count,
                      grpc_process_auth_metadata_done_cb done,
                      void* user_data) {
    base::TakeOver(processor);
    grpc::AuthMetadataProcessor::InputMetadata input;
    for (size_t i = 0; i < count; ++i) {
      input.emplace(TextOf(metadata[i].key), TextOf(metadata[i].value));
    }
    grpc::AuthMetadataProcessor::OutputMetadata consumed, response;
    const grpc::Status status =
        (*static_cast<Processor*>(processor))
            ->Process(input, nullptr, &consumed, &response);
    base::HandOver(processor);
    done(user_data, nullptr, 0, nullptr, 0,
         static_cast<grpc_status_code>(status.error_code()),
         status.error_message().c_str());
  }
  static void Destroy(void* processor) {
    base::TakeOver(processor);
    delete static_cast<Processor*>(processor);
  }
  static grpc::string_ref TextOf(const grpc_slice& slice) {
    return {reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)),
            GRPC_SLICE_LENGTH(slice)};
  }

  Processor processor_;
};

std::shared_ptr<grpc::ServerCredentials> Authorizing(
    std::shared_ptr<grpc::ServerCredentials> credentials,
    const std::shared_ptr<grpc::AuthMetadataProcessor>& authorizer) {
  if (authorizer != nullptr) credentials->SetAuthMetadataProcessor(authorizer);
  return credentials;
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const SecurityOptions& security,
    const std::shared_ptr<grpc::AuthMetadataProcessor>& authorizer) {
  using grpc::experimental::FileWatcherCertificateProvider;
  if (security.tls_cert.empty()) {
    return Authorizing(std::make_shared<PlainText>(), authorizer);
  }
  const absl::StatusOr<Certificate> good = CheckCertificate(security);
  if (!good.ok()) return good.status();
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
  return Authorizing(grpc::experimental::TlsServerCredentials(options),
                     authorizer);
}

}  // namespace zeroshot::server
