#include "server/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "server/find_model.h"
#include "tests/testing/temporary_folder.h"

namespace zeroshot::server {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// A file that exists, in place of a checkpoint: options only look whether it
// is there.
std::string SomeFile() { return "/proc/self/exe"; }

std::string FileText(const std::string& path) {
  std::ifstream file(ZEROSHOT_SOURCE_DIR "/" + path);
  return std::string((std::istreambuf_iterator<char>(file)), {});
}

class OptionsTest : public ::testing::Test {
 protected:
  OptionsTest() { Set("model", SomeFile()); }

  void Set(absl::string_view flag, absl::string_view value) {
    arguments_.push_back(absl::StrCat("--", flag, "=", value));
  }

  absl::StatusOr<CommandLine> Read() const {
    return ReadCommandLine(arguments_, environment_);
  }

  // With further arguments.
  absl::StatusOr<CommandLine> Read(std::vector<std::string> more) const {
    more.insert(more.begin(), arguments_.begin(), arguments_.end());
    return ReadCommandLine(more, environment_);
  }

  std::string Error(const std::vector<std::string>& more) const {
    return std::string(Read(more).status().message());
  }

  // What is said about the flag when it has that value.
  std::string ErrorFor(absl::string_view flag, absl::string_view value) const {
    return Error({absl::StrCat("--", flag, "=", value)});
  }

  std::string FlagFile(const std::string& text) {
    const std::string path = folder_.path() + "/server.flags";
    std::ofstream(path) << text;
    return path;
  }

  Environment environment_;
  ::testing::TemporaryFolder folder_;

