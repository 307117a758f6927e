// `zeroshot_client classify --vectors` and `reclassify`, and `build` of a
// folder, run in this process against a server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/little_endian.h"
#include "base/safetensors_header.h"
#include "client/cli/spec_file.h"
#include "client/convert.h"
#include "tests/client/fake_server.h"
#include "tests/client/run_cli.h"

namespace zeroshot::client {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kDim = 3;

using Result = CliResult;

// The content of an image is the class that it is; its embedding has a 1 where
// that stands in kClasses.
const std::vector<std::string> kClasses = {"cat", "dog", "cow"};

class VectorsTest : public ::testing::Test {
 protected:
  VectorsTest() : fake_(&server_) {
    folder_ = fs::path(::testing::TempDir()) /
              absl::StrCat("zeroshot-vectors-", getpid());
    fs::create_directories(folder_);
    vectors_ = folder_ / "v.safetensors";
    names_ = folder_ / "v.names.csv";
    SetModel("demo", std::string(64, 'a'));
    server_.embed_images = [this](const auto& request, auto* response) {
      ++embedded_;
      response->set_embedding_dim(kDim);
      for (const std::string& image : request.images()) {
        const auto at = std::find(kClasses.begin(), kClasses.end(), image);
        v1::ItemStatus* const status = response->add_statuses();
        for (int d = 0; d < kDim; ++d) {
          response->add_embeddings(d == at - kClasses.begin() ? 1 : 0);
        }
        if (at != kClasses.end()) continue;
        status->set_code(grpc::StatusCode::INVALID_ARGUMENT);
        status->set_message("a damaged PNG");
        *status->add_details() = ErrorDetail("IMAGE_DAMAGED");
      }
      return grpc::Status::OK;
    };
    const auto classify = server_.classify.Get();
    server_.classify = [classify](const auto& request, auto* response) {
      if (request.image() != "damaged") return classify(request, response);
      return DamagedImage();
    };
    const auto batch = server_.classify_batch.Get();
    server_.classify_batch = [this, batch](const auto& request,
                                           auto* response) {
      ++scored_;
      v1::ClassifyBatchRequest images = request;
      images.clear_embeddings();
      for (int row = 0; row < request.embeddings_size() / kDim; ++row) {
        for (int d = 0; d < kDim; ++d) {
          if (request.embeddings(row * kDim + d) == 1) {
            images.add_images(kClasses[d]);
          }
        }
      }
      return batch(images, response);
    };
  }
  ~VectorsTest() override { fs::remove_all(folder_); }

  void SetModel(const std::string& name, const std::string& fingerprint) {
    server_.get_model = [=](const auto&, auto* response) {
      response->set_name(name);
      response->set_fingerprint(fingerprint);
      response->set_embedding_dim(kDim);
      response->mutable_limits()->set_max_batch_items(2);
      return grpc::Status::OK;
    };
  }

  Result Run(std::vector<std::string> args) {
    return RunCli(std::move(args), server_.target());
  }
  Result Classify(std::vector<std::string> more = {}) {
    std::vector<std::string> args = {"classify", "--classes=cat,dog,cow",
                                     folder_ / "in",
                                     "--vectors=" + vectors_.string()};
    args.insert(args.end(), more.begin(), more.end());
    return Run(args);
  }
  Result Reclassify(std::vector<std::string> more) {
    more.insert(more.begin(), {"reclassify", "--vectors=" + vectors_.string()});
    return Run(more);
  }

