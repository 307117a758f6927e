#include "client/cli/connection.h"

#include <grpcpp/security/credentials.h>

#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace zeroshot::client {
namespace {

// The bytes of the file that the flag names; empty if it was not given.
absl::StatusOr<std::string> FileOf(const Arguments& arguments,
                                   absl::string_view flag) {
  if (!arguments.Has(flag)) return "";
  const std::string path = arguments.Text(flag);
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  if (!file || bytes.str().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, "=", path, ": cannot be read, or is empty"));
  }
  return bytes.str();
}

}  // namespace

std::vector<FlagDefinition> ConnectionFlags() {
  return {
      {"tls", nullptr, "encrypt; trust the system's authorities"},
      {"tls_ca", "FILE", "encrypt; trust the authorities in FILE (PEM)"},
      {"tls_cert", "FILE", "encrypt; show this certificate (PEM)"},
      {"tls_key", "FILE", "the key of --tls_cert (PEM)"},
      {"token_file", "FILE", "send the token in FILE with every call"},
      {"token_without_tls", nullptr,
       "send it unencrypted, also to another machine"},
  };
}

absl::Status ReadConnection(const Arguments& arguments,
                            ClientOptions* options) {
  if (arguments.Has("tls_cert") != arguments.Has("tls_key")) {
    return absl::InvalidArgumentError("--tls_cert and --tls_key go together");
  }
  grpc::SslCredentialsOptions tls;
  std::string token;
  const std::pair<absl::string_view, std::string*> files[] = {
      {"tls_ca", &tls.pem_root_certs},
      {"tls_cert", &tls.pem_cert_chain},
      {"tls_key", &tls.pem_private_key},
      {"token_file", &token}};
  for (const auto& [flag, out] : files) {
    absl::StatusOr<std::string> bytes = FileOf(arguments, flag);
    if (!bytes.ok()) return bytes.status();
    *out = *std::move(bytes);
  }
  if (arguments.Has("tls") || arguments.Has("tls_ca") ||
      arguments.Has("tls_cert")) {
    options->credentials = grpc::SslCredentials(tls);
  }
  options->token = std::string(absl::StripAsciiWhitespace(token));
  options->token_without_tls = arguments.Has("token_without_tls");
  return absl::OkStatus();
}

}  // namespace zeroshot::client