 private:
  std::vector<std::string> arguments_;
};

TEST_F(OptionsTest, DefaultsAreThoseOfTheStructs) {
  const auto read = Read();
  ASSERT_TRUE(read.ok()) << read.status();
  const Options* options = &read->options;
  EXPECT_EQ(options->server.listen, "127.0.0.1:50051");
  EXPECT_EQ(options->server.max_inflight, ServerOptions().max_inflight);
  EXPECT_EQ(options->server.build.max_prompts, BuildLimits().max_prompts);
  EXPECT_EQ(options->tower.device, "auto");
  EXPECT_EQ(options->log_format, LogFormat::kText);
  EXPECT_EQ(options->log_level, LogLevel::kInfo);
}

TEST_F(OptionsTest, WithoutAFlagEachGpuMayHaveThreeBatchesInside) {
  Options options;
  EXPECT_EQ(InflightFor(options, {"cpu"}), 128);
  EXPECT_EQ(InflightFor(options, {"cuda:0"}), 768);
  EXPECT_EQ(InflightFor(options, {"cuda:0", "cuda:1"}), 1536);
  options.tower.max_batch = 8;
  EXPECT_EQ(InflightFor(options, {"cuda:0"}), 128);
  EXPECT_FALSE(Read({})->options.max_inflight_asked_for);
  EXPECT_TRUE(Read({"--max_inflight=4"})->options.max_inflight_asked_for);
}

TEST_F(OptionsTest, EveryFlagReachesItsOption) {
  Set("listen", "[::]:7");
  Set("http_listen", "[::]:9");
  Set("http_cors_origins", "https://a.example, http://b.example:3000");
  Set("metrics_listen", "[::]:8");
  Set("tls_cert", "a.crt");
  Set("tls_key", "a.key");
  Set("tls_client_ca", "ca.crt");
  Set("auth_tokens", "tokens");
  Set("device", "cuda:0,1");
  Set("precision", "bf16");
  Set("threads", "3");
  Set("max_batch", "16");
  Set("max_inflight", "10");
  Set("max_builds", "2");
  Set("memory_store_bytes", "1000");  // there are other stores

  Set("vector_cache_bytes", "999");
  Set("disk_store", "sets");
  Set("disk_store_bytes", "1500M");
  Set("redis", "rediss://:secret@cache:7/2");
  Set("redis_ca", "redis.crt");
  Set("redis_timeout", "250ms");
  Set("redis_ttl", "720h");
  Set("redis_max_set_bytes", "1000000");
  Set("max_request_bytes", "5000");
  Set("receive_memory_bytes", "12000");
  Set("max_streams", "27");
  Set("max_image_bytes", "4000");
  Set("max_image_pixels", "300");
  Set("max_classes", "20");
  Set("max_templates", "21");
  Set("max_prompts", "22");
  Set("max_text_bytes", "23");
  Set("max_batch_items", "24");
  Set("max_weight_sets", "25");
  Set("max_import_bytes", "26");
  Set("image_cache_bytes", "998");
  Set("apply_exif_orientation", "true");
  Set("fast_decode", "true");
  Set("log_format", "json");
  Set("log_level", "error");
  Set("trace_sample_ratio", "0.25");
  Set("drain_grace", "2s");
  Set("drain_timeout", "1m");
  Set("watchdog_timeout", "3s");
  Set("client_patience", "5s");
  Set("max_connection_age", "4m");
  const auto read = Read();
  ASSERT_TRUE(read.ok()) << read.status();
  const Options* options = &read->options;
  EXPECT_EQ(options->model, SomeFile());
  EXPECT_EQ(options->metrics_listen, "[::]:8");
  EXPECT_EQ(options->tower.device, "cuda:0,1");
  EXPECT_EQ(options->tower.precision, "bf16");
  EXPECT_EQ(options->tower.threads, 3);
  EXPECT_EQ(options->tower.max_batch, 16);
  const ServerOptions& server = options->server;
  EXPECT_EQ(server.listen, "[::]:7");
  EXPECT_EQ(server.http_listen, "[::]:9");
  EXPECT_THAT(server.http_cors_origins,
              ElementsAre("https://a.example", "http://b.example:3000"));
  EXPECT_EQ(server.security.tls_cert, "a.crt");
  EXPECT_EQ(server.security.tls_key, "a.key");
  EXPECT_EQ(server.security.tls_client_ca, "ca.crt");
  EXPECT_EQ(server.security.auth_tokens, "tokens");
  EXPECT_EQ(server.max_inflight, 10);
  EXPECT_EQ(server.client_patience, absl::Seconds(5));
  EXPECT_EQ(server.max_connection_age, absl::Minutes(4));
  EXPECT_EQ(server.max_builds, 2);
  EXPECT_EQ(server.memory_store_bytes, 1000);
  EXPECT_EQ(server.vector_cache_bytes, 999);
  EXPECT_EQ(server.redis_store.ttl, absl::Hours(720));
  EXPECT_EQ(server.redis_store.max_set_bytes, 1'000'000);
  EXPECT_EQ(server.disk_store, "sets");
  EXPECT_EQ(server.disk_store_bytes, int64_t{1500} << 20);
  ASSERT_TRUE(server.redis.has_value());
  EXPECT_EQ(server.redis->host, "cache");
  EXPECT_EQ(server.redis->password, "secret");
  EXPECT_EQ(server.redis->ca_file, "redis.crt");
  EXPECT_EQ(server.redis->timeout, absl::Milliseconds(250));
  EXPECT_EQ(server.max_request_bytes, 5000);
  EXPECT_EQ(server.receive_memory_bytes, 12000);
  EXPECT_EQ(server.max_streams, 27);
  EXPECT_EQ(server.max_batch_items, 24);
  EXPECT_EQ(server.max_weight_sets, 25);
  EXPECT_EQ(server.max_import_bytes, 26);
  EXPECT_EQ(server.embedder.image_cache_bytes, 998);
  EXPECT_EQ(server.embedder.max_batch, 16);
  EXPECT_EQ(server.embedder.max_image_bytes, 4000);
  EXPECT_EQ(server.embedder.max_text_bytes, 23);
  EXPECT_EQ(server.embedder.decode.max_pixels, 300);
  EXPECT_TRUE(server.embedder.decode.apply_exif_orientation);
  EXPECT_TRUE(server.embedder.decode.fast);
  EXPECT_EQ(server.build.max_classes, 20);
  EXPECT_EQ(server.build.max_templates, 21);
  EXPECT_EQ(server.build.max_prompts, 22);
  EXPECT_EQ(server.build.max_text_bytes, 23);
  EXPECT_EQ(options->log_format, LogFormat::kJson);
  EXPECT_EQ(options->log_level, LogLevel::kError);
  EXPECT_EQ(server.tracing.sample_ratio, 0.25);
  EXPECT_EQ(options->drain_grace, absl::Seconds(2));
  EXPECT_EQ(options->drain_timeout, absl::Minutes(1));
  EXPECT_EQ(options->server.watchdog_timeout, absl::Seconds(3));
}

TEST_F(OptionsTest, WrongValueIsNamedWithItsFlagAndWhatIsAllowed) {
  EXPECT_EQ(
      ErrorFor("max_batch", "-1"),
      "--max_batch=-1 is not allowed: it must be a whole number from 0 to "
      "4096");
  EXPECT_EQ(
      ErrorFor("threads", "many"),
      "--threads=many is not allowed: it must be a whole number from 0 to "
      "1024");
  EXPECT_EQ(ErrorFor("log_level", "loud"),
            "--log_level=loud is not allowed: it must be one of debug, info, "
            "warn, error");
  EXPECT_EQ(ErrorFor("precision", "fp8"),
            "--precision=fp8 is not allowed: it must be one of auto, fp32, "
            "bf16, fp16, int8");
  EXPECT_EQ(ErrorFor("fast_decode", "maybe"),
            "--fast_decode=maybe is not allowed: it must be true or false");
  EXPECT_THAT(ErrorFor("drain_timeout", "-1s"), HasSubstr("from 0 to 24h"));
  EXPECT_THAT(ErrorFor("drain_timeout", "5 apples"), HasSubstr("500ms"));
  EXPECT_THAT(ErrorFor("watchdog_timeout", "0"), HasSubstr("from 1s to 24h"));
  EXPECT_THAT(ErrorFor("image_cache_bytes", "1GX"),
              HasSubstr("a size of 0 or more, such as 512M or 1.5GiB"));
  EXPECT_THAT(ErrorFor("max_image_bytes", "100000000"),
              HasSubstr("at most --max_request_bytes=32MiB"));
  EXPECT_THAT(ErrorFor("max_request_bytes", "1M"),
              HasSubstr("--max_image_bytes must be at most "
                        "--max_request_bytes=1MiB; it is 20MiB"));
  EXPECT_THAT(ErrorFor("receive_memory_bytes", "1M"),
              HasSubstr("at least twice --max_request_bytes=32MiB"));
}

TEST_F(OptionsTest, SizesAndTimesHaveUnits) {
  const auto read =
      Read({"--image_cache_bytes=512M", "--vector_cache_bytes=1.5GiB",
            "--memory_store_bytes", "10737418240", "--drain_grace=7",
            "--drain_timeout=1m30s", "--redis_timeout=0.25"});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->options.server.embedder.image_cache_bytes, 512 << 20);
  EXPECT_EQ(read->options.server.vector_cache_bytes, int64_t{3} << 29);
  EXPECT_EQ(read->options.server.memory_store_bytes, int64_t{10} << 30);
  EXPECT_EQ(read->options.drain_grace, absl::Seconds(7));
  EXPECT_EQ(read->options.drain_timeout, absl::Seconds(90));
}

