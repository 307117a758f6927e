// deploy/monitoring asks for metrics that exist.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace {

using ::testing::IsSubsetOf;

std::string Read(const std::string& path) {
  std::ifstream file(absl::StrCat(ZEROSHOT_SOURCE_DIR, "/", path));
  return {std::istreambuf_iterator<char>(file), {}};
}

std::set<std::string> NamesIn(const std::string& text,
                              const std::string& before) {
  std::set<std::string> names;
  const std::regex pattern(before + "((?:zeroshot|process)_[a-z_]+)");
  for (std::sregex_iterator it(text.begin(), text.end(), pattern), end;
       it != end; ++it) {
    absl::string_view name(it->position(1) + text.data(), it->length(1));
    for (const char* suffix : {"_bucket", "_sum", "_count"}) {
      absl::ConsumeSuffix(&name, suffix);
    }
    names.insert(std::string(name));
  }
  return names;
}

// (That the documentation names exactly what is exported: MetricsTest.)
TEST(MonitoringTest, AsksForDocumentedMetricsOnly) {
  const auto known = NamesIn(Read("docs/metrics.md"), "\\| `");
  for (const char* file :
       {"deploy/monitoring/alerts.yml", "deploy/monitoring/dashboard.json"}) {
    const auto asked = NamesIn(Read(file), "");
    EXPECT_GT(asked.size(), 5) << file;
    EXPECT_THAT(asked, IsSubsetOf(known)) << file;
  }
}

TEST(MonitoringTest, RulesAreWhatPrometheusUnderstands) {
  if (std::system("promtool --version >/dev/null 2>&1") != 0) {
    GTEST_SKIP() << "no promtool here";
  }
  EXPECT_EQ(std::system("promtool check rules " ZEROSHOT_SOURCE_DIR
                        "/deploy/monitoring/alerts.yml"),
            0);
}

}  // namespace
