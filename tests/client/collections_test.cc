// `zeroshot_client classify` on folders, lists and archives, and its file of
// answers, run in this process against a server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "tests/client/fake_server.h"
#include "tests/client/run_cli.h"

namespace zeroshot::client {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAreArray;

using Result = CliResult;

// The content of an image is the class that it is.
class CollectionsTest : public ::testing::Test {
 protected:
  CollectionsTest() : fake_(&server_) {
    folder_ = fs::path(::testing::TempDir()) /
              absl::StrCat("zeroshot-collections-", getpid());
    fs::create_directories(folder_);
    const auto classify = server_.classify.Get();
    server_.classify = [classify](const auto& request, auto* response) {
      if (request.image() != "damaged") return classify(request, response);
      return DamagedImage();
    };
  }
  ~CollectionsTest() override { fs::remove_all(folder_); }

  Result Run(std::vector<std::string> args, const std::string& in = "") {
    args.insert(args.begin(), {"classify", "--classes=cat,dog"});
    return RunCli(std::move(args), server_.target(), in);
  }

  std::string File(const std::string& name, const std::string& content) {
    const fs::path path = folder_ / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  static std::string Read(const std::string& path) {
    std::ostringstream bytes;
    bytes << std::ifstream(path, std::ios::binary).rdbuf();
    return bytes.str();
  }

  // The names that were answered, without the test's folder.
  std::vector<std::string> Names(const Result& result) {
    std::vector<std::string> names;
    for (absl::string_view line : absl::StrSplit(result.out, '\n')) {
      if (line.empty()) continue;
      const size_t begin =
          line.find(folder_.string()) + folder_.string().size();
      names.emplace_back(
          line.substr(begin + 1, line.find('"', begin) - begin - 1));
    }
    return names;
  }

  std::string InFolder(const std::string& text) {
    return absl::StrReplaceAll(text, {{"DIR", folder_.string()}});
  }

  FakeServer server_;
  FakeClassifiers fake_;
  fs::path folder_;
};

TEST_F(CollectionsTest, AFolderIsItsImagesInTheOrderOfTheirNames) {
  for (const char* name : {"b.PNG", "a.jpg", "c.webp", "notes.txt", ".a.jpg",
                           "sub/d.gif", "sub/deep/e.bmp", "sub.jpg/f.png"}) {
    File(name, "cat");
  }
  fs::create_directory_symlink(folder_, folder_ / "sub/circle");
  fs::create_symlink(folder_ / "a.jpg", folder_ / "link.jpg");
  const Result flat = Run({"--json", folder_});
  EXPECT_EQ(flat.exit_code, 0) << flat.err;
  EXPECT_THAT(Names(flat), ElementsAre("a.jpg", "b.PNG", "c.webp", "link.jpg"));
  const Result all =
      Run({"--json", "--recursive", folder_.string() + "/", folder_ / "a.jpg"});
  EXPECT_EQ(all.exit_code, 0) << all.err;
  EXPECT_THAT(Names(all),
              ElementsAre("a.jpg", "b.PNG", "c.webp", "link.jpg", "sub/d.gif",
                          "sub/deep/e.bmp", "sub.jpg/f.png", "a.jpg"));
}

TEST_F(CollectionsTest, AFolderWithoutImagesIsAnError) {
  File("notes.txt", "cat");
  const Result result = Run({folder_});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("--recursive looks into subfolders"));
  fs::create_directories(folder_ / "sub");
  const Result recursive = Run({folder_, "--recursive"});
  EXPECT_EQ(recursive.exit_code, 1);
  EXPECT_THAT(recursive.err,
              HasSubstr("no file there has the name of an image"));
}

TEST_F(CollectionsTest, AListHasLinesOrNames) {
  const std::string a = File("a", "cat"), b = File("b\nb", "dog"),
                    c = File("c", "cat");
  const std::string zero(1, '\0');
  const Result nul =
      Run({"--json", "--files_from=-"}, absl::StrCat(a, zero, b, zero, c));
  EXPECT_EQ(nul.exit_code, 0) << nul.err;
  EXPECT_THAT(Names(nul), ElementsAre("a", "b\\u000ab", "c"));
  // Of Windows, with a mark and without a last line's end.
  const std::string list =
      File("list", absl::StrCat("\xef\xbb\xbf", a, "\r\n\r\n", c));
  EXPECT_THAT(Names(Run({"--json", absl::StrCat("--files_from=", list)})),
              ElementsAre("a", "c"));
  // A list of folders, longer than what is read at once.
  std::string folders;
  for (int i = 0; i < 3'000; ++i) absl::StrAppend(&folders, a, "\n");
  File("images/x.png", "dog");
  absl::StrAppend(&folders, folder_.string(), "/images\n");
  const Result many = Run({"--json", "--files_from=-"}, folders);
  EXPECT_EQ(many.exit_code, 0) << many.err;
  EXPECT_EQ(Names(many).size(), 3'001);
  EXPECT_EQ(Names(many).back(), "images/x.png");

  EXPECT_EQ(Run({"--files_from=-", "-"}).exit_code, 2);
  EXPECT_EQ(Run({"--files_from=/no/such/list"}).exit_code, 2);
}

TEST_F(CollectionsTest, AnArchiveIsTheImagesInIt) {
  File("shard/1.jpg", "cat");
  File("shard/1.cls", "0");
  File("shard/2.png", "dog");
  File("shard/3.png", "damaged");
  for (const char* archive : {"x.tar", "x.tar.gz"}) {
    SCOPED_TRACE(archive);
    ASSERT_EQ(std::system(absl::StrCat("tar -C ", folder_.string(), " -caf ",
                                       (folder_ / archive).string(),
                                       " shard/1.jpg shard/1.cls shard/2.png "
                                       "shard/3.png")
                              .c_str()),
              0);
    const Result result =
        Run({"--json", folder_ / archive, folder_ / "shard/1.jpg"});
    EXPECT_EQ(result.exit_code, 1);
    const std::string name = archive;
    EXPECT_THAT(Names(result),
                ElementsAre(name + "/shard/1.jpg", name + "/shard/2.png",
                            name + "/shard/3.png", "shard/1.jpg"));
    EXPECT_THAT(result.out, HasSubstr("IMAGE_DAMAGED"));
  }
  // What is cut off is said, and the others go on.
  const std::string whole = Read(folder_ / "x.tar");
  const std::string cut = File("cut.tar", whole.substr(0, 512 + 2));
  const std::string none = File("none.tar", "<html>");
  const Result result = Run({cut, none, folder_ / "shard/1.jpg"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, HasSubstr("1.jpg"));
  EXPECT_THAT(result.err, AllOf(HasSubstr("cut.tar: no archive"),
                                HasSubstr("none.tar: no archive"),
                                HasSubstr("1 of 3 answered")));
}

TEST_F(CollectionsTest, TheFileOfAnswersHasALineAnImage) {
  File("a.png", "cat");
  File("b, \"b\"\n.png", "dog");
  File("c.png", "damaged");
  const std::string output = folder_ / "labels.csv";
  const Result result = Run({folder_, "--top_k=2", "--output=" + output});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, AllOf(HasSubstr("c.png: a damaged PNG"),
                                HasSubstr("2 of 3 answered, 1 failed, 0 not "
                                          "tried; failed: IMAGE_DAMAGED 1")));
  EXPECT_EQ(Read(output),
            InFolder("file,class,probability,accepted,class_2,probability_2,"
                     "other_probability,weight_set_id,error\n"
                     "DIR/a.png,cat,0.75,true,dog,0.25,0,id-cat-dog,\n"
                     "\"DIR/b, \"\"b\"\"\n.png\",dog,0.75,true,cat,0.25,0,"
                     "id-cat-dog,\n"
                     "DIR/c.png,,,,,,,,a damaged PNG (INVALID_ARGUMENT)\n"));
  const std::string lines = folder_ / "labels.jsonl";
  Run({folder_, "--output=" + lines});
  EXPECT_THAT(
      Read(lines),
      AllOf(testing::StartsWith(InFolder("{\"file\":\"DIR/a.png\",\"weight_")),
            EndsWith(InFolder("{\"file\":\"DIR/c.png\",\"error\":{\"code\":"
                              "\"INVALID_ARGUMENT\",\"reason\":\"IMAGE_"
                              "DAMAGED\",\"message\":\"a damaged PNG\"}}\n"))));
}

std::vector<std::string> Sorted(const std::string& text) {
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  std::sort(lines.begin(), lines.end());
  return lines;
}

TEST_F(CollectionsTest, ARunGoesOnWhereverTheOneBeforeWasCutOff) {
  File("a.png", "cat");
  File("b \"b\",\n.png", "dog");
  File("c.png", "damaged");
  File("d.png", "dog");
  for (const char* name : {"labels.csv", "labels.jsonl"}) {
    const std::string output = folder_ / name;
    const auto run = [&] { return Run({folder_, "--output=" + output}); };
    EXPECT_EQ(run().exit_code, 1);
    const std::string whole = Read(output);
    const auto without_times = [](std::string text) {
      // The answers' times differ.
      for (size_t at;
           (at = text.find(",\"timing_ms\"")) != std::string::npos;) {
        text.erase(at, text.find('}', at) + 1 - at);
      }
      return Sorted(text);
    };
    for (size_t bytes = 0; bytes < whole.size(); bytes += 3) {
      std::ofstream(output, std::ios::binary) << whole.substr(0, bytes);
      run();
      ASSERT_EQ(without_times(Read(output)), without_times(whole))
          << name << " cut off after " << bytes;
    }
    std::ofstream(output, std::ios::binary) << whole;
    const Result nothing = run();
    EXPECT_EQ(nothing.exit_code, 0) << nothing.err;
    EXPECT_THAT(nothing.err, HasSubstr("has 4 of the images already"));
    EXPECT_EQ(Read(output), whole);
    EXPECT_EQ(Run({folder_, "--output=" + output, "--overwrite"}).exit_code, 1);
    EXPECT_EQ(Read(output).size(), whole.size());
    fs::remove(output);
  }
}

TEST_F(CollectionsTest, AFileOfSomethingElseIsLeftAlone) {
  const std::string image = File("a.png", "cat");
  const std::string csv = folder_ / "labels.csv",
                    lines = folder_ / "labels.jsonl";
  ASSERT_EQ(Run({image, "--output=" + csv}).exit_code, 0);
  ASSERT_EQ(Run({image, "--output=" + lines}).exit_code, 0);
  const auto refused = [&](const std::string& path, const std::string& flag,
                           const std::string& why) {
    const std::string before = Read(path);
    const Result result = Run({image, flag, "--output=" + path});
    EXPECT_EQ(result.exit_code, 2) << path;
    EXPECT_THAT(result.err, HasSubstr(why));
    EXPECT_EQ(Read(path), before);
  };
  refused(csv, "--top_k=1", "as --top_k=1 does");
  const std::string words = File("words.csv", "dear diary, today");
  refused(words, "--top_k=1", "no file of answers");
  refused(File("words.jsonl", "{\"a\": 1}\n"), "--top_k=1",
          "none of `classify");
  refused(File("words.txt", "x"), "--top_k=1", ".csv or .jsonl");
  // Of another weight set.
  for (const std::string& path : {csv, lines}) {
    const std::string before = Read(path);
    const std::string of_another =
        absl::StrReplaceAll(before, {{"id-cat-dog", "id-cat-cow"}});
    std::ofstream(path, std::ios::binary) << of_another;
    refused(path, "--parallel=1", "answers of weight set id-cat-cow");
  }
  EXPECT_EQ(Run({image, "--output=/no/such/labels.csv"}).exit_code, 2);
  fs::create_symlink("/dev/full", folder_ / "full.csv");
  EXPECT_THAT(Run({image, "--output=" + (folder_ / "full.csv").string()}).err,
              HasSubstr("not a regular file"));
  EXPECT_EQ(Run({image, "--overwrite"}).exit_code, 2);
}

TEST_F(CollectionsTest, TwoRunsDoNotWriteOneFile) {
  const std::string image = File("a.png", "cat");
  const std::string output = File("labels.csv", "");
  const int file = open(output.c_str(), O_RDWR);
  ASSERT_EQ(flock(file, LOCK_EX), 0);
  EXPECT_THAT(Run({image, "--output=" + output}).err,
              HasSubstr("another run writes to it"));
  close(file);
  EXPECT_EQ(Run({image, "--output=" + output}).exit_code, 0);
}

TEST_F(CollectionsTest, WhatTheServerCouldNotDoHasNoLine) {
  File("a.png", "cat");
  File("b.png", "full");
  const std::string output = folder_ / "labels.csv";
  const auto classify = server_.classify.Get();
  server_.classify = [classify](const auto& request, auto* response) {
    if (request.image() != "full") return classify(request, response);
    return grpc::Status(grpc::StatusCode::INTERNAL, "the device has broken");
  };
  const Result broken = Run({folder_, "--output=" + output});
  EXPECT_EQ(broken.exit_code, 1);
  EXPECT_THAT(broken.err, HasSubstr("b.png: the device has broken"));
  EXPECT_EQ(Sorted(Read(output)).size(), 3);  // header, a.png, behind the end
  server_.classify = classify;
  File("b.png", "dog");
  EXPECT_EQ(Run({folder_, "--output=" + output}).exit_code, 0);
  EXPECT_THAT(Read(output),
              EndsWith("b.png,dog,0.75,true,cat,0.25,,,,,,,0,id-cat-dog,\n"));
}

TEST_F(CollectionsTest, AFullDiskEndsTheRunAndTheNextOneGoesOn) {
  for (int i = 0; i < 100; ++i) File(absl::StrCat("images/", i, ".png"), "cat");
  const std::string output = folder_ / "labels.csv";
  const std::vector<std::string> args = {folder_ / "images", "--top_k=1",
                                         "--output=" + output};
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small = {1'000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Result full = Run(args);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.err, AllOf(HasSubstr("stopped because: --output="),
                              HasSubstr("File too large")));
  EXPECT_LE(Read(output).size(), 1'000);
  const Result rest = Run(args);
  EXPECT_EQ(rest.exit_code, 0) << rest.err;
  EXPECT_EQ(Sorted(Read(output)).size(), 102);
}

TEST_F(CollectionsTest, ANameThatIsNotUtf8HasALineInCsvOnly) {
  File("a\xff.png", "cat");
  const std::string csv = folder_ / "labels.csv";
  EXPECT_EQ(Run({folder_, "--output=" + csv}).exit_code, 0);
  EXPECT_THAT(Read(csv), HasSubstr("/a\xff.png,cat"));
  const Result result =
      Run({folder_, "--output=" + (folder_ / "labels.jsonl").string()});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("the name is not UTF-8"));
}

}  // namespace
}  // namespace zeroshot::client