TEST_F(OptionsTest, UnknownFlagSuggestsTheNearest) {
  EXPECT_EQ(Error({"--modle=x"}),
            "unknown flag --modle; did you mean --model?");
  EXPECT_EQ(Error({"--max_batches=3"}),
            "unknown flag --max_batches; did you mean --max_batch?");
  EXPECT_EQ(Error({"--noflag_like_this"}), "unknown flag --noflag_like_this");
  EXPECT_THAT(Error({"stray"}), HasSubstr("unexpected argument 'stray'"));
  EXPECT_THAT(Error({"--"}), HasSubstr("unknown flag"));
}

TEST_F(OptionsTest, FlagWithoutItsValueIsRefused) {
  EXPECT_EQ(Error({"--device"}), "--device needs a value: --device=DEVICES");
  EXPECT_EQ(Error({"--device", "--threads=2"}),
            "--device needs a value: --device=DEVICES");
  EXPECT_EQ(Error({"--nofast_decode=1"}), "--nofast_decode takes no value");
}

TEST_F(OptionsTest, SwitchesGoOnAndOff) {
  const auto fast = [&](const std::vector<std::string>& arguments) {
    const auto read = Read(arguments);
    EXPECT_TRUE(read.ok()) << read.status();
    return read.ok() && read->options.server.embedder.decode.fast;
  };
  EXPECT_FALSE(fast({}));
  for (const char* on :
       {"--fast_decode", "--fast_decode=true", "--fast_decode=YES",
        "--fast_decode=1", "--fast_decode=on", "-fast_decode"}) {
    EXPECT_TRUE(fast({on})) << on;
    // The last of a kind counts, so that wrappers can be overruled.
    EXPECT_FALSE(fast({on, "--nofast_decode"})) << on;
  }
  EXPECT_FALSE(fast({"--fast_decode=off"}));
}

