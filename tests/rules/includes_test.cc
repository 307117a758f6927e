// The arrows between the rooms, held over every #include line: server ->
// zeroshot -> {stores, clip} -> base, clip -> torch, server -> proto <- client,
// and nothing back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "tests/rules/source_tree.h"

namespace {

using ::testing::IsEmpty;

// What a folder may include. An entry that ends in / allows all below it, one
// that ends in /* only the headers right inside of it: a room's public ones.
// The longest folder that holds a file decides for it.
struct Room {
  absl::string_view folder;
  std::vector<absl::string_view> may_include;
  std::vector<absl::string_view> but_not;
};

const std::vector<Room>& Rooms() {
  static const auto* rooms = new std::vector<Room>{
      {"base/",
       {"base/", "absl/", "openssl/", "unicode/utf8.h",
        "sanitizer/tsan_interface.h"},
       {}},
      {"stores/", {"stores/", "base/", "absl/", "openssl/", "hiredis/"}, {}},
      {"clip/",
       {"clip/", "base/", "absl/", "unicode/", "openssl/", "nlohmann/", "webp/",
        "avif/", "libheif/", "png.h", "jpeglib.h", "jerror.h", "tiffio.h",
        "zlib.h", "cpuid.h", "immintrin.h"},
       {"clip/torch/"}},
      {"clip/torch/",
       {"clip/", "base/", "absl/", "nlohmann/", "torch/", "ATen/", "c10/",
        "caffe2/", "omp.h", "cuda.h", "cuda_bf16.h", "cuda_fp16.h",
        "cuda_runtime.h", "cuda_runtime_api.h", "mma.h"},
       {}},
      {"zeroshot/",
       {"zeroshot/", "stores/", "clip/*", "base/", "absl/"},
       {"zeroshot/v1/"}},
      {"server/",
       {"server/", "zeroshot/", "inference/", "stores/", "clip/*", "base/",
        "absl/", "grpc/", "grpcpp/", "google/", "openssl/", "spdlog/",
        "prometheus/", "httplib.h"},
       {}},
      {"server/tracing_otlp.cc",
       {"server/tracing.h", "base/", "absl/", "spdlog/", "opentelemetry/"},
       {}},
      {"server/http/",
       {"server/", "zeroshot/", "inference/", "stores/", "clip/*", "base/",
        "absl/", "grpc/", "grpcpp/", "google/", "openssl/", "boost/",
        "nlohmann/"},
       {}},
      {"client/",
       {"client/", "zeroshot/v1/", "base/", "absl/", "grpc/", "grpcpp/",
        "google/", "openssl/"},
       {}},
      {"client/cli/",
       {"client/", "zeroshot/v1/", "base/", "absl/", "grpc/", "grpcpp/",
        "google/", "openssl/", "boost/", "nlohmann/", "archive.h",
        "archive_entry.h"},
       {}},
      // A program of a user's own.
      {"client/example/", {"client/*", "absl/", "pets.h"}, {}},
  };
  return *rooms;
}

bool Matches(absl::string_view header, absl::string_view entry) {
  if (absl::ConsumeSuffix(&entry, "*")) {
    return absl::ConsumePrefix(&header, entry) &&
           !absl::StrContains(header, '/');
  }
  return absl::EndsWith(entry, "/") ? absl::StartsWith(header, entry)
                                    : header == entry;
}

// Headers of the language and of POSIX are open to all.
bool IsSystemHeader(absl::string_view header) {
  static constexpr absl::string_view kPosix[] = {
      "arpa/inet.h",  "dirent.h",      "dlfcn.h",     "fcntl.h",  "netdb.h",
      "netinet/in.h", "netinet/tcp.h", "stdlib.h",    "time.h",   "poll.h",
      "pthread.h",    "sched.h",       "semaphore.h", "malloc.h", "signal.h",
      "termios.h",    "unistd.h",      "wchar.h"};
  if (!absl::StrContains(header, '.')) return !absl::StrContains(header, '/');
  if (absl::StartsWith(header, "sys/")) return true;
  for (absl::string_view posix : kPosix) {
    if (header == posix) return true;
  }
  return false;
}

bool MatchesAny(absl::string_view header,
                const std::vector<absl::string_view>& entries) {
  for (absl::string_view entry : entries) {
    if (Matches(header, entry)) return true;
  }
  return false;
}

bool MayInclude(absl::string_view file, absl::string_view header) {
  const Room* room = nullptr;
  for (const Room& r : Rooms()) {
    if (absl::StartsWith(file, r.folder) &&
        (room == nullptr || r.folder.size() > room->folder.size())) {
      room = &r;
    }
  }
  if (room == nullptr || IsSystemHeader(header)) return true;
  return MatchesAny(header, room->may_include) &&
         !MatchesAny(header, room->but_not);
}

TEST(IncludesTest, EveryRoomIncludesOnlyWhatItMay) {
  std::vector<std::string> broken;
  int seen = 0;
  for (const std::string& file : rules::SourceFiles()) {
    int number = 0;
    for (const std::string& line : rules::Lines(file)) {
      ++number;
      const absl::string_view header = rules::IncludedHeader(line);
      if (header.empty()) continue;
      ++seen;
      if (!MayInclude(file, header)) {
        broken.push_back(absl::StrCat(file, ":", number, " includes ", header));
      }
    }
  }
  EXPECT_GT(seen, 500);
  EXPECT_THAT(broken, IsEmpty());
}

TEST(IncludesTest, NoRoomReachesBack) {
  EXPECT_FALSE(MayInclude("clip/model.cc", "zeroshot/batcher.h"));
  EXPECT_FALSE(MayInclude("zeroshot/batcher.h", "server/options.h"));
  EXPECT_FALSE(MayInclude("base/quantities.cc", "clip/model.h"));
  EXPECT_FALSE(MayInclude("stores/disk_store.cc", "clip/model.h"));
  EXPECT_FALSE(MayInclude("stores/disk_store.cc", "zeroshot/npy.h"));
  EXPECT_TRUE(MayInclude("stores/disk_store.cc", "base/mutex.h"));
  EXPECT_FALSE(MayInclude("client/client.cc", "server/options.h"));
  EXPECT_FALSE(MayInclude("client/client.cc", "stores/weight_set.h"));
  EXPECT_TRUE(MayInclude("server/service.cc", "zeroshot/image_classifier.h"));
  EXPECT_TRUE(MayInclude("client/client.cc", "zeroshot/v1/zeroshot.pb.h"));
}

TEST(IncludesTest, OnlyOneFolderSeesTorch) {
  EXPECT_TRUE(MayInclude("clip/torch/model.cc", "torch/torch.h"));
  for (absl::string_view file :
       {"clip/tokenizer.cc", "zeroshot/image_classifier.cc", "server/main.cc",
        "client/client.cc"}) {
    EXPECT_FALSE(MayInclude(file, "torch/torch.h")) << file;
    EXPECT_FALSE(MayInclude(file, "ATen/ATen.h")) << file;
    EXPECT_FALSE(MayInclude(file, "cuda_runtime.h")) << file;
    EXPECT_FALSE(MayInclude(file, "clip/torch/weights.h")) << file;
  }
}

// nvcc takes 50 s for a torch header, and without one the kernels also compile
// for the CPU (tests/testing/cuda_on_cpu).
TEST(IncludesTest, DeviceCodeSeesNoTorch) {
  int seen = 0;
  for (const std::string& file : rules::SourceFiles()) {
    if (!absl::EndsWith(file, ".cu") && !absl::EndsWith(file, ".cuh") &&
        file != "clip/torch/cuda/kernels.h") {
      continue;
    }
    ++seen;
    for (const std::string& line : rules::Lines(file)) {
      const absl::string_view header = rules::IncludedHeader(line);
      EXPECT_FALSE(MatchesAny(header, {"torch/", "ATen/", "c10/", "caffe2/"}))
          << file << " includes " << header;
      EXPECT_TRUE(!absl::StartsWith(header, "clip/torch/") ||
                  header == "clip/torch/cuda/kernels.h" ||
                  absl::EndsWith(header, ".cuh"))
          << file << " includes " << header;
    }
  }
  EXPECT_GT(seen, 5);
}

TEST(IncludesTest, TheWireStaysOutOfTheLowerRooms) {
  for (absl::string_view file : {"clip/model.h", "clip/torch/model.cc",
                                 "zeroshot/image_classifier.cc"}) {
    EXPECT_FALSE(MayInclude(file, "grpcpp/grpcpp.h")) << file;
    EXPECT_FALSE(MayInclude(file, "zeroshot/v1/zeroshot.pb.h")) << file;
    EXPECT_FALSE(MayInclude(file, "spdlog/spdlog.h")) << file;
  }
}

TEST(IncludesTest, OnlyPublicHeadersOfClipAreOpen) {
  EXPECT_TRUE(MayInclude("zeroshot/image_classifier.cc", "clip/model.h"));
  EXPECT_FALSE(
      MayInclude("zeroshot/image_classifier.cc", "clip/text/fix_text.h"));
}

}  // namespace
