// Real handshakes with certificates made here.
#include "server/credentials.h"

#include <gmock/gmock.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/sha256.h"
#include "server/port_probe.h"
#include "server/server.h"
#include "tests/server/running_server.h"
#include "tests/testing/certificates.h"

namespace zeroshot::server {
namespace {

using ::testing::HasSubstr;
using testing_certificates::Authority;
using testing_certificates::NewFolder;
using testing_certificates::ReadFile;

class CredentialsTest : public ::testing::Test {
 protected:
  CredentialsTest() {
    authority_.Sign("server");
    authority_.Sign("client");
    options_.listen = "127.0.0.1:0";
    options_.security.tls_cert = authority_.CertFile("server");
    options_.security.tls_key = authority_.KeyFile("server");
  }

  void StartServer() {
    auto started = Server::Start(options_);
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
    server_->Serve(std::make_unique<clip::FakeModel>());
  }

  // GetModel over a new connection.
  grpc::StatusCode Ask(const std::shared_ptr<grpc::ChannelCredentials>& how,
                       const std::string& token = "") {
    return Stub(how)
        ->GetModel(ContextWith(token).get(), {}, &model_)
        .error_code();
  }

  std::unique_ptr<v1::ZeroShot::Stub> Stub(
      const std::shared_ptr<grpc::ChannelCredentials>& how) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return v1::ZeroShot::NewStub(grpc::CreateCustomChannel(
        absl::StrCat("127.0.0.1:", server_->port()), how, arguments));
  }

  static std::unique_ptr<Context> ContextWith(const std::string& token) {
    auto context = std::make_unique<Context>(absl::Seconds(20));
    if (!token.empty()) {
      context->AddMetadata("authorization", "Bearer " + token);
    }
    return context;
  }

  // What a client trusts and, with a name, shows.
  static std::shared_ptr<grpc::ChannelCredentials> Tls(
      const Authority& authority, const std::string& name = "") {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = ReadFile(authority.CaFile());
    if (!name.empty()) {
      options.pem_cert_chain = ReadFile(authority.CertFile(name));
      options.pem_private_key = ReadFile(authority.KeyFile(name));
    }
    return grpc::SslCredentials(options);
  }