  std::string File(const std::string& name, const std::string& content) {
    const fs::path path = folder_ / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  void FourImages() {
    File("in/a.png", "cat");
    File("in/b \"b\",\n.png", "dog");
    File("in/c.png", "damaged");
    File("in/d.png", "cow");
  }

  static std::string Read(const fs::path& path) {
    std::ostringstream bytes;
    bytes << std::ifstream(path, std::ios::binary).rdbuf();
    return bytes.str();
  }
  // Of each row where its 1 stands; -1: NaN.
  std::vector<int> Rows() {
    const std::string file = Read(vectors_);
    const auto size = base::LittleEndian(absl::string_view(file).substr(0, 8));
    const auto header =
        base::ParseSafetensorsHeader(absl::string_view(file).substr(8, size));
    EXPECT_TRUE(header.ok()) << header.status();
    const base::SafetensorsEntry& tensor = header->tensors.at("embeddings");
    EXPECT_EQ(file.size(), 8 + size + tensor.end);
    EXPECT_EQ(tensor.shape[1], kDim);
    std::vector<int> rows;
    for (int64_t row = 0; row < tensor.shape[0]; ++row) {
      float vector[kDim];
      std::memcpy(vector, &file[8 + size + row * sizeof(vector)],
                  sizeof(vector));
      rows.push_back(
          std::isnan(vector[0])
              ? -1
              : static_cast<int>(std::find(vector, vector + kDim, 1.0f) -
                                 vector));
    }
    return rows;
  }
  // Lines without the folder's name.
  std::string Names() {
    return absl::StrReplaceAll(Read(names_), {{folder_.string(), "DIR"}});
  }

  FakeServer server_;
  FakeClassifiers fake_;
  fs::path folder_, vectors_, names_;
  std::atomic<int> embedded_{0}, scored_{0};  // calls
};

constexpr char kFourNames[] =
    "file,error\nDIR/in/a.png,\n\"DIR/in/b \"\"b\"\",\n.png\",\n"
    "DIR/in/c.png,a damaged PNG (INVALID_ARGUMENT)\nDIR/in/d.png,\n";

TEST_F(VectorsTest, ARunKeepsARowAndANameOfEachImage) {
  FourImages();
  const Result result = Classify({"--json"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, AllOf(HasSubstr("in/a.png\",\"weight_set_id\":"),
                                HasSubstr("IMAGE_DAMAGED")));
  EXPECT_THAT(Rows(), ElementsAre(0, 1, -1, 2));
  EXPECT_EQ(Names(), kFourNames);
  EXPECT_THAT(Read(vectors_), HasSubstr("\"model_fingerprint\":\"aaaa"));
  EXPECT_EQ(embedded_, 4);
}

TEST_F(VectorsTest, ARunGoesOnWhereverTheOneBeforeWasCutOff) {
  FourImages();
  const std::string output = folder_ / "labels.csv";
  const auto run = [&] { return Classify({"--output=" + output}); };
  EXPECT_EQ(run().exit_code, 1);
  const std::string names = Read(names_), vectors = Read(vectors_),
                    lines = Read(output);
  for (size_t bytes = 0; bytes < names.size(); bytes += 3) {
    // The name is written behind its row, and the answer behind both.
    std::ofstream(names_, std::ios::binary) << names.substr(0, bytes);
    std::ofstream(vectors_, std::ios::binary)
        << vectors << std::string(100 * sizeof(float), '\0');
    std::ofstream(output, std::ios::binary)
        << lines.substr(0, std::min(bytes, lines.size()));
    run();
    // The last line that was whole may be of one more image than the other's.
    std::vector<int> rows = Rows();
    std::sort(rows.begin(), rows.end());
    ASSERT_THAT(rows, ElementsAre(-1, 0, 1, 2)) << bytes;
    const auto sorted = [](const std::string& text) {
      std::vector<std::string> all = absl::StrSplit(text, '\n');
      std::sort(all.begin(), all.end());
      return all;
    };
    ASSERT_EQ(sorted(Read(names_)), sorted(names)) << bytes;
    ASSERT_EQ(sorted(Read(output)), sorted(lines)) << bytes;
  }
  const int before = embedded_;
  EXPECT_THAT(run().err, HasSubstr("has 4 of the images already"));
  EXPECT_EQ(embedded_, before);
  EXPECT_EQ(Classify({"--overwrite"}).exit_code, 1);
  EXPECT_EQ(Names(), kFourNames);
}

TEST_F(VectorsTest, ReclassifyNeedsNoImage) {
  FourImages();
  Classify();
  fs::remove_all(folder_ / "in");
  const int embedded = embedded_;
  scored_ = 0;
  const Result lines = Reclassify({"--classes=cow,dog,cat", "--json"});
  EXPECT_EQ(lines.exit_code, 1);  // one has no vector
  EXPECT_EQ(embedded_, embedded);
  EXPECT_EQ(scored_, 2);  // of two rows each, one of them without a vector
  std::vector<std::string> best;
  for (absl::string_view line : absl::StrSplit(lines.out, '\n')) {
    const size_t at = line.find("\"class_name\":\"");
    if (at != line.npos) best.emplace_back(line.substr(at + 14, 3));
  }
  EXPECT_THAT(best, ElementsAre("cat", "dog", "cow"));
  EXPECT_THAT(lines.out, HasSubstr("it has no vector: a damaged PNG"));

  const std::string output = folder_ / "labels.csv";
  EXPECT_EQ(Reclassify({"--weight_set=id-cat-dog-cow", "--output=" + output})
                .exit_code,
            1);
  const std::string whole = Read(output);
  EXPECT_EQ(std::count(whole.begin(), whole.end(), '\n'), 6);
  std::ofstream(output, std::ios::binary) << whole.substr(0, whole.size() - 10);
  const Result again =
      Reclassify({"--weight_set=id-cat-dog-cow", "--output=" + output});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("has 3 of the images already"));
  EXPECT_EQ(Read(output), whole);
}

TEST_F(VectorsTest, VectorsOfAnotherModelAreRefusedByItsName) {
  FourImages();
  Classify();
  const std::string vectors = Read(vectors_), names = Read(names_);
  SetModel("large", std::string(64, 'b'));
  for (const Result& result :
       {Classify(), Reclassify({"--classes=cat,dog,cow"})}) {
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err,
                HasSubstr("its vectors are of model demo (aaaaaaaaaaaa), the "
                          "server has large (bbbbbbbbbbbb)"));
  }
  EXPECT_EQ(Read(vectors_), vectors);
  EXPECT_EQ(Read(names_), names);
  EXPECT_EQ(Classify({"--overwrite"}).exit_code, 1);
  EXPECT_THAT(Read(vectors_), HasSubstr("\"model_fingerprint\":\"bbbb"));
}

TEST_F(VectorsTest, FilesOfSomethingElseAreLeftAlone) {
  FourImages();
  const auto refused = [&](const std::string& why) {
    const std::string vectors = Read(vectors_), names = Read(names_);
    const Result result = Classify();
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr(why));
    EXPECT_EQ(Read(vectors_), vectors);
    EXPECT_EQ(Read(names_), names);
  };
  File("v.safetensors", "dear diary, today");
  refused("no file of vectors");
  EXPECT_THAT(Reclassify({"--classes=cat"}).err,
              HasSubstr("no file of vectors"));
  fs::remove(vectors_);
  File("v.names.csv", "file,class\na.png,cat\n");
  refused("no file of names");
  File("v.names.csv", "file,error\na.png,\n");
  fs::remove(vectors_);
  const Result fewer = Classify();
  EXPECT_EQ(fewer.exit_code, 2);
  EXPECT_THAT(fewer.err, HasSubstr("it has 1 names and there are 0 vectors"));
  vectors_ = folder_ / "v.npy";
  EXPECT_THAT(Classify().err, HasSubstr("should end in .safetensors"));
  EXPECT_THAT(Reclassify({"--classes=cat"}).err,
              HasSubstr("should end in .safetensors"));
  EXPECT_THAT(Run({"reclassify", "--classes=cat"}).err,
              HasSubstr("no vectors; say --vectors=FILE"));
}

