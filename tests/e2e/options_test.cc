// Flags, environment, --check and what is reloaded, by the real programs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "clip/checkpoint/architecture.h"
#include "tests/e2e/programs.h"
#include "tests/testing/certificates.h"
#include "tests/testing/temporary_folder.h"

namespace e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using testing_certificates::Authority;

// A variable that programs started meanwhile have.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    setenv(name, value.c_str(), 1);
  }
  ~Variable() { unsetenv(name_); }

 private:
  const char* name_;
};

// A demo server's page for metrics holds a port until the test ends.
class TakenPort {
 public:
  TakenPort() : server_({"--metrics_listen=127.0.0.1:0"}) {
    const std::string line = server_.process().WaitForLine("metrics and");
    address_ = line.substr(line.find("127.0.0.1:"));
  }
  const std::string& address() const { return address_; }

 private:
  DemoServer server_;
  std::string address_;
};

// An open_clip folder whose file of weights is as long as its tensors and holds
// nothing but their list.
class HollowCheckpoint {
 public:
  explicit HollowCheckpoint(int width, int layers) {
    clip::Architecture all = clip::KnownArchitectures()[0].architecture;
    auto& vit = std::get<clip::VitShape>(all.vision);
    vit.transformer.width = width;
    vit.transformer.layers = layers;
    vit.transformer.heads = width / 64;
    vit.transformer.mlp_width = 4 * width;
    std::string header = "{";
    for (const clip::TensorSpec& tensor : clip::RequiredTensors(all)) {
      int64_t bytes = 4;
      for (const int64_t side : tensor.shape) bytes *= side;
      absl::StrAppend(&header, header.size() == 1 ? "" : ",", "\"", tensor.name,
                      "\":{\"dtype\":\"F32\",\"shape\":[",
                      absl::StrJoin(tensor.shape, ","), "],\"data_offsets\":[",
                      bytes_, ",", bytes_ + bytes, "]}");
      bytes_ += bytes;
    }
    header += "}";
    const std::string file = path() + "/open_clip_model.safetensors";
    std::ofstream out(file, std::ios::binary);
    const uint64_t size = header.size();
    out.write(reinterpret_cast<const char*>(&size), sizeof(size));
    out << header;
    out.close();
    std::filesystem::resize_file(file, sizeof(size) + header.size() + bytes_);
    std::ofstream(path() + "/open_clip_config.json")
        << "{\"model_cfg\":{\"embed_dim\":" << all.embedding_dim
        << ",\"quick_gelu\":true,\"vision_cfg\":{\"image_size\":224,\"layers\":"
        << layers << ",\"width\":" << width
        << ",\"patch_size\":32},\"text_cfg\":{\"width\":512,\"heads\":8,"
           "\"layers\":12}}}";
  }

  std::string path() const { return folder_.path(); }
  int64_t bytes() const { return bytes_; }

 private:
  ::testing::TemporaryFolder folder_;
  int64_t bytes_ = 0;
};

Ran Check(std::vector<std::string> flags) {
  flags.insert(flags.begin(), {kServer, "--check"});
  return RunToEnd(flags);
}

TEST(ServerOptionsTest, EnvironmentSetsFlags) {
  const Variable listen("ZEROSHOT_LISTEN", "127.0.0.1:0");
  const Variable format("ZEROSHOT_LOG_FORMAT", "json");
  const Variable service("ZEROSHOT_PORT", "tcp://10.0.0.1:50051");
  const Variable nearly("ZEROSHOT_LOG_LEVELS", "debug");
  const auto server = StartServer({});
  ASSERT_NE(AddressOf(*server), "") << server->Errors();
  EXPECT_THAT(server->Errors(),
              AllOf(StartsWith("{\"time\""), HasSubstr("\"level\":\"warn\""),
                    HasSubstr("did you mean ZEROSHOT_LOG_LEVEL?"),
                    Not(HasSubstr("ZEROSHOT_PORT"))));
}

TEST(ServerOptionsTest, WrongVariableIsNamed) {
  const Variable threads("ZEROSHOT_THREADS", "many");
  const Ran ran = RunToEnd({kServer});
  EXPECT_EQ(ran.exit, 2);
  EXPECT_THAT(ran.errors, StartsWith("zeroshot_server: ZEROSHOT_THREADS=many "
                                     "is not allowed: it must be a whole"));
}

