#include "server/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/error_info.h"

namespace zeroshot::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

BuildResult Built(bool cached, int64_t tokens, int64_t encoded) {
  auto set = std::make_shared<stores::WeightSet>();
  set->num_tokens = tokens;
  BuildResult result;
  result.set = set;
  result.cached = cached;
  result.num_tokens_encoded = encoded;
  return result;
}

// Metrics in which everything has happened once.
void CountOneOfEach(Metrics* metrics) {
  metrics->CallEnded("Classify", absl::OkStatus(), absl::Milliseconds(3));
  metrics->CallEnded(
      "Classify",
      base::WithReason(absl::ResourceExhaustedError("full"), base::kOverloaded,
                       {{"cause", "inflight"}}),
      absl::Milliseconds(1));
  metrics->CallEnded("Classify", absl::InvalidArgumentError("no image"),
                     absl::Milliseconds(1));
  metrics->ImagesTimed({absl::Milliseconds(1), absl::Milliseconds(2),
                        absl::Milliseconds(3), absl::Milliseconds(4)});
  metrics->BatchRan(3);
  metrics->BuildEnded(Built(/*cached=*/false, 100, 30));
  metrics->BuildEnded(Built(/*cached=*/true, 50, 0));
}

Readings LoadedServer() {
  Readings readings;
  readings.ready = true;
  readings.certificate_expires = absl::FromUnixSeconds(2'000'000'000);
  readings.inflight = 32;
  readings.max_inflight = 128;
  readings.model = clip::ModelInfo();
  readings.model->name = "a \"name\"";
  readings.model->devices = {{"cuda:0", ""}, {"cuda:1", ""}, {"cuda:2", ""}};
  readings.devices_left = 2;
  readings.gpus = {{.device = "cuda:0",
                    .memory_bytes = 10,
                    .memory_max_bytes = 20,
                    .busy_ratio = 0.5,
                    .temperature_celsius = 60,
                    .watts = 300},
                   {.device = "cuda:1", .memory_bytes = 11}};
  readings.queued = 7;
  readings.tiers = {
      {.name = "memory",
       .hits = 3,
       .misses = 4,
       .errors = 0,
       .size = {.sets = 2, .bytes = 10, .max_bytes = 20}},
      {.name = "redis", .hits = 1, .misses = 2, .errors = 5, .size = {}}};
  readings.image_cache = {
      .bytes = 100, .max_bytes = 200, .hits = 8, .misses = 9};
  readings.vectors = {.bytes = 11, .max_bytes = 22, .hits = 5, .misses = 6};
  return readings;
}

TEST(MetricsTest, CountsCallsByMethodAndCodeAndFailuresByCause) {
  Metrics metrics;
  CountOneOfEach(&metrics);
  const std::string text = metrics.Text({});
  EXPECT_THAT(
      text,
      HasSubstr(R"(zeroshot_calls_total{code="OK",method="Classify"} 1)"));
  EXPECT_THAT(text,
              HasSubstr(R"(zeroshot_failures_total{cause="inflight"} 1)"));
  EXPECT_THAT(
      text,
      HasSubstr(R"(zeroshot_failures_total{cause="invalid_argument"} 1)"));
  EXPECT_THAT(text,
              HasSubstr(R"(zeroshot_call_seconds_count{method="Classify"} 3)"));
}

TEST(MetricsTest, TimesStagesAndSizesBatches) {
  Metrics metrics;
  CountOneOfEach(&metrics);
  const std::string text = metrics.Text({});
  for (const char* stage : {"decode", "preprocess", "queue", "compute"}) {
    EXPECT_THAT(
        text, HasSubstr(std::string(R"(zeroshot_stage_seconds_count{stage=")") +
                        stage + R"("} 1)"));
  }
  EXPECT_THAT(text, HasSubstr(R"(zeroshot_batch_images_bucket{le="2"} 0)"));
  EXPECT_THAT(text, HasSubstr(R"(zeroshot_batch_images_bucket{le="4"} 1)"));
}

TEST(MetricsTest, TokensSavedAreThoseSharedAndThoseOfSetsFound) {
  Metrics metrics;
  CountOneOfEach(&metrics);
  const std::string text = metrics.Text({});
  EXPECT_THAT(text, HasSubstr("zeroshot_tokens_encoded_total 30\n"));
  EXPECT_THAT(text, HasSubstr("zeroshot_tokens_saved_total 120\n"));
  EXPECT_THAT(text, HasSubstr(R"(zeroshot_builds_total{result="cached"} 1)"));
  EXPECT_THAT(text, HasSubstr("zeroshot_build_seconds_count 1\n"));
}

TEST(MetricsTest, ABuildThatOthersWaitedForIsCountedOnce) {
  Metrics metrics;
  BuildResult joined = Built(/*cached=*/false, 100, 30);
  metrics.BuildEnded(joined);
  joined.joined = true;
  metrics.BuildEnded(joined);
  const std::string text = metrics.Text({});
  EXPECT_THAT(text, HasSubstr("zeroshot_tokens_encoded_total 30\n"));
  EXPECT_THAT(text, HasSubstr(R"(zeroshot_builds_total{result="built"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(zeroshot_builds_total{result="joined"} 1)"));
  EXPECT_THAT(text, HasSubstr("zeroshot_build_seconds_count 1\n"));
}

TEST(MetricsTest, ReadsTheServerWhenAsked) {
  const std::string text = Metrics().Text(LoadedServer());
  EXPECT_THAT(text, HasSubstr("zeroshot_ready 1\n"));
  EXPECT_THAT(text, HasSubstr("zeroshot_saturation_ratio 0.25\n"));
  EXPECT_THAT(text, HasSubstr("zeroshot_queue_images 7\n"));
  EXPECT_THAT(text, HasSubstr(R"(zeroshot_devices{state="serving"} 2)"));
  EXPECT_THAT(text, HasSubstr(R"(zeroshot_devices{state="lost"} 1)"));
  EXPECT_THAT(text,
              HasSubstr(R"(zeroshot_gpu_memory_bytes{device="cuda:1"} 11)"));
  EXPECT_THAT(text, HasSubstr(R"(zeroshot_gpu_watts{device="cuda:0"} 300)"));
  EXPECT_THAT(text, Not(HasSubstr(R"(zeroshot_gpu_watts{device="cuda:1"})")));
  EXPECT_THAT(text, HasSubstr(R"(zeroshot_store_bytes{tier="memory"} 10)"));
  EXPECT_THAT(
      text,
      HasSubstr(R"(zeroshot_store_gets_total{tier="memory",result="miss"} 4)"));
  EXPECT_THAT(
      text,
      HasSubstr(R"(zeroshot_store_gets_total{tier="redis",result="hit"} 1)"));
  EXPECT_THAT(text,
              HasSubstr(R"(zeroshot_store_errors_total{tier="redis"} 5)"));
  EXPECT_THAT(text, Not(HasSubstr(R"(zeroshot_store_bytes{tier="redis"})")));
  EXPECT_THAT(text,
              HasSubstr(R"(zeroshot_image_cache_gets_total{result="hit"} 8)"));
  EXPECT_THAT(text, HasSubstr("zeroshot_image_cache_bytes 100\n"));
  EXPECT_THAT(text, HasSubstr("zeroshot_vector_cache_bytes 11\n"));
  EXPECT_THAT(text,
              HasSubstr(R"(zeroshot_vector_cache_gets_total{result="hit"} 5)"));
  EXPECT_THAT(text, HasSubstr(R"(name="a \"name\"")"));
  EXPECT_THAT(text, Not(HasSubstr("process_resident_memory_bytes 0\n")));
}

TEST(MetricsTest, ModelIsLeftOutUntilItIsLoaded) {
  const std::string text = Metrics().Text({});
  EXPECT_THAT(text, HasSubstr("zeroshot_ready 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("zeroshot_model_info")));
}

// The rows of docs/metrics.md for what /metrics says.
std::set<std::string> RowsOf(const std::string& text) {
  std::map<std::string, std::string> help, type;
  std::map<std::string, std::vector<std::string>> labels;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::MaxSplits(' ', 3));
    if (words[0] == "#") {
      (words[1] == "HELP" ? help : type)[words[2]] = words[3];
      continue;
    }
    const std::string sample(line);
    std::string name = sample.substr(0, sample.find_first_of("{ "));
    for (const char* suffix : {"_bucket", "_sum", "_count"}) {
      if (!type.contains(name) && absl::EndsWith(name, suffix)) {
        name.resize(name.size() - absl::string_view(suffix).size());
      }
    }
    static const std::regex label("[{,](\\w+)=\"");
    std::vector<std::string> names;
    for (std::sregex_iterator it(sample.begin(), sample.end(), label), end;
         it != end; ++it) {
      if ((*it)[1] != "le")
        names.push_back(absl::StrCat("`", (*it)[1].str(), "`"));
    }
    std::sort(names.begin(), names.end());
    labels[name] = names;
  }
  std::set<std::string> rows;
  for (const auto& [name, of] : help) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(of, absl::MaxSplits(" Labels: ", 1));
    rows.insert(absl::StrCat("| `", name, "` | ", type[name], " | ",
                             absl::StrJoin(labels[name], ", "), " | ",
                             parts.first, " |"));
  }
  return rows;
}

TEST(MetricsTest, ReferenceIsWhatTheServerExports) {
  Metrics metrics;
  CountOneOfEach(&metrics);
  std::ifstream file(ZEROSHOT_SOURCE_DIR "/docs/metrics.md");
  std::set<std::string> documented;
  for (std::string line; std::getline(file, line);) {
    if (absl::StartsWith(line, "| `")) documented.insert(line);
  }
  EXPECT_EQ(documented, RowsOf(metrics.Text(LoadedServer())))
      << "tools/make_reference.py";
}

}  // namespace
}  // namespace zeroshot::server
