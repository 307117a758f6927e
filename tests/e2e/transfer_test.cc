// Weight sets as files, with the real programs: out of a server, into one, and
// from Python (tools/golden/weight_sets.py), where OpenAI's notebook made them
// for the demo model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/client.h"
#include "tests/e2e/programs.h"
#include "tests/testing/temporary_folder.h"

namespace e2e {
namespace {

using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;
using ::testing::StartsWith;

const char kGolden[] = ZEROSHOT_SOURCE_DIR "/tests/testdata/golden/weight_sets";

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

class TransferEndToEndTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    server_ = new DemoServer({"--precision=fp32"});
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }

  void SetUp() override {
    ASSERT_NE(server_->address(), "") << server_->process().Errors();
    client_ = *zeroshot::Client::Connect(server_->address());
  }

  // Runs the client; its standard output without the line's end.
  static std::string Ask(std::vector<std::string> arguments, int exit = 0) {
    arguments.insert(arguments.begin(), kClient);
    arguments.push_back(absl::StrCat("--target=", server_->address()));
    const Ran ran = RunToEnd(arguments);
    EXPECT_EQ(ran.exit, exit) << ran.errors;
    return std::string(
        absl::StripAsciiWhitespace(exit == 0 ? ran.output : ran.errors));
  }

  static std::string BuildAsTheNotebook() {
    return Ask({"build",
                absl::StrCat("--classes_file=", kGolden, "/classes.txt"),
                absl::StrCat("--templates_file=", kGolden, "/templates.txt")});
  }

  std::vector<float> Probabilities(const std::string& image,
                                   const std::string& id) {
    const auto answer =
        client_->Classify(ReadFile(absl::StrCat(kModel, "/images/", image)), id,
                          {.return_probabilities = true});
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? answer->probabilities : std::vector<float>();
  }

  static DemoServer* server_;
  std::unique_ptr<zeroshot::Client> client_;
  const testing::TemporaryFolder folder_;
};

DemoServer* TransferEndToEndTest::server_ = nullptr;

TEST_F(TransferEndToEndTest, ANotebooksSetGivesTheNotebooksProbabilities) {
  const std::string from_npy =
      Ask({"import", absl::StrCat(kGolden, "/notebook.npy"),
           absl::StrCat("--classes_file=", kGolden, "/classes.txt")});
  EXPECT_THAT(from_npy, StartsWith("imported-"));
  EXPECT_EQ(Ask({"import", absl::StrCat(kGolden, "/notebook.safetensors")}),
            from_npy);
  const std::string built = BuildAsTheNotebook();
  int images = 0;
  for (absl::string_view line :
       absl::StrSplit(ReadFile(absl::StrCat(kGolden, "/probabilities.tsv")),
                      '\n', absl::SkipEmpty())) {
    if (line[0] == '#') continue;
    const std::vector<std::string> fields = absl::StrSplit(line, '\t');
    const std::vector<float> imported = Probabilities(fields[0], from_npy);
    const std::vector<float> ours = Probabilities(fields[0], built);
    ASSERT_EQ(imported.size(), fields.size() - 1);
    ASSERT_EQ(ours.size(), imported.size());
    for (size_t c = 0; c < imported.size(); ++c) {
      float expected = 0;
      ASSERT_TRUE(absl::SimpleAtof(fields[c + 1], &expected));
      EXPECT_NEAR(imported[c], expected, 1e-4) << fields[0] << ", class " << c;
      EXPECT_NEAR(ours[c], imported[c], 1e-4) << fields[0] << ", class " << c;
    }
    ++images;
  }
  EXPECT_GE(images, 12);
}

TEST_F(TransferEndToEndTest, ASetGoesOutAndInAgain) {
  const std::string built = BuildAsTheNotebook();
  const std::string safetensors = folder_.path() + "/set.safetensors";
  const std::string npy = folder_.path() + "/set.npy";
  const std::string names = folder_.path() + "/names.txt";
  Ask({"export", built, safetensors});
  Ask({"export", built, npy, "--layout=columns",
       absl::StrCat("--names=", names)});
  EXPECT_EQ(ReadFile(names), ReadFile(absl::StrCat(kGolden, "/classes.txt")));
  EXPECT_THAT(ReadFile(npy), HasSubstr("(128, 6)"));
  const std::string imported = Ask({"import", safetensors});
  EXPECT_EQ(Ask({"import", npy, absl::StrCat("--classes_file=", names)}),
            imported);
  // Not to the bit: how many threads share a sum depends on what else the
  // machine does.
  EXPECT_THAT(Probabilities("frog.png", imported),
              Pointwise(FloatNear(1e-5f), Probabilities("frog.png", built)));
  EXPECT_THAT(Ask({"show", imported}), HasSubstr("sailboat"));
  Ask({"delete", imported});
  EXPECT_THAT(Ask({"classify", absl::StrCat("--weight_set=", imported),
                   absl::StrCat(kModel, "/images/frog.png")},
                  /*exit=*/1),
              HasSubstr("it was imported and cannot be built again"));
}

TEST_F(TransferEndToEndTest, WhatCannotBeReadOrWrittenIsSaid) {
  EXPECT_THAT(Ask({"import", absl::StrCat(kGolden, "/npy/v1_f4_C.npy"),
                   "--classes=a,b,c"},
                  /*exit=*/1),
              HasSubstr("need [3, 128] or [128, 3]"));
  EXPECT_THAT(Ask({"import", "/no/such/file.npy"}, /*exit=*/1),
              HasSubstr("No such file"));
  const std::string built = BuildAsTheNotebook();
  EXPECT_THAT(Ask({"export", built, "/no/such/folder/set.npy"}, /*exit=*/1),
              HasSubstr("cannot be written"));
  EXPECT_THAT(Ask({"export", built, "set.txt"}, /*exit=*/2),
              HasSubstr(".safetensors or .npy"));
}

}  // namespace
}  // namespace e2e