TEST_F(VectorsTest, AServerThatComesBackWithAnotherModelEndsTheRun) {
  File("in/a.png", "cat");
  File("in/b.png", "dog");
  const auto embed = server_.embed_images.Get();
  server_.embed_images = [this, embed](const auto& request, auto* response) {
    if (request.images(0) != "dog") return embed(request, response);
    SetModel("large", std::string(64, 'b'));
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "gone");
  };
  server_.SetServing(true);
  const Result result = Classify({"--parallel=1", "--wait_for_server=20s"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("another model now, large"));
  EXPECT_THAT(Rows(), ElementsAre(0));
}

// --- examples in what build reads ---

TEST_F(VectorsTest, ASpecFileNamesItsExampleImagesFromItsFolderOn) {
  File("spec/cat/1.png", "one");
  const std::string absolute = File("2.png", "two");
  const std::string spec =
      File("spec/pets.json",
           absl::StrCat(R"({"classes": [{"name": "cat", "exampleImages": )",
                        R"(["cat/1.png", ")", absolute, R"(", "data:;base64,)",
                        absl::Base64Escape("three"),
                        R"("], "exampleWeight": 0.25}, {"name": "dog",)",
                        R"( "example_embeddings": [1, 2]}]})"));
  v1::BuildClassifierRequest sent;
  const auto build = server_.build.Get();
  server_.build = [&, build](const auto& request, auto* response) {
    sent = request;
    return build(request, response);
  };
  const Result result = Run({"build", "--spec=" + spec});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  ASSERT_EQ(sent.classes_size(), 2);
  EXPECT_THAT(sent.classes(0).example_images(),
              ElementsAre("one", "two", "three"));
  EXPECT_EQ(sent.classes(0).example_weight(), 0.25f);
  EXPECT_THAT(sent.classes(1).example_embeddings(), ElementsAre(1, 2));
  EXPECT_FALSE(sent.classes(1).has_example_weight());
  // As a client's spec, and back.
  EXPECT_EQ(ToProto(FromProto(sent)).SerializeAsString(),
            sent.SerializeAsString());

  const auto wrong = [&](const std::string& json) {
    const auto parsed = ParseSpec(json, folder_.string() + "/");
    EXPECT_TRUE(absl::IsInvalidArgument(parsed.status()));
    return std::string(parsed.status().message());
  };
  EXPECT_THAT(wrong(R"({"classes": [{"exampleImages": ["2.png", "3.png"]}]})"),
              HasSubstr("classes[0].exampleImages[1]: 3.png: No such file"));
  EXPECT_THAT(wrong(R"({"classes": [{"example_images": "2.png"}]})"),
              HasSubstr("classes[0].example_images is no list of files"));
  EXPECT_THAT(wrong(R"({"classes": [{"exampleImages": ["data:x"]}]})"),
              HasSubstr("a data URI that is no base64"));
}

