// Most builds start files from precompiled headers (cmake/Precompiled.cmake),
// where a forgotten #include is not missed. Here it is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "tests/rules/source_tree.h"

namespace {

using ::testing::IsEmpty;

// A file that uses one of the names includes the header, itself or through a
// header of ours.
struct Header {
  absl::string_view path;
  std::vector<absl::string_view> names;
};

const std::vector<Header>& Headers() {
  static const auto* headers = new std::vector<Header>{
      {"algorithm", {"std::sort(", "std::any_of(", "std::max_element("}},
      {"array", {"std::array<"}},
      {"atomic", {"std::atomic"}},
      {"chrono", {"std::chrono"}},
      {"cmath", {"std::sqrt(", "std::exp(", "std::pow(", "std::isfinite("}},
      {"condition_variable", {"std::condition_variable"}},
      {"cstddef", {}},  // comes with every other one
      {"cstdint", {}},
      {"cstdlib", {"std::getenv(", "std::abort("}},
      {"cstring", {"std::memcpy(", "std::memcmp(", "std::strerror("}},
      {"deque", {"std::deque<"}},
      {"filesystem", {"std::filesystem"}},
      {"fstream", {"std::ifstream", "std::ofstream"}},
      {"functional", {"std::function<"}},
      {"future", {"std::async(", "std::future<", "std::promise<"}},
      {"gmock/gmock.h", {"EXPECT_THAT(", "ASSERT_THAT("}},
      {"gtest/gtest.h", {"EXPECT_EQ(", "EXPECT_TRUE(", "ASSERT_TRUE("}},
      {"limits", {"std::numeric_limits<"}},
      {"map", {"std::map<"}},
      {"memory", {"std::unique_ptr<", "std::shared_ptr<", "std::make_unique"}},
      {"mutex", {"std::mutex", "std::unique_lock", "std::lock_guard"}},
      {"optional", {"std::optional<", "std::nullopt"}},
      {"random", {"std::mt19937", "std::random_device"}},
      {"set", {"std::set<"}},
      {"sstream", {"std::istringstream", "std::ostringstream"}},
      {"string", {"std::string ", "std::to_string("}},
      {"string_view", {"std::string_view"}},
      {"system_error", {"std::error_code"}},
      {"thread", {"std::thread", "std::this_thread"}},
      {"utility", {}},
      {"variant", {"std::variant<", "std::get_if<", "std::visit("}},
      {"vector", {"std::vector<"}},
      {"absl/cleanup/cleanup.h", {"absl::Cleanup", "absl::MakeCleanup"}},
      {"absl/container/flat_hash_map.h", {"absl::flat_hash_map<"}},
      {"absl/functional/function_ref.h", {"absl::FunctionRef<"}},
      {"absl/status/status.h", {"absl::Status ", "absl::OkStatus("}},
      {"absl/status/statusor.h", {"absl::StatusOr<"}},
      {"absl/strings/ascii.h", {"absl::AsciiStr", "absl::ascii_"}},
      {"absl/strings/match.h",
       {"absl::StartsWith(", "absl::EndsWith(", "absl::StrContains("}},
      {"absl/strings/numbers.h", {"absl::SimpleAto"}},
      {"absl/strings/str_cat.h", {"absl::StrCat(", "absl::StrAppend("}},
      {"absl/strings/str_format.h", {"absl::StrFormat(", "absl::StrAppendF"}},
      {"absl/strings/str_join.h", {"absl::StrJoin("}},
      {"absl/strings/str_split.h", {"absl::StrSplit(", "absl::SkipEmpty("}},
      {"absl/strings/string_view.h", {"absl::string_view"}},
      {"absl/strings/strip.h", {"absl::ConsumePrefix(", "absl::StripSuffix("}},
      {"absl/time/clock.h", {"absl::Now(", "absl::SleepFor("}},
      {"absl/time/time.h", {"absl::Duration ", "absl::Seconds("}},
      {"absl/types/span.h", {"absl::Span<", "absl::MakeSpan("}},
      {"grpcpp/grpcpp.h", {}},  // we include its parts; the wire tells
      {"zeroshot/v1/zeroshot.grpc.pb.h", {}},
      {"ATen/ATen.h", {"at::Tensor "}},
      {"ATen/Parallel.h", {"at::parallel_for("}},
  };
  return *headers;
}

// The headers that a file includes, itself and through headers of ours.
const std::set<std::string>& Included(const std::string& file) {
  static auto* known = new std::map<std::string, std::set<std::string>>;
  static const auto* ours = new std::set<std::string>([] {
    const std::vector<std::string> files = rules::SourceFiles();
    return std::set<std::string>(files.begin(), files.end());
  }());
  const auto [entry, is_new] = known->try_emplace(file);
  std::set<std::string>& included = entry->second;
  if (!is_new) return included;
  for (const std::string& line : rules::Lines(file)) {
    const std::string header(rules::IncludedHeader(line));
    if (header.empty() || !included.insert(header).second) continue;
    if (header == "absl/status/statusor.h") {
      included.insert("absl/status/status.h");
    }
    if (!ours->contains(header)) continue;
    const std::set<std::string>& more = Included(header);
    included.insert(more.begin(), more.end());
  }
  return included;
}

// The code of a file: without comments and without what is quoted.
std::string Code(const std::string& file) {
  std::string code;
  for (absl::string_view line : rules::Lines(file)) {
    bool quoted = false;
    for (size_t i = 0; i < line.size(); ++i) {
      if (line[i] == '\\' && quoted) {
        ++i;
      } else if (line[i] == '"') {
        quoted = !quoted;
      } else if (!quoted && absl::StartsWith(line.substr(i), "//")) {
        break;
      } else if (!quoted) {
        code += line[i];
      }
    }
    code += '\n';
  }
  return code;
}

TEST(PrecompiledTest, SourcesIncludeWhatTheyUseThemselves) {
  std::vector<std::string> forgotten;
  int uses = 0;
  for (const std::string& file : rules::SourceFiles()) {
    const std::string code = Code(file);
    for (const Header& header : Headers()) {
      for (absl::string_view name : header.names) {
        if (!absl::StrContains(code, name)) continue;
        ++uses;
        if (!Included(file).contains(std::string(header.path))) {
          forgotten.push_back(absl::StrCat(
              file, " uses ", name, " and does not include ", header.path));
          break;
        }
      }
    }
  }
  EXPECT_GT(uses, 1000);
  EXPECT_THAT(forgotten, IsEmpty());
}

TEST(PrecompiledTest, EveryPrecompiledHeaderIsLookedAfter) {
  std::set<std::string> known;
  for (const Header& header : Headers()) {
    known.insert(std::string(header.path));
  }
  std::vector<std::string> unknown;
  int seen = 0;
  for (const std::string& line : rules::Lines("cmake/Precompiled.cmake")) {
    if (absl::StartsWith(line, "#")) continue;
    for (absl::string_view word : absl::StrSplit(line, ' ')) {
      absl::ConsumeSuffix(&word, ")");
      if (!absl::ConsumePrefix(&word, "<") || !absl::ConsumeSuffix(&word, ">"))
        continue;
      ++seen;
      if (!known.contains(std::string(word))) unknown.emplace_back(word);
    }
  }
  EXPECT_GT(seen, 40);
  EXPECT_THAT(unknown, IsEmpty());
}

}  // namespace