TEST_F(OptionsTest, CommandLineWinsOverFileOverEnvironmentOverDefault) {
  environment_ = {{"ZEROSHOT_MAX_INFLIGHT", "1"},
                  {"ZEROSHOT_MAX_BUILDS", "1"},
                  {"ZEROSHOT_MAX_BATCH", "1"}};
  const std::string file = FlagFile("--max_builds=2\nmax_batch = 2\n");
  const auto read = Read({"--max_batch=3", "--flagfile=" + file});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->options.server.max_inflight, 1);
  EXPECT_EQ(read->options.server.max_builds, 2);
  EXPECT_EQ(read->options.tower.max_batch, 3);
  EXPECT_EQ(read->options.server.max_batch_items,
            ServerOptions().max_batch_items);
}

TEST_F(OptionsTest, WrongValueThatIsOverruledDoesNotMatter) {
  environment_ = {{"ZEROSHOT_THREADS", "abc"}};
  EXPECT_EQ(Error({"--threads=2"}), "");
}

TEST_F(OptionsTest, EveryFlagIsReadFromTheEnvironment) {
  environment_ = {{"ZEROSHOT_LOG_FORMAT", "json"},
                  {"ZEROSHOT_FAST_DECODE", "1"},
                  {"ZEROSHOT_DRAIN_GRACE", "3"},
                  {"ZEROSHOT_IMAGE_CACHE_BYTES", "64M"},
                  {"ZEROSHOT_REDIS", "redis://:secret@cache"}};
  auto read = Read();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->options.log_format, LogFormat::kJson);
  EXPECT_TRUE(read->options.server.embedder.decode.fast);
  EXPECT_EQ(read->options.drain_grace, absl::Seconds(3));
  EXPECT_EQ(read->options.server.embedder.image_cache_bytes, 64 << 20);
  ASSERT_TRUE(read->options.server.redis.has_value());
  EXPECT_EQ(read->options.server.redis->password, "secret");
  environment_ = {{"ZEROSHOT_FLAGFILE", FlagFile("threads=7")}};
  read = Read();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->options.tower.threads, 7);
}

TEST_F(OptionsTest, WrongValueOfTheEnvironmentNamesTheVariable) {
  environment_ = {{"ZEROSHOT_THREADS", ""}};
  EXPECT_EQ(Error({}),
            "ZEROSHOT_THREADS= is not allowed: it must be a whole number from "
            "0 to 1024");
  environment_ = {{"ZEROSHOT_LISTEN", "50051"}};
  EXPECT_THAT(Error({}), StartsWith("ZEROSHOT_LISTEN=50051 is not allowed: it "
                                    "must be HOST:PORT"));
  environment_ = {{"ZEROSHOT_REDIS", "http://:secret@cache"}};
  EXPECT_THAT(Error({}), AllOf(StartsWith("ZEROSHOT_REDIS=... is not allowed"),
                               Not(HasSubstr("secret"))));
}

// What Kubernetes puts into a pod beside Services zeroshot and zeroshot-redis,
// and programs that print something once.
TEST_F(OptionsTest, VariablesThatAreNoFlagsAreLeftAlone) {
  environment_ = {{"ZEROSHOT_SERVICE_HOST", "10.0.0.1"},
                  {"ZEROSHOT_SERVICE_PORT", "50051"},
                  {"ZEROSHOT_SERVICE_PORT_GRPC", "50051"},
                  {"ZEROSHOT_PORT", "tcp://10.0.0.1:50051"},
                  {"ZEROSHOT_PORT_50051_TCP", "tcp://10.0.0.1:50051"},
                  {"ZEROSHOT_PORT_50051_TCP_ADDR", "10.0.0.1"},
                  {"ZEROSHOT_PORT_50051_TCP_PORT", "50051"},
                  {"ZEROSHOT_PORT_50051_TCP_PROTO", "tcp"},
                  {"ZEROSHOT_REDIS_SERVICE_HOST", "10.0.0.2"},
                  {"ZEROSHOT_REDIS_PORT", "tcp://10.0.0.2:6379"},
                  {"ZEROSHOT_REDIS_PORT_6379_TCP", "tcp://10.0.0.2:6379"},
                  {"ZEROSHOT_VERSION", "2026-01"},
                  {"ZEROSHOT_CHECK", "1"},
                  {"ZEROSHOT_TARGET", "127.0.0.1:50051"},
                  {"ZEROSHOT_COLOUR_OF_THE_SKY", "blue"}};
  const auto read = Read();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->action, CommandLine::Action::kServe);
  EXPECT_THAT(read->warnings, IsEmpty());
}