TEST(ServerOptionsTest, MetricsPortInUseEndsTheProgramOnlyIfItWasAskedFor) {
  const TakenPort taken;
  const Ran asked = RunToEnd(
      {kServer, "--listen=127.0.0.1:0", "--metrics_listen=" + taken.address()});
  EXPECT_EQ(asked.exit, 1);
  EXPECT_THAT(asked.errors, HasSubstr("cannot listen on --metrics_listen="));

  // Of two servers one has the default port, if nobody else has it.
  Process first({kServer, "--listen=127.0.0.1:0"});
  ASSERT_NE(AddressOf(first), "") << first.Errors();
  Process second({kServer, "--listen=127.0.0.1:0"});
  const std::string address = AddressOf(second);
  ASSERT_NE(address, "") << second.Errors();
  EXPECT_THAT(second.Errors(),
              HasSubstr("going on without /metrics, /livez and /readyz"));
  EXPECT_EQ(RunToEnd({kClient, "health", "--target=" + address}).exit, 0);
}

TEST(ServerOptionsTest, EmptyModelIsRefused) {
  const Ran ran = RunToEnd({kServer, "--model="});
  EXPECT_EQ(ran.exit, 2);
  EXPECT_THAT(ran.errors, HasSubstr("--model= is not allowed"));
}

TEST(ServerOptionsTest, DemoIsADemoUnderAnyName) {
  const ::testing::TemporaryFolder folder;
  const std::string copy = folder.path() + "/ViT-B-32";
  std::filesystem::copy(kModel, copy, std::filesystem::copy_options::recursive);
  DemoServer server({"--model=" + copy});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  EXPECT_NE(server.process().WaitForLine("warn this is the demo model"), "");
  const std::string target = "--target=" + server.address();
  EXPECT_THAT(RunToEnd({kClient, "model", target}).output,
              AllOf(HasSubstr("ViT-B-32 (RN-"), HasSubstr("a demo")));
  EXPECT_THAT(RunToEnd({kClient, "model", "--json", target}).output,
              HasSubstr("\"is_demo\":true"));
}

TEST(ServerOptionsTest, HangupReloadsTokensAndKeepsCalls) {
  const ::testing::TemporaryFolder folder;
  const std::string tokens = folder.path() + "/tokens";
  const std::string line =
      absl::StrCat("one classify ", std::string(64, 'a'), "\n");
  std::ofstream(tokens) << line;
  DemoServer server({"--auth_tokens=" + tokens});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  std::ofstream(tokens, std::ios::app)
      << absl::StrCat("two classify ", std::string(64, 'b'), "\n");
  server.process().Signal(SIGHUP);
  ASSERT_NE(server.process().WaitForLine("SIGHUP: tokens and"), "");
  ASSERT_NE(server.process().WaitForLine("tokens read again: 2"), "");
  EXPECT_EQ(RunToEnd({kClient, "health", "--target=" + server.address()}).exit,
            0);
  server.process().Signal(SIGINT);
  EXPECT_EQ(server.process().Wait(), 0);
}

TEST(ServerOptionsTest, HangupWhileLoadingIsSurvived) {
  const auto server = StartServer();
  ASSERT_NE(server->WaitForLine("loading the model"), "");
  server->Signal(SIGHUP);
  EXPECT_NE(AddressOf(*server), "") << server->Errors();
  EXPECT_NE(server->WaitForLine("SIGHUP: tokens and"), "");
}

TEST(ServerOptionsTest, RenewedCertificateIsSaidAndABrokenOneIsToo) {
  const ::testing::TemporaryFolder folder;
  const Authority authority(folder.path());
  authority.Sign("old");
  authority.Sign("new");
  const std::string cert = folder.path() + "/cert",
                    key = folder.path() + "/key";
  const auto install = [&](const std::string& name) {
    const auto replace = std::filesystem::copy_options::overwrite_existing;
    std::filesystem::copy_file(authority.CertFile(name), cert, replace);
    std::filesystem::copy_file(authority.KeyFile(name), key, replace);
  };
  install("old");
  DemoServer server({"--tls_cert=" + cert, "--tls_key=" + key});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  EXPECT_THAT(server.process().Errors(),
              HasSubstr("certificate: CN=old, valid until 20"));
  std::ofstream(key) << "no key";
  EXPECT_NE(server.process().WaitForLine("error --tls_key=" + key), "");
  install("new");
  EXPECT_NE(server.process().WaitForLine("certificate: CN=new"), "");
}

TEST(ServerOptionsTest, CertificateThatIsNotThereIsSaidToBeMissing) {
  const Ran ran = RunToEnd({kServer, "--listen=127.0.0.1:0",
                            "--metrics_listen=", "--tls_cert=/no/such.pem",
                            "--tls_key=/no/such.key"});
  EXPECT_EQ(ran.exit, 1);
  EXPECT_THAT(ran.errors, HasSubstr("--tls_cert=/no/such.pem: no such file"));
}