TEST_F(VectorsTest, AFolderHasASubfolderForEachClass) {
  File("shots/dog/b.png", "dog b");
  File("shots/dog/a.png", "dog a");
  File("shots/cat/deep/a.png", "cat a");
  v1::BuildClassifierRequest sent;
  const auto build = server_.build.Get();
  server_.build = [&, build](const auto& request, auto* response) {
    sent = request;
    return build(request, response);
  };
  const Result result = Run({"build", folder_ / "shots", "--templates=a {}."});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  ASSERT_EQ(sent.classes_size(), 2);
  EXPECT_EQ(sent.classes(0).name(), "cat");
  EXPECT_EQ(sent.classes(1).name(), "dog");
  EXPECT_THAT(sent.classes(0).example_images(), ElementsAre("cat a"));
  EXPECT_THAT(sent.classes(1).example_images(), ElementsAre("dog a", "dog b"));
  EXPECT_THAT(sent.templates(), ElementsAre("a {}."));
  EXPECT_THAT(Run({"build", folder_ / "shots", "--classes=a,b"}).err,
              HasSubstr("only one names the classes"));
  EXPECT_THAT(Run({"build", folder_ / "shots/dog"}).err,
              HasSubstr("an image of no class"));
  EXPECT_THAT(Run({"build", folder_ / "none"}).err, HasSubstr("no folder"));
}

}  // namespace
}  // namespace zeroshot::client