TEST_F(OptionsTest, VariableThatNearlyHasTheNameOfAFlagIsWarnedOf) {
  environment_ = {{"ZEROSHOT_LISTENS", "x"}, {"ZEROSHOT_MODLE", "y"}};
  const auto read = Read();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(read->warnings,
              ElementsAre("ZEROSHOT_LISTENS in the environment sets no flag; "
                          "did you mean ZEROSHOT_LISTEN?",
                          "ZEROSHOT_MODLE in the environment sets no flag; did "
                          "you mean ZEROSHOT_MODEL?"));
}

TEST_F(OptionsTest, FlagFileIsReadAsPeopleWriteIt) {
  const auto read = Read({"--flagfile", FlagFile("# a comment\n"
                                                 "\n"
                                                 "--max_inflight=11\r\n"
                                                 "  max_builds = 12  \n"
                                                 "max_batch=13\n"
                                                 "disk_store = \"a b\"\n"
                                                 "fast_decode\n"
                                                 "--noapply_exif_orientation\n"
                                                 "// another\n"
                                                 "max_classes = 14")});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->options.server.max_inflight, 11);
  EXPECT_EQ(read->options.server.max_builds, 12);
  EXPECT_EQ(read->options.tower.max_batch, 13);
  EXPECT_EQ(read->options.server.disk_store, "a b");
  EXPECT_TRUE(read->options.server.embedder.decode.fast);
  EXPECT_EQ(read->options.server.build.max_classes, 14);
}

TEST_F(OptionsTest, WrongLineOfAFlagFileIsNamedByItsNumber) {
  const auto error = [&](const std::string& line) {
    const std::string file = FlagFile(absl::StrCat("# first\n\n", line, "\n"));
    return absl::StrReplaceAll(Error({"--flagfile=" + file}), {{file, "F"}});
  };
  EXPECT_EQ(error("max_bild = 3"),
            "F:3: unknown flag --max_bild; did you mean --max_builds?");
  EXPECT_THAT(error("threads = many"),
              StartsWith("F:3: --threads=many is not allowed: it must be"));
  EXPECT_EQ(error("threads"), "F:3: --threads needs a value: --threads=N");
  EXPECT_THAT(error("no flag at all"), StartsWith("F:3: 'no flag at all' is"));
  EXPECT_THAT(error("= 3"), StartsWith("F:3: '= 3' is"));
  EXPECT_THAT(error("flagfile = other"), StartsWith("F:3: a flagfile cannot"));
  EXPECT_THAT(error("check"), StartsWith("F:3: --check is for the command"));
}

TEST_F(OptionsTest, FlagFileThatIsNotThereIsNamed) {
  EXPECT_EQ(ErrorFor("flagfile", "/no/such"),
            "--flagfile=/no/such: the file cannot be read");
  EXPECT_THAT(ErrorFor("flagfile", "/"), HasSubstr("cannot be read"));
}

TEST_F(OptionsTest, HelpIsGivenWhateverElseIsWrong) {
  for (const char* spelling : {"--help", "-h"}) {
    const auto read = Read({"--modle=x", spelling});
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->action, CommandLine::Action::kPrint);
    // One line for each flag, that fits on a screen.
    for (absl::string_view line : absl::StrSplit(read->text, '\n')) {
      EXPECT_LE(line.size(), 100) << line;
    }
    EXPECT_THAT(read->text,
                AllOf(HasSubstr("\nModel:\n"), HasSubstr("\nLimits:\n"),
                      HasSubstr("\n  --disk_store_bytes=SIZE "),
                      HasSubstr("[10GiB]"), HasSubstr("[127.0.0.1:9464]")));
  }
  EXPECT_EQ(Read({"--version"})->text, "zeroshot " ZEROSHOT_VERSION "\n");
}

