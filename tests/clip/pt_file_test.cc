#include "clip/checkpoint/pt_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/pickles.h"
#include "tests/testing/zip.h"

namespace clip {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;
using ::testing::Pair;

using testing_files::Zip;

using testing_files::Dict;
using testing_files::Int;
using testing_files::Module;
using testing_files::Tensor;
using testing_files::Text;

std::string Pt(const std::string& value,
               const std::string& storage = std::string(
                   "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 16)) {
  return Zip({{"archive/data.pkl", "\x80\2" + value + "."},
              {"archive/data/0", storage}});
}

absl::StatusOr<TensorFile> Parse(const std::string& file) {
  return ParsePtFile(absl::MakeConstSpan(
      reinterpret_cast<const uint8_t*>(file.data()), file.size()));
}

std::string Error(const std::string& file) {
  const auto parsed = Parse(file);
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(parsed.status().message());
}

TEST(PtFileTest, ReadsAStateDict) {
  // An OrderedDict with Python's _metadata as its state, which is passed over.
  const std::string pickle = "ccollections\nOrderedDict\n)R(" + Text("w") +
                             Tensor("0", 1, {3}, {1}) + Text("epoch") + Int(7) +
                             "u}" + Text("_metadata") + "}sb";
  const std::string file = Pt(pickle);
  const auto parsed = Parse(file);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  ASSERT_EQ(parsed->tensors.size(), 1);
  const TensorView& w = parsed->tensors.at("w");
  EXPECT_EQ(w.dtype, DType::kFloat32);
  EXPECT_THAT(w.shape, ElementsAre(3));
  EXPECT_EQ(w.bytes.size(), 12);
  EXPECT_EQ(w.bytes[0], 4);
}

TEST(PtFileTest, ReadsTheModulesOfATorchScriptArchive) {
  const std::string file = Pt(Module(
      "CLIP",
      Dict({{"training", "\x89"},
            {"scale", Tensor("0", 0, {}, {})},
            {"visual", Module("Visual", Dict({{"proj", Tensor("0", 0, {2, 2},
                                                              {2, 1})}}))}})));
  const auto parsed = Parse(file);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  ASSERT_EQ(parsed->tensors.size(), 2);
  EXPECT_TRUE(parsed->tensors.contains("scale"));
  EXPECT_THAT(parsed->tensors.at("visual.proj").shape, ElementsAre(2, 2));
}

TEST(PtFileTest, SeesThroughTrainingCheckpointsAndParameters) {
  const std::string parameter = "ctorch._utils\n_rebuild_parameter\n(" +
                                Tensor("0", 0, {4}, {1}) + "\x88}tR";
  const std::string state = Dict({{"a.b", parameter}});
  for (const std::string& wrapped :
       {Dict({{"epoch", Int(3)}, {"state_dict", state}}),
        Dict({{"epoch", Int(3)}, {"model_state_dict", state}}),
        Dict({{"model", state}, {"optimizer", Dict({})}}),
        Dict({{"model", Dict({{"state_dict", state}})}})}) {
    const std::string file = Pt(wrapped);
    const auto parsed = Parse(file);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_TRUE(parsed->tensors.contains("a.b"));
  }
}

TEST(PtFileTest, TellsWhoWroteTheFileAndWhatItSaysOfTheActivation) {
  const std::string state = Dict({{"w", Tensor("0", 0, {4}, {1})}});
  const auto read = [](const std::string& value) {
    const std::string file = Pt(value);  // the tensors point into it
    const auto parsed = Parse(file);
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    return std::pair(parsed->writer, parsed->quick_gelu);
  };
  EXPECT_THAT(read(state), Pair(Writer::kUnknown, std::nullopt));
  EXPECT_THAT(read(Dict({{"model_state_dict", state}})),
              Pair(Writer::kUnknown, std::nullopt));
  EXPECT_THAT(read(Dict({{"state_dict", state},
                         {"pytorch-lightning_version", Text("2.4.0")}})),
              Pair(Writer::kUnknown, std::nullopt));
  EXPECT_THAT(read(Module("CLIP", state)), Pair(Writer::kOpenAi, std::nullopt));
  const auto training = [&](const std::string& key, const std::string& value) {
    return read(Dict({{"epoch", Int(3)}, {"state_dict", state}, {key, value}}));
  };
  EXPECT_THAT(training("name", Text("2024-model_ViT-B-32-lr_0.1")),
              Pair(Writer::kOpenClip, std::nullopt));
  EXPECT_THAT(training("name", Text("2024-model_ViT-B-32-quickgelu-lr_0.1")),
              Pair(Writer::kOpenClip, Optional(true)));
  EXPECT_THAT(training("args", Dict({{"force_quick_gelu", "\x88"}})),
              Pair(Writer::kOpenClip, Optional(true)));
  // Says nothing of a model whose own configuration has it.
  EXPECT_THAT(training("args", Dict({{"force_quick_gelu", "\x89"}})),
              Pair(Writer::kOpenClip, std::nullopt));
  EXPECT_THAT(training("model_cfg", Dict({{"quick_gelu", "\x89"}})),
              Pair(Writer::kOpenClip, Optional(false)));
}

TEST(PtFileTest, PutsAStridedTensorInRowMajorOrder) {
  const std::string file = Pt(Dict({{"t", Tensor("0", 0, {2, 2}, {1, 2})}}));
  const auto parsed = Parse(file);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_THAT(
      parsed->tensors.at("t").bytes,
      ElementsAre(0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15));
}

TEST(PtFileTest, RefusesATensorOutsideItsStorage) {
  for (const std::string& tensor :
       {Tensor("0", 0, {5}, {1}), Tensor("0", 4, {1}, {1}),
        Tensor("0", -1, {1}, {1}), Tensor("0", 0, {2, 2}, {4, 1}),
        Tensor("0", 0, {2}, {-1}), Tensor("0", 0, {1000}, {0})}) {
    EXPECT_THAT(Error(Pt(Dict({{"the.name", tensor}}))),
                HasSubstr("tensor 'the.name': float32"));
  }
}

TEST(PtFileTest, RefusesMalformedTensors) {
  const auto error = [](const std::string& tensor) {
    return Error(Pt(Dict({{"t", tensor}})));
  };
  EXPECT_THAT(error(Tensor("9", 0, {1}, {1})),
              HasSubstr("tensor 't': the archive lacks record 'data/9'"));
  EXPECT_THAT(error(Tensor("0", 0, {1}, {1}, "QInt8Storage")),
              HasSubstr("unsupported storage 'torch.QInt8Storage'"));
  EXPECT_THAT(error(Tensor("0", 0, {1}, {1, 1})),
              HasSubstr("malformed shape or strides"));
  const int huge = 2147483647;
  EXPECT_THAT(error(Tensor("0", 0, {huge, huge, huge}, {1, 1, 1})),
              HasSubstr("malformed shape or strides"));
  EXPECT_THAT(error(Tensor("0", 0, {-1}, {1})),
              HasSubstr("malformed shape or strides"));
  EXPECT_THAT(error("ctorch._utils\n_rebuild_tensor_v2\n)R"),
              HasSubstr("malformed description"));
}

TEST(PtFileTest, SaysWhatItFoundInsteadOfACheckpoint) {
  EXPECT_THAT(Error("\x80\2}."), HasSubstr("not a zip archive"));
  EXPECT_THAT(Error(Zip({{"readme.txt", "hello"}})),
              HasSubstr("without data.pkl"));
  EXPECT_THAT(Error(Pt("cmy.module\nNet\n)\x81")),
              HasSubstr("a 'my.module.Net'"));
  EXPECT_THAT(Error(Pt(Int(1))), HasSubstr("no dictionary"));
  EXPECT_THAT(Error(Zip({{"a/data.pkl", "\x80\2}."}}, /*method=*/8)),
              HasSubstr("compressed"));
  EXPECT_THAT(Error(Zip({{"a/data.pkl", "\x80\2}."}, {"a/byteorder", "big"}})),
              HasSubstr("byte order"));
}

TEST(PtFileTest, RefusesRecordsThatDoNotMatchTheirChecksum) {
  const std::string good = Pt(Dict({{"w", Tensor("0", 0, {4}, {1})}}));
  ASSERT_TRUE(Parse(good).ok());
  std::string damaged = good;
  damaged[damaged.find("\1\2\3\4\5\6\7")] ^= 1;
  EXPECT_THAT(Error(damaged), AllOf(HasSubstr("tensor 'w'"), HasSubstr("CRC")));
  // A name in the pickle, so that all of it still parses.
  damaged = good;
  damaged[damaged.find("FloatStorage")] ^= 1;
  EXPECT_THAT(Error(damaged), AllOf(HasSubstr("data.pkl"), HasSubstr("CRC")));
}

TEST(PtFileTest, QuotesNamesThatAreNotText) {
  EXPECT_THAT(Error(Pt(Dict({{"a\xff\n", Tensor("9", 0, {4}, {1})}}))),
              HasSubstr("tensor 'a\\xff\\n': "));
}

TEST(PtFileTest, BoundsDepthAndSizeOfHostilePickles) {
  std::string deep = Tensor("0", 0, {1}, {1});
  for (int i = 0; i < 100; ++i) deep = Module("M", Dict({{"m", deep}}));
  EXPECT_THAT(Error(Pt(deep)), HasSubstr("nested too deeply"));

  // A dictionary that holds itself.
  EXPECT_THAT(Error(Pt("c__torch__\nM\n)\x81q\1}" + Text("m") + "h\1sb")),
              HasSubstr("nested too deeply"));

  // Each module holds the one before twice: 2^60 tensors in a kilobyte.
  std::string doubled = Tensor("0", 0, {1}, {1}) + "q\1";
  for (int i = 0; i < 30; ++i)
    doubled +=
        "0c__torch__\nM\n)\x81}(" + Text("a") + "h\1" + Text("b") + "h\1ubq\1";
  EXPECT_THAT(Error(Pt(doubled)), HasSubstr("too many values"));
}

TEST(PtFileTest, DamageNeverCrashes) {
  const std::string good = Pt(Module(
      "CLIP", Dict({{"a", Tensor("0", 0, {2, 2}, {1, 2})}, {"b", Int(3)}})));
  ASSERT_TRUE(Parse(good).ok());
  for (size_t size = 0; size < good.size(); ++size) {
    const std::vector<uint8_t> cut(good.begin(), good.begin() + size);
    EXPECT_FALSE(ParsePtFile(cut).ok()) << size;
  }
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::vector<uint8_t> damaged(good.begin(), good.end());
    for (int i = 0; i < 3; ++i)
      damaged[random() % damaged.size()] = static_cast<uint8_t>(random());
    const auto parsed = ParsePtFile(damaged);
    if (!parsed.ok()) continue;
    for (const auto& [name, tensor] : parsed->tensors) {
      EXPECT_EQ(TensorByteSize(tensor.dtype, tensor.shape),
                static_cast<int64_t>(tensor.bytes.size()));
      std::vector<uint8_t> copy(tensor.bytes.begin(),
                                tensor.bytes.end());  // reads all of it
    }
  }
}

}  // namespace
}  // namespace clip
