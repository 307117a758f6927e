// TLS, client certificates and tokens between the real programs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/e2e/programs.h"
#include "tests/testing/certificates.h"

namespace e2e {
namespace {

using ::testing::HasSubstr;
using testing_certificates::Authority;
using testing_certificates::NewFolder;

// printf %s TOKEN | sha256sum, of "shop-token" and "trainer-token".
constexpr char kTokens[] = R"(# who may do what
shop classify 88cc4600551e64b7cb97dd7f63ebad405255e5d17bdd71ee9fe1ed5cc20d0b3b
trainer classify,build,delete 7913868486a8f53bb47d4c0557d26493dc77536998063d945da4705649deabfc
)";

class SecurityTest : public ::testing::Test {
 protected:
  SecurityTest() {
    authority_.Sign("server");
    authority_.Sign("client");
    for (const char* name : {"shop", "trainer"}) {
      std::ofstream(TokenFile(name)) << name << "-token\n";
    }
    std::ofstream(folder_ + "/tokens") << kTokens;
  }

  std::string TokenFile(const std::string& name) const {
    return absl::StrCat(folder_, "/", name, ".token");
  }

  Ran Ask(const DemoServer& server, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), kClient);
    for (const std::string& flag :
         {"--target=" + server.address(), std::string("--timeout=10s"),
          "--tls_ca=" + authority_.CaFile()}) {
      arguments.push_back(flag);
    }
    return RunToEnd(arguments);
  }

  const std::string folder_ = NewFolder();
  const Authority authority_{folder_};
};

TEST_F(SecurityTest, CertificatesOnBothSidesAndTokensWithTheirPermissions) {
  DemoServer server({"--tls_cert=" + authority_.CertFile("server"),
                     "--tls_key=" + authority_.KeyFile("server"),
                     "--tls_client_ca=" + authority_.CaFile(),
                     "--auth_tokens=" + folder_ + "/tokens"});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  const std::vector<std::string> shown = {
      "--tls_cert=" + authority_.CertFile("client"),
      "--tls_key=" + authority_.KeyFile("client")};
  const auto as = [&](const std::string& name,
                      std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), shown.begin(), shown.end());
    if (!name.empty()) arguments.push_back("--token_file=" + TokenFile(name));
    return Ask(server, arguments);
  };
  const Ran built = as("trainer", {"build", "--classes=frog,apple"});
  ASSERT_EQ(built.exit, 0) << built.errors;
  const std::string id = built.output.substr(0, 64);
  const std::string image = absl::StrCat(kModel, "/images/frog.png");
  EXPECT_EQ(as("shop", {"classify", "--weight_set=" + id, image}).exit, 0);

  EXPECT_THAT(as("shop", {"build", "--classes=frog"}).errors,
              HasSubstr("PERMISSION_DENIED"));
  EXPECT_THAT(as("shop", {"delete", id}).errors,
              HasSubstr("PERMISSION_DENIED"));
  EXPECT_THAT(as("", {"model"}).errors, HasSubstr("UNAUTHENTICATED"));
  EXPECT_EQ(as("", {"health"}).exit, 0);
  // Without a certificate nobody comes as far as that.
  EXPECT_THAT(
      Ask(server, {"health", "--token_file=" + TokenFile("trainer")}).errors,
      HasSubstr("UNAVAILABLE"));
  EXPECT_NE(server.process().WaitForLine("caller=shop"), "");
}

TEST_F(SecurityTest, TheProgramSaysWhereOneSideOnlySpeaksTls) {
  DemoServer tls({"--tls_cert=" + authority_.CertFile("server"),
                  "--tls_key=" + authority_.KeyFile("server"),
                  "--tls_client_ca=" + authority_.CaFile()});
  DemoServer plain;
  ASSERT_NE(tls.address(), "") << tls.process().Errors();
  ASSERT_NE(plain.address(), "") << plain.process().Errors();
  const std::string ca = "--tls_ca=" + authority_.CaFile();
  const auto errors = [](const DemoServer& server,
                         std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(),
                     {kClient, "model", "--target=" + server.address()});
    return RunToEnd(arguments).errors;
  };
  EXPECT_THAT(errors(tls, {}), HasSubstr("Does it want TLS? --tls_ca=FILE"));
  EXPECT_THAT(
      errors(tls, {ca}),
      HasSubstr("Does it want a certificate of yours? --tls_cert=FILE"));
  EXPECT_THAT(errors(tls, {"--tls"}),
              HasSubstr("an authority that is not trusted; --tls_ca=FILE"));
  EXPECT_THAT(errors(plain, {ca}), HasSubstr("does not speak TLS"));
  // Nothing of gRPC's own on stderr: a line for the error, one for the hint.
  const std::string lines = errors(tls, {"--tls"});
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 2) << lines;
}

TEST_F(SecurityTest, HalfAConfigurationDoesNotStart) {
  const auto refusal = [&](std::vector<std::string> flags, int exit) {
    flags.insert(flags.begin(), {kServer, "--metrics_listen="});
    const Ran ran = RunToEnd(flags);
    EXPECT_EQ(ran.exit, exit) << ran.errors;
    return ran.errors;
  };
  const std::string cert = "--tls_cert=" + authority_.CertFile("server");
  EXPECT_THAT(refusal({"--listen=127.0.0.1:0", cert}, 2),
              HasSubstr("--tls_cert and --tls_key go together"));
  EXPECT_THAT(refusal({"--listen=127.0.0.1:0", cert,
                       "--tls_key=" + authority_.KeyFile("client")},
                      1),
              HasSubstr("--tls_key="));
  EXPECT_THAT(
      refusal({"--listen=0.0.0.0:0", "--auth_tokens=" + folder_ + "/tokens"},
              2),
      HasSubstr("tokens could be read on their way"));
}

TEST_F(SecurityTest, PlainTextForOthersIsWarnedOf) {
  const auto server = StartServer({"--listen=0.0.0.0:0"});
  EXPECT_THAT(server->WaitForLine("plain text"), HasSubstr(" warn "));
}

}  // namespace
}  // namespace e2e