TEST_F(OptionsTest, ReferenceIsWhatTheProgramSays) {
  EXPECT_EQ(FileText("docs/flags.md"), Read({"--generate=markdown"})->text)
      << "zeroshot_server --generate=markdown > docs/flags.md";
}

TEST_F(OptionsTest, DocumentationNamesNoFlagThatIsNot) {
  const std::string help = Read({"-h"})->text;
  const std::string docs =
      absl::StrCat(FileText("docs/limits.md"), FileText("docs/weight_sets.md"),
                   FileText("docs/tls_and_tokens.md"));
  int seen = 0;
  for (size_t i = docs.find("| `--"); i != docs.npos;
       i = docs.find("| `--", i + 1)) {
    const size_t begin = i + 3;
    const std::string flag =
        docs.substr(begin, docs.find_first_of("`= ", begin) - begin);
    EXPECT_THAT(help, HasSubstr(absl::StrCat("\n  ", flag))) << flag;
    ++seen;
  }
  EXPECT_GT(seen, 15);
}

// Kubernetes' variables would set a flag of such a name.
TEST_F(OptionsTest, NoFlagHasTheNameOfAVariableOfKubernetes) {
  const std::string help = Read({"-h"})->text;
  for (absl::string_view line : absl::StrSplit(help, '\n')) {
    const absl::string_view flag = line.substr(0, line.find_first_of("= ", 2));
    for (const char* part : {"_port", "--port", "service_host", "_tcp"}) {
      EXPECT_FALSE(absl::StrContains(flag, part)) << line;
    }
  }
}

TEST_F(OptionsTest, MetricsPageIsAskedForOrNot) {
  EXPECT_FALSE(Read()->options.metrics_asked_for);
  EXPECT_TRUE(
      Read({"--metrics_listen=127.0.0.1:9464"})->options.metrics_asked_for);
  environment_ = {{"ZEROSHOT_METRICS_LISTEN", "127.0.0.1:1"}};
  EXPECT_TRUE(Read()->options.metrics_asked_for);
}

TEST_F(OptionsTest, HttpIsForThisMachineUnlessItIsAskedFor) {
  EXPECT_TRUE(IsLoopback(Read()->options.server.http_listen));
  EXPECT_FALSE(Read()->options.http_asked_for);
  EXPECT_TRUE(Read({"--http_listen=0.0.0.0:8080"})->options.http_asked_for);
  EXPECT_EQ(ErrorFor("http_listen", ""), "");
  EXPECT_THAT(ErrorFor("http_listen", "8080"),
              HasSubstr("--http_listen=8080 is not allowed"));
  EXPECT_EQ(ErrorFor("http_cors_origins", "*"), "");
  for (const char* wrong : {"a.example", "https://a.example/"}) {
    EXPECT_THAT(ErrorFor("http_cors_origins", wrong),
                HasSubstr("it must be origins such as"));
  }
  // Tokens could be read on their way.
  EXPECT_THAT(Error({"--auth_tokens=tokens", "--http_listen=0.0.0.0:8080"}),
              HasSubstr("--http_listen=0.0.0.0:8080"));
}

TEST_F(OptionsTest, MemoryStoreThatHoldsNothingNeedsAnother) {
  EXPECT_THAT(ErrorFor("memory_store_bytes", "0"),
              HasSubstr("it must be 1MiB or more"));
  EXPECT_THAT(ErrorFor("memory_store_bytes", "1000"),
              HasSubstr("unless --disk_store or --redis keeps it"));
  EXPECT_EQ(Error({"--memory_store_bytes=0", "--disk_store=sets"}), "");
  EXPECT_EQ(Error({"--memory_store_bytes=0", "--redis=redis://cache"}), "");
}

TEST_F(OptionsTest, ListenNeedsHostAndPort) {
  for (const char* wrong : {"", "50051", ":50051", "localhost", "localhost:",
                            "localhost:x", "localhost:65536", "h:-1"}) {
    EXPECT_THAT(
        ErrorFor("listen", wrong),
        HasSubstr(absl::StrCat("--listen=", wrong,
                               " is not allowed: it must be HOST:PORT")));
  }
  EXPECT_EQ(ErrorFor("listen", "0.0.0.0:0"), "");
  EXPECT_THAT(ErrorFor("metrics_listen", "9464"),
              HasSubstr("--metrics_listen=9464 is not allowed"));
  EXPECT_EQ(ErrorFor("metrics_listen", ""), "");
}