TEST(ServerOptionsTest, RedisThatIsNotThereIsSaidAtStart) {
  DemoServer server({"--redis=redis://:secret@127.0.0.1:1"});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  EXPECT_THAT(server.process().Errors(),
              AllOf(HasSubstr(" warn weight sets should be shared through "
                              "Redis at 127.0.0.1:1/0 but are not"),
                    Not(HasSubstr("secret"))));
}

TEST(ServerCheckTest, SaysWhatTheCheckpointIs) {
  const Ran ran = Check({});
  EXPECT_EQ(ran.exit, 0) << ran.errors;
  EXPECT_THAT(ran.output,
              AllOf(HasSubstr("demo (RN-w24-2.2.2.2), a demo"),
                    HasSubstr("10.8 million, stored as float16"),
                    HasSubstr("64 x 64 pixels"), HasSubstr("77 tokens"),
                    HasSubstr("128 floats")));
}

// More than the machine's memory could be: nothing but the list is read.
TEST(ServerCheckTest, ReadsNoWeights) {
  const HollowCheckpoint huge(/*width=*/8192, /*layers=*/48);
  ASSERT_GT(huge.bytes(), int64_t{100} << 30);
  const Ran ran = Check({"--model=" + huge.path(), "--precision=fp32"});
  EXPECT_EQ(ran.exit, 0) << ran.errors;
  EXPECT_THAT(ran.output, AllOf(HasSubstr("(ViT-w8192-l48/32)"),
                                HasSubstr("stored as float32")));
}

TEST(ServerCheckTest, SaysWhatIsNotSupported) {
  const HollowCheckpoint odd(/*width=*/64, /*layers=*/1);
  std::ofstream(odd.path() + "/open_clip_config.json")
      << R"({"model_cfg":{"embed_dim":8,"vision_cfg":{"qk_norm":true}}})";
  const Ran ran = Check({"--model=" + odd.path()});
  EXPECT_EQ(ran.exit, 1);
  EXPECT_THAT(ran.errors, HasSubstr("qk_norm"));
  EXPECT_THAT(ran.output, IsEmpty());
  const Ran precision = Check({"--precision=fp16", "--device=cpu"});
  EXPECT_EQ(precision.exit, 1);
  EXPECT_THAT(precision.errors, HasSubstr("fp16"));
}

TEST(ServerCheckTest, LooksAtWhatElseTheFlagsName) {
  EXPECT_EQ(Check({"--threads=many"}).exit, 2);
  const Ran cert = Check({"--tls_cert=/no/such", "--tls_key=/no/such"});
  EXPECT_EQ(cert.exit, 1);
  EXPECT_THAT(cert.errors, HasSubstr("--tls_cert=/no/such: no such file"));
  const Ran tokens = Check({"--auth_tokens=/no/such"});
  EXPECT_EQ(tokens.exit, 1);
  EXPECT_THAT(tokens.errors, HasSubstr("--auth_tokens=/no/such"));
  const Ran folder = Check({"--disk_store=/proc/version"});
  EXPECT_EQ(folder.exit, 1);
  EXPECT_THAT(folder.errors, HasSubstr("--disk_store=/proc/version"));
}

// Whatever finds no memory: an allocation of ours or of LibTorch's, a library
// that is set up, or a thread.
TEST(ServerStartTest, WithTooLittleMemoryItSaysWhatToDo) {
  int too_little = 0;
  for (int mib = 400; mib < 2000; mib += 40) {
    Process server({"/bin/bash", "-c",
                    "ulimit -c 0; ulimit -v $1; exec \"$0\" "
                    "--listen=127.0.0.1:0 --metrics_listen=",
                    kServer, absl::StrCat(mib * 1024)});
    if (!server.WaitForLine("loaded and warmed up").empty()) break;
    const int status = server.Wait();
    if (status == 127) continue;  // too little for the libraries themselves
    EXPECT_EQ(status, 1) << mib << " MiB";
    EXPECT_THAT(server.Errors(),
                HasSubstr("--check says what the weights take"))
        << mib << " MiB";
    ++too_little;
  }
  EXPECT_GT(too_little, 0);
}

TEST(ServerOptionsTest, BothProgramsPrintManPagesAndCompletions) {
  for (const char* program : {kServer, kClient}) {
    for (const char* kind : {"man", "bash", "zsh", "fish"}) {
      const Ran ran = RunToEnd({program, absl::StrCat("--generate=", kind)});
      EXPECT_EQ(ran.exit, 0) << ran.errors;
      EXPECT_THAT(ran.output, AllOf(HasSubstr("zeroshot_"), HasSubstr("tls")))
          << kind;
    }
    EXPECT_EQ(RunToEnd({program, "--generate=tcsh"}).exit, 2);
  }
}

}  // namespace
}  // namespace e2e
