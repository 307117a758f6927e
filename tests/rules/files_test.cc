// Rules over the project's files that no compiler holds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "tests/rules/source_tree.h"

namespace {

using ::testing::IsEmpty;

// A clone builds anywhere: no path of one machine, and packages come from
// wherever the machine's own package tools are set to.
TEST(FilesTest, NameNoMachineAndNoRegistry) {
  // Written in pieces, because this file is read as well.
  const std::vector<std::string> words = {
      absl::StrCat("/ro", "ot/"),        absl::StrCat("/wo", "rk/"),
      absl::StrCat("/ho", "me/"),        absl::StrCat("pypi", ".org"),
      absl::StrCat("python", "hosted."), absl::StrCat("deb.deb", "ian."),
      absl::StrCat("--index", "-url")};
  const std::vector<std::string> files = rules::ProjectFiles();
  EXPECT_GT(files.size(), 100);
  std::vector<std::string> found;
  for (const std::string& file : files) {
    // Text that others wrote: file formats and data with their own licences.
    if (absl::StartsWith(file, "data/") ||
        absl::EndsWith(file, ".safetensors")) {
      continue;
    }
    for (const std::string& line : rules::Lines(file)) {
      for (const std::string& word : words) {
        if (absl::StrContains(line, word)) {
          found.push_back(absl::StrCat(file, ": ", word));
        }
      }
    }
  }
  EXPECT_THAT(found, IsEmpty());
}

TEST(FilesTest, EveryElementOfTheWireContractIsCommented) {
  const std::regex element(
      R"(^\s*(service|rpc|message|enum|oneof) \w+.*|^\s+((repeated|optional) )?[\w.]+ \w+ = \d+;)");
  std::vector<std::string> bare;
  int seen = 0;
  std::string above;
  for (const char* const contract : {"proto/zeroshot/v1/zeroshot.proto",
                                     "proto/inference/inference.proto"}) {
    for (const std::string& line : rules::Lines(contract)) {
      if (std::regex_search(line, element)) {
        ++seen;
        if (!absl::StartsWith(absl::StripLeadingAsciiWhitespace(above), "//")) {
          bare.push_back(line);
        }
      }
      above = line;
    }
  }
  EXPECT_GT(seen, 80);
  EXPECT_THAT(bare, IsEmpty());
}

}  // namespace