TEST_F(OptionsTest, EndpointOfSpansIsAUrlWithAPort) {
  for (const char* wrong :
       {"localhost:4317", "http://localhost", "ftp://localhost:4317",
        "http://localhost:0", "http://localhost:4317/v1/traces"}) {
    EXPECT_THAT(ErrorFor("otlp_endpoint", wrong),
                HasSubstr("such as http://localhost:4317"));
  }
  for (const char* right : {"http://localhost:4317", "https://[::1]:4317"}) {
    if (CanTrace()) {
      EXPECT_EQ(ErrorFor("otlp_endpoint", right), "");
    } else {
      EXPECT_THAT(ErrorFor("otlp_endpoint", right),
                  HasSubstr("built without OpenTelemetry. Build it where "
                            "opentelemetry-cpp-dev is installed"));
    }
  }
  for (const char* wrong : {"-0.1", "1.5", "nan", "half"}) {
    EXPECT_THAT(ErrorFor("trace_sample_ratio", wrong),
                HasSubstr("must be a number from 0 to 1"));
  }
}

TEST_F(OptionsTest, HalfAConfigurationIsRefused) {
  EXPECT_THAT(ErrorFor("tls_cert", "a.crt"), HasSubstr("--tls_key must be"));
  EXPECT_THAT(ErrorFor("tls_key", "a.key"), HasSubstr("--tls_cert must be"));
  EXPECT_THAT(ErrorFor("tls_client_ca", "ca.crt"),
              HasSubstr("used with --tls_cert and --tls_key"));
  EXPECT_EQ(ErrorFor("auth_tokens", "tokens"), "");
  Set("listen", "0.0.0.0:50051");
  EXPECT_THAT(ErrorFor("auth_tokens", "tokens"),
              HasSubstr("tokens could be read on their way"));
  Set("tls_cert", "a.crt");
  Set("tls_key", "a.key");
  EXPECT_EQ(ErrorFor("auth_tokens", "tokens"), "");
}

TEST_F(OptionsTest, LoopbackIsToldFromOtherAddresses) {
  for (const char* address :
       {"localhost:1", "127.0.0.1:1", "127.1:1", "127.200.0.1:1", "[::1]:1"}) {
    EXPECT_TRUE(IsLoopback(address)) << address;
  }
  for (const char* address : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "host:1",
                              "127.evil.example:1", "localhost.x:1"}) {
    EXPECT_FALSE(IsLoopback(address)) << address;
  }
}

TEST_F(OptionsTest, DeviceIsOneOfTheKnownForms) {
  for (const char* wrong : {"gpu", "cuda:", "cuda:x", "cuda:0,", "cpu:0"}) {
    EXPECT_THAT(ErrorFor("device", wrong),
                HasSubstr(absl::StrCat("--device=", wrong, " is not allowed")));
  }
  for (const char* right : {"auto", "cpu", "cuda", "cuda:1", "cuda:0,1"}) {
    EXPECT_EQ(ErrorFor("device", right), "");
  }
}

TEST_F(OptionsTest, ModelThatIsNowhereIsNamed) {
  EXPECT_EQ(ErrorFor("model", "no-such-model"),
            "--model=no-such-model: no such file or folder, and no model of "
            "that name in the models folder");
  EXPECT_EQ(ErrorFor("model", "/no/such.pt"),
            "--model=/no/such.pt: no such file or folder");
}

TEST_F(OptionsTest, EmptyModelIsRefused) {
  EXPECT_THAT(ErrorFor("model", ""), AllOf(HasSubstr("--model= is not allowed"),
                                           HasSubstr("is a variable empty?")));
  EXPECT_FALSE(FindModel("").ok());
}

TEST_F(OptionsTest, ModelNameIsFoundInTheModelsFolder) {
  const auto path = FindModel("demo");
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(std::filesystem::path(*path).filename(), "demo");
  EXPECT_TRUE(std::filesystem::is_directory(*path));
  EXPECT_EQ(ReadCommandLine({}, {})->options.model, *path);
}

}  // namespace
}  // namespace zeroshot::server
