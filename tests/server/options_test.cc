#include "server/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/str_cat.h"
#include "server/find_model.h"

namespace zeroshot::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A file that exists, in place of a checkpoint: options only look whether it
// is there.
std::string SomeFile() { return "/proc/self/exe"; }

class OptionsTest : public ::testing::Test {
 protected:
  OptionsTest() { Set("model", SomeFile()); }

  static void Set(absl::string_view flag, absl::string_view value) {
    std::string error;
    ASSERT_TRUE(absl::FindCommandLineFlag(flag)->ParseFrom(value, &error))
        << error;
  }

  // What is said about the flag when it has that value.
  static std::string ErrorFor(absl::string_view flag, absl::string_view value) {
    absl::FlagSaver saver;
    Set(flag, value);
    return std::string(OptionsFromFlags().status().message());
  }

 private:
  absl::FlagSaver saver_;
};

TEST_F(OptionsTest, DefaultsAreThoseOfTheStructs) {
  const auto options = OptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->server.listen, "127.0.0.1:50051");
  EXPECT_EQ(options->server.max_inflight, ServerOptions().max_inflight);
  EXPECT_EQ(options->server.build.max_prompts, BuildLimits().max_prompts);
  EXPECT_EQ(options->tower.device, "auto");
  EXPECT_EQ(options->log_format, LogFormat::kText);
  EXPECT_EQ(options->log_level, LogLevel::kInfo);
}

TEST_F(OptionsTest, EveryFlagReachesItsOption) {
  Set("listen", "[::]:7");
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
  Set("memory_store_bytes", "1000");
  Set("vector_cache_bytes", "999");
  Set("disk_store", "sets");
  Set("disk_store_bytes", "1001");
  Set("redis", "rediss://:secret@cache:7/2");
  Set("redis_ca", "redis.crt");
  Set("redis_timeout", "250ms");
  Set("redis_ttl", "720h");
  Set("redis_max_set_bytes", "1000000");
  Set("max_request_bytes", "5000");
  Set("receive_memory_bytes", "6000");
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
  Set("drain_grace", "2s");
  Set("drain_timeout", "1m");
  Set("watchdog_timeout", "3s");
  Set("client_patience", "5s");
  Set("max_connection_age", "4m");
  const auto options = OptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->model, SomeFile());
  EXPECT_EQ(options->metrics_listen, "[::]:8");
  EXPECT_EQ(options->tower.device, "cuda:0,1");
  EXPECT_EQ(options->tower.precision, "bf16");
  EXPECT_EQ(options->tower.threads, 3);
  EXPECT_EQ(options->tower.max_batch, 16);
  const ServerOptions& server = options->server;
  EXPECT_EQ(server.listen, "[::]:7");
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
  EXPECT_EQ(server.disk_store_bytes, 1001);
  ASSERT_TRUE(server.redis.has_value());
  EXPECT_EQ(server.redis->host, "cache");
  EXPECT_EQ(server.redis->password, "secret");
  EXPECT_EQ(server.redis->ca_file, "redis.crt");
  EXPECT_EQ(server.redis->timeout, absl::Milliseconds(250));
  EXPECT_EQ(server.max_request_bytes, 5000);
  EXPECT_EQ(server.receive_memory_bytes, 6000);
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
  EXPECT_EQ(options->drain_grace, absl::Seconds(2));
  EXPECT_EQ(options->drain_timeout, absl::Minutes(1));
  EXPECT_EQ(options->server.watchdog_timeout, absl::Seconds(3));
}

TEST_F(OptionsTest, WrongValueIsNamedWithItsFlagAndWhatIsAllowed) {
  EXPECT_EQ(ErrorFor("max_batch", "-1"),
            "--max_batch=-1: allowed is 0 to 4096");
  EXPECT_EQ(ErrorFor("threads", "-1"), "--threads=-1: allowed is 0 to 1024");
  EXPECT_EQ(ErrorFor("log_level", "loud"),
            "--log_level=loud: allowed is one of debug, info, warn, error");
  EXPECT_EQ(ErrorFor("precision", "fp8"),
            "--precision=fp8: allowed is one of auto, fp32, bf16, fp16, int8");
  EXPECT_THAT(ErrorFor("drain_timeout", "-1s"), HasSubstr("0 to 24h"));
  EXPECT_THAT(ErrorFor("watchdog_timeout", "0"), HasSubstr("1s to 24h"));
  EXPECT_THAT(ErrorFor("max_image_bytes", "100000000"),
              HasSubstr("at most --max_request_bytes=33554432"));
}

TEST_F(OptionsTest, ListenNeedsHostAndPort) {
  for (const char* wrong : {"", "50051", ":50051", "localhost", "localhost:",
                            "localhost:x", "localhost:65536", "h:-1"}) {
    EXPECT_THAT(
        ErrorFor("listen", wrong),
        HasSubstr(absl::StrCat("--listen=", wrong, ": allowed is HOST:PORT")));
  }
  EXPECT_EQ(ErrorFor("listen", "0.0.0.0:0"), "");
  EXPECT_THAT(ErrorFor("metrics_listen", "9090"),
              HasSubstr("--metrics_listen=9090: allowed is HOST:PORT"));
  EXPECT_EQ(ErrorFor("metrics_listen", ""), "");
}

TEST_F(OptionsTest, HalfAConfigurationIsRefused) {
  EXPECT_THAT(ErrorFor("tls_cert", "a.crt"), HasSubstr("--tls_key=: allowed"));
  EXPECT_THAT(ErrorFor("tls_key", "a.key"), HasSubstr("--tls_cert=: allowed"));
  EXPECT_THAT(ErrorFor("tls_client_ca", "ca.crt"),
              HasSubstr("only with --tls_cert and --tls_key"));
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
       {"localhost:1", "127.0.0.1:1", "127.1:1", "[::1]:1"}) {
    EXPECT_TRUE(IsLoopback(address)) << address;
  }
  for (const char* address : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "host:1"}) {
    EXPECT_FALSE(IsLoopback(address)) << address;
  }
}

TEST_F(OptionsTest, DeviceIsOneOfTheKnownForms) {
  for (const char* wrong : {"gpu", "cuda:", "cuda:x", "cuda:0,", "cpu:0"}) {
    EXPECT_THAT(ErrorFor("device", wrong),
                HasSubstr(absl::StrCat("--device=", wrong, ": allowed is")));
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

TEST_F(OptionsTest, ModelNameIsFoundInTheModelsFolder) {
  const auto path = FindModel("");
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(std::filesystem::path(*path).filename(), "demo");
  EXPECT_EQ(*FindModel("demo"), *path);
  EXPECT_TRUE(std::filesystem::is_directory(*path));
}

}  // namespace
}  // namespace zeroshot::server