  const Authority authority_{NewFolder()};
  ServerOptions options_;
  std::unique_ptr<Server> server_;
  v1::GetModelResponse model_;
};

TEST_F(CredentialsTest, TlsServerTakesTlsOnly) {
  StartServer();
  EXPECT_EQ(Ask(Tls(authority_)), grpc::StatusCode::OK);
  EXPECT_EQ(Ask(grpc::InsecureChannelCredentials()),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Ask(Tls(Authority(NewFolder()))), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(CredentialsTest, ClientCaLetsInOnlyWhomItSigned) {
  options_.security.tls_client_ca = authority_.CaFile();
  StartServer();
  EXPECT_EQ(Ask(Tls(authority_, "client")), grpc::StatusCode::OK);
  EXPECT_EQ(Ask(Tls(authority_)), grpc::StatusCode::UNAVAILABLE);

  const Authority stranger(NewFolder());
  stranger.Sign("client");
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = ReadFile(authority_.CaFile());
  options.pem_cert_chain = ReadFile(stranger.CertFile("client"));
  options.pem_private_key = ReadFile(stranger.KeyFile("client"));
  EXPECT_EQ(Ask(grpc::SslCredentials(options)), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(CredentialsTest, ReplacedCertificateIsTakenUpWithoutARestart) {
  StartServer();
  const auto standing = Stub(Tls(authority_));
  EXPECT_TRUE(standing->GetModel(ContextWith("").get(), {}, &model_).ok());

  const Authority next(NewFolder());
  next.Sign("server");
  EXPECT_EQ(Ask(Tls(next)), grpc::StatusCode::UNAVAILABLE);
  std::filesystem::copy_file(next.KeyFile("server"), options_.security.tls_key,
                             std::filesystem::copy_options::overwrite_existing);
  std::filesystem::copy_file(next.CertFile("server"),
                             options_.security.tls_cert,
                             std::filesystem::copy_options::overwrite_existing);
  const absl::Time until = absl::Now() + absl::Seconds(20);
  while (Ask(Tls(next)) != grpc::StatusCode::OK && absl::Now() < until) {
    absl::SleepFor(absl::Milliseconds(100));
  }
  EXPECT_EQ(Ask(Tls(next)), grpc::StatusCode::OK);
  EXPECT_EQ(Ask(Tls(authority_)), grpc::StatusCode::UNAVAILABLE);
  // Whoever was connected stays so.
  EXPECT_TRUE(standing->GetModel(ContextWith("").get(), {}, &model_).ok());
}

TEST_F(CredentialsTest, PortProbeIsAnsweredOverTlsToo) {
  options_.security.tls_client_ca = authority_.CaFile();
  StartServer();
  EXPECT_TRUE(IsServed(absl::StrCat("127.0.0.1:", server_->port()),
                       /*tls=*/true, absl::Seconds(20)));
}

TEST_F(CredentialsTest, FilesThatDoNotFitAreRefusedAtStart) {
  const auto error_with = [this](const SecurityOptions& security) {
    options_.security = security;
    return std::string(Server::Start(options_).status().message());
  };
  const std::string cert = authority_.CertFile("server");
  const std::string key = authority_.KeyFile("server");
  EXPECT_THAT(error_with({cert, authority_.KeyFile("client"), "", ""}),
              HasSubstr("--tls_key="));
  EXPECT_THAT(error_with({"/no/such.crt", key, "", ""}),
              HasSubstr("--tls_cert=/no/such.crt: "));
  EXPECT_THAT(error_with({cert, cert, "", ""}),
              HasSubstr("the key of --tls_cert's certificate in PEM"));
  EXPECT_THAT(error_with({cert, key, key, ""}), HasSubstr("--tls_client_ca="));
  EXPECT_THAT(error_with({cert, key, "", "/no/such/tokens"}),
              HasSubstr("--auth_tokens=/no/such/tokens: cannot be read"));
}

TEST_F(CredentialsTest, EachRpcNeedsItsPermission) {
  options_.security.auth_tokens = NewFolder() + "/tokens";
  const auto line = [](const char* name, const char* may, const char* token) {
    base::Sha256 hash;
    hash.Update(token);
    return absl::StrCat(name, " ", may, " ", hash.HexDigest(), "\n");
  };
  std::ofstream(options_.security.auth_tokens)
      << line("shop", "classify", "shop-token")
      << line("trainer", "build,delete", "trainer-token");
  StartServer();
  EXPECT_EQ(Ask(Tls(authority_)), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Ask(Tls(authority_), "guess"), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Ask(Tls(authority_), "shop-token"), grpc::StatusCode::OK);
  EXPECT_EQ(Ask(Tls(authority_), "trainer-token"),
            grpc::StatusCode::PERMISSION_DENIED);

  const auto stub = Stub(Tls(authority_));
  // The codes for classifying, building, streaming a build, deleting, exporting
  // and importing. What is allowed fails for another reason: the requests are
  // empty.
  const auto codes = [&](const char* token) {
    v1::ClassifyResponse classified;
    v1::BuildClassifierResponse built;
    v1::DeleteWeightSetResponse deleted;
    const auto context = ContextWith(token);
    const auto stream = stub->BuildClassifierStream(context.get(), {});
    const auto export_context = ContextWith(token);
    const auto exported = stub->ExportWeightSet(export_context.get(), {});
    const auto import_context = ContextWith(token);
    v1::ImportWeightSetResponse import_response;
    const auto imported =
        stub->ImportWeightSet(import_context.get(), &import_response);
    imported->WritesDone();
    return std::vector<int>{
        stub->Classify(ContextWith(token).get(), {}, &classified).error_code(),
        stub->BuildClassifier(ContextWith(token).get(), {}, &built)
            .error_code(),
        stream->Finish().error_code(),
        stub->DeleteWeightSet(ContextWith(token).get(), {}, &deleted)
            .error_code(),
        exported->Finish().error_code(),
        imported->Finish().error_code()};
  };
  using ::testing::ElementsAre;
  using enum grpc::StatusCode;
  EXPECT_THAT(
      codes("shop-token"),
      ElementsAre(INVALID_ARGUMENT, PERMISSION_DENIED, PERMISSION_DENIED,
                  PERMISSION_DENIED, PERMISSION_DENIED, PERMISSION_DENIED));
  EXPECT_THAT(
      codes("trainer-token"),
      ElementsAre(PERMISSION_DENIED, INVALID_ARGUMENT, INVALID_ARGUMENT,
                  INVALID_ARGUMENT, INVALID_ARGUMENT, INVALID_ARGUMENT));
}

}  // namespace
}  // namespace zeroshot::server
