// The main job, with the real programs over TCP: build a classifier, classify
// images. One server for all tests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/e2e/programs.h"

namespace e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class ClassifyEndToEndTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = new DemoServer; }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }

  void SetUp() override {
    ASSERT_NE(server_->address(), "") << server_->process().Errors();
  }

  static Ran Ask(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), kClient);
    arguments.push_back(absl::StrCat("--target=", server_->address()));
    return RunToEnd(arguments);
  }

  static std::string Build(DemoServer& server) {
    const Ran ran = RunToEnd({kClient, "build", "--classes=cat,dog,apple",
                              absl::StrCat("--target=", server.address())});
    EXPECT_EQ(ran.exit, 0) << ran.errors;
    return ran.output;
  }

  static DemoServer* server_;
};

DemoServer* ClassifyEndToEndTest::server_ = nullptr;

TEST_F(ClassifyEndToEndTest, RecognisesTheDemoImages) {
  std::vector<std::string> command = {
      "classify", "--json", "--top_k=1",
      absl::StrCat("--classes_file=", kModel, "/classes.txt")};
  for (const char* text : {"a photo of a {}.", "a drawing of a {}.",
                           "an emoji of a {}.", "a picture of a {}.", "{}"}) {
    command.push_back(absl::StrCat("--templates=", text));
  }
  int images = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(absl::StrCat(kModel, "/images"))) {
    command.push_back(entry.path().string());
    ++images;
  }
  const Ran ran = Ask(command);
  ASSERT_EQ(ran.exit, 0) << ran.errors;
  int answers = 0, right = 0;
  for (absl::string_view line :
       absl::StrSplit(ran.output, '\n', absl::SkipEmpty())) {
    // {"file":".../apple.png", ... "predictions":[{... "class_name":"apple"
    const std::vector<std::string> parts = absl::StrSplit(line, '"');
    const std::string shown = std::filesystem::path(parts[3]).stem();
    ++answers;
    right +=
        absl::StrContains(line, absl::StrCat("\"class_name\":\"", shown, "\""));
  }
  EXPECT_EQ(answers, images);
  EXPECT_GE(images, 12);
  // The model's bar; guessing among 20 classes gives 0 or 1.
  EXPECT_GE(right, 10) << ran.output;
}

TEST_F(ClassifyEndToEndTest, IdIsTheSameOnEveryServer) {
  DemoServer other;
  ASSERT_NE(other.address(), "") << other.process().Errors();
  const std::string id = Build(*server_);
  EXPECT_EQ(id.size(), 65) << id;  // and a newline
  EXPECT_EQ(Build(other), id);
}

TEST_F(ClassifyEndToEndTest, KnownImagesAndSeveralSetsCostNoSecondPass) {
  DemoServer server(
      {"--metrics_listen=127.0.0.1:0", "--image_cache_bytes=1000000"});
  ASSERT_NE(server.address(), "") << server.process().Errors();
  std::vector<std::string> command = {
      kClient, "classify", "--json", absl::StrCat(kModel, "/images/frog.png"),
      absl::StrCat("--target=", server.address())};
  for (const char* classes : {"frog,car", "animal,machine", "green,red"}) {
    std::string id =
        RunToEnd({kClient, "build", absl::StrCat("--classes=", classes),
                  absl::StrCat("--target=", server.address())})
            .output;
    absl::StripTrailingAsciiWhitespace(&id);
    command.push_back(absl::StrCat("--weight_set=", id));
  }
  const Ran first = RunToEnd(command);
  EXPECT_EQ(first.exit, 0) << first.errors;
  EXPECT_THAT(first.output, HasSubstr("\"embedding_cached\":false"));
  EXPECT_THAT(first.output, HasSubstr("\"class_name\":\"frog\""));
  EXPECT_THAT(first.output, HasSubstr("\"class_name\":\"animal\""));
  EXPECT_THAT(first.output, HasSubstr("\"class_name\":\"green\""));
  const Ran again = RunToEnd(command);
  EXPECT_THAT(again.output, HasSubstr("\"embedding_cached\":true"));
  EXPECT_THAT(again.output, HasSubstr("\"compute\":0,"));
  const auto answers = [](const std::string& line) {
    return line.substr(0, line.find("\"timing_ms\""));
  };
  EXPECT_EQ(answers(again.output), answers(first.output));
}

TEST_F(ClassifyEndToEndTest, ServerIsHealthyAndSaysWhatItServes) {
  EXPECT_EQ(Ask({"health"}).exit, 0);
  const Ran model = Ask({"model"});
  EXPECT_EQ(model.exit, 0) << model.errors;
  EXPECT_THAT(model.output, HasSubstr("demo"));
  EXPECT_THAT(server_->process().WaitForLine(" serving "),
              MatchesRegex(".* info zeroshot [0-9.]+ serving demo "
                           "\\(.+, [0-9]+-d\\) on cpu x [0-9]+ [a-z0-9]+ at "
                           "127\\.0\\.0\\.1:[0-9]+; loaded and warmed up in "
                           "[0-9.]+ s"));
}

TEST_F(ClassifyEndToEndTest, FileThatIsNoImageFailsTheClient) {
  const Ran ran = Ask(
      {"classify", "--classes=cat,dog", absl::StrCat(kModel, "/classes.txt")});
  EXPECT_EQ(ran.exit, 1);
  EXPECT_THAT(ran.errors, HasSubstr("not a JPEG, PNG"));
  EXPECT_THAT(server_->process().WaitForLine("INVALID_ARGUMENT"),
              HasSubstr("info Classify from ipv4:127.0.0.1:"));
}

}  // namespace
}  // namespace e2e
