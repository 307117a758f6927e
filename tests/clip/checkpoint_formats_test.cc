// What trainers write, and what people have instead of it: each file or folder
// holds the same small CLIP, so that it must be read as that one is. That the
// towers compute with it what the reference does: tests/parity.
#include <zlib.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "clip/checkpoint/checkpoint.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/pickles.h"
#include "tests/testing/state_files.h"
#include "tests/testing/temporary_folder.h"

namespace clip {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::PtFile;
using testing::Renamed;
using testing::SafetensorsFile;
using testing::State;
using testing_files::Dict;
using testing_files::Int;
using testing_files::Text;

// A weight as one row-major matrix.
std::vector<float> Flat(const Weight& weight) {
  std::vector<float> values;
  for (const TensorView& part : weight.parts) {
    const size_t begin = values.size();
    values.resize(begin + part.bytes.size() / sizeof(float));
    std::memcpy(&values[begin], part.bytes.data(), part.bytes.size());
  }
  if (!weight.transposed) return values;
  std::vector<float> upright;
  for (int64_t r = 0; r < weight.shape[0]; ++r) {
    for (int64_t c = 0; c < weight.shape[1]; ++c)
      upright.push_back(values[c * weight.shape[0] + r]);
  }
  return upright;
}

void ExpectSmallClip(const Checkpoint& checkpoint, Activation activation) {
  Architecture expected = testing::SmallVit();
  expected.text.activation = activation;
  std::get<VitShape>(expected.vision).transformer.activation = activation;
  EXPECT_EQ(Describe(checkpoint.architecture), Describe(expected));
  const State state = testing::SmallState();
  EXPECT_EQ(checkpoint.weights.size(), state.size());
  for (const auto& [name, weight] : checkpoint.weights) {
    EXPECT_TRUE(Flat(weight) == state.at(name).values) << name;
    EXPECT_EQ(weight.shape, state.at(name).shape) << name;
  }
}

class CheckpointFormatsTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const {
    return folder_.path() + "/" + name;
  }

  std::string Write(const std::string& name, const std::string& content) const {
    fs::create_directories(fs::path(Path(name)).parent_path());
    std::ofstream(Path(name), std::ios::binary) << content;
    return Path(name);
  }

  // Reads it and compares it with the small CLIP.
  static Checkpoint Expect(const std::string& path,
                           Activation activation = Activation::kQuickGelu,
                           const std::string& asked = "auto") {
    absl::StatusOr<Checkpoint> read = ReadCheckpoint(path, asked);
    EXPECT_TRUE(read.ok()) << read.status();
    if (!read.ok()) return {};
    ExpectSmallClip(*read, activation);
    return *std::move(read);
  }

  std::string Error(const std::string& path,
                    const std::string& activation = "auto") const {
    const auto read = ReadCheckpoint(path, activation);
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << path;
    const std::string message(read.status().message());
    EXPECT_THAT(message, Not(HasSubstr(folder_.path())));
    return message;
  }

  // A Hugging Face folder of the small CLIP.
  std::string HuggingFace(const std::string& name = "hf") const {
    Write(name + "/config.json", testing::HuggingFaceConfig());
    Write(name + "/model.safetensors",
          SafetensorsFile(testing::HuggingFaceState()));
    return Path(name);
  }

  const ::testing::TemporaryFolder folder_;
  const State state_ = testing::SmallState();
};

TEST_F(CheckpointFormatsTest, TakesTheWrappersThatTrainersWrite) {
  using Around = std::vector<std::pair<std::string, std::string>>;
  const Around none;
  for (const auto& [key, around] :
       {std::pair("", none),
        std::pair(
            "model_state_dict",
            Around{{"epoch", Int(9)}, {"optimizer_state_dict", Dict({})}}),
        std::pair("model", Around{{"epoch", Int(9)}}),
        std::pair("state_dict",
                  Around{{"pytorch-lightning_version", Text("2.4.0")}})}) {
    SCOPED_TRACE(key);
    const Checkpoint read = Expect(Write("m.pt", PtFile(state_, key, around)));
    EXPECT_THAT(read.warnings, ElementsAre(HasSubstr("QuickGELU is taken")));
  }
}

TEST_F(CheckpointFormatsTest, TakesThePrefixesThatTrainersWrite) {
  for (const char* prefix :
       {"module.", "model.", "_orig_mod.", "module.model.", "model.module.",
        "_orig_mod.module.", "model._orig_mod.", "module._orig_mod.model.",
        "model.model.", "clip.", "model.clip."}) {
    SCOPED_TRACE(prefix);
    const State state =
        Renamed(state_, [&](const std::string& name) { return prefix + name; });
    Expect(Write("m.pt", PtFile(state)));
    Expect(Write("m.safetensors", SafetensorsFile(state)));
    const State hugging_face =
        Renamed(testing::HuggingFaceState(),
                [&](const std::string& name) { return prefix + name; });
    Expect(Write("m.bin", PtFile(hugging_face)));
  }
  // A tower alone is wrapped.
  Expect(Write("m.pt", PtFile(Renamed(state_, [](const std::string& name) {
                 return absl::StartsWith(name, "visual.")
                            ? "visual.module._orig_mod." + name.substr(7)
                            : name;
               }))));
  State twice = state_;
  twice["module.logit_scale"] = twice["logit_scale"];
  EXPECT_THAT(Error(Write("m.pt", PtFile(twice))),
              HasSubstr("'module.logit_scale' is there twice"));
}

TEST_F(CheckpointFormatsTest, NeverGuessesTheActivationOfOpenClip) {
  const State module =
      Renamed(state_, [](const std::string& name) { return "module." + name; });
  const std::vector<std::pair<std::string, std::string>> around = {
      {"epoch", Int(5)}, {"name", Text("run")}, {"optimizer", Dict({})}};
  const std::string epoch =
      Write("epoch_5.pt", PtFile(module, "state_dict", around));
  const std::string alone =
      Write("open_clip_pytorch_model.bin", PtFile(state_));
  const std::string custom =
      Write("custom.safetensors",
            SafetensorsFile(Renamed(state_, [](const std::string& name) {
              return absl::StartsWith(name, "visual.") || name == "logit_scale"
                         ? name
                         : "text." + name;
            })));
  Write("only/open_clip_pytorch_model.bin", PtFile(state_));
  for (const std::string& path : {epoch, alone, custom, Path("only")}) {
    SCOPED_TRACE(path);
    EXPECT_THAT(Error(path), AllOf(HasSubstr("--activation=gelu"),
                                   HasSubstr("--activation=quick_gelu")));
    EXPECT_THAT(Expect(path, Activation::kGelu, "gelu").warnings, IsEmpty());
    Expect(path, Activation::kQuickGelu, "quick_gelu");
  }
  // Its own words.
  Expect(Write("epoch_6.pt",
               PtFile(module, "state_dict",
                      {{"name", Text("model_ViT-B-32-quickgelu-b_256")}})));
}

TEST_F(CheckpointFormatsTest, TheActivationAskedForMustBeTheConfigurations) {
  EXPECT_THAT(Error(HuggingFace(), "gelu"),
              HasSubstr("--activation=gelu contradicts"));
  Expect(HuggingFace(), Activation::kQuickGelu, "quick_gelu");
}

TEST_F(CheckpointFormatsTest, TakesEveryNameOfWeightsInOpenClipsFolders) {
  for (const char* name :
       {"open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
        "open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth",
        "model.safetensors", "pytorch_model.bin", "pytorch_model.pth",
        "model.pth"}) {
    SCOPED_TRACE(name);
    fs::remove_all(Path("oc"));
    Write("oc/open_clip_config.json", testing::OpenClipConfig(false));
    const std::string file =
        Write(absl::StrCat("oc/", name), absl::EndsWith(name, ".safetensors")
                                             ? SafetensorsFile(state_)
                                             : PtFile(state_));
    EXPECT_THAT(Expect(Path("oc"), Activation::kGelu).warnings, IsEmpty());
    // The file itself is read with its folder's configuration.
    EXPECT_THAT(Expect(file, Activation::kGelu).warnings, IsEmpty());
  }
}

TEST_F(CheckpointFormatsTest, TakesEveryNameOfWeightsInHuggingFaceFolders) {
  const State state = testing::HuggingFaceState();
  for (const char* name :
       {"model.safetensors", "pytorch_model.bin", "model.fp16.safetensors",
        "pytorch_model.fp16.bin"}) {
    SCOPED_TRACE(name);
    fs::remove_all(Path("hf"));
    Write("hf/config.json", testing::HuggingFaceConfig());
    const std::string file =
        Write(absl::StrCat("hf/", name), absl::EndsWith(name, ".safetensors")
                                             ? SafetensorsFile(state)
                                             : PtFile(state));
    EXPECT_THAT(Expect(Path("hf")).warnings, IsEmpty());
    EXPECT_THAT(Expect(file).warnings, IsEmpty());
  }
  // Shards.
  fs::remove(Path("hf/pytorch_model.fp16.bin"));
  State first, second;
  json map;
  for (const auto& [name, tensor] : state) {
    const bool odd = first.size() > second.size();
    (odd ? second : first)[name] = tensor;
    map[name] = odd ? "b.bin" : "a.bin";
  }
  Write("hf/a.bin", PtFile(first));
  Write("hf/b.bin", PtFile(second));
  Write("hf/pytorch_model.bin.index.json", json{{"weight_map", map}}.dump());
  Expect(Path("hf"));
  // The folder is there: what it lacks is its fault.
  fs::remove(Path("hf/b.bin"));
  EXPECT_THAT(Error(Path("hf")),
              HasSubstr("'pytorch_model.bin.index.json' names 'b.bin', which "
                        "is not in the folder"));
}

TEST_F(CheckpointFormatsTest, TakesASafetensorsFileOfAnyNames) {
  Expect(Write("openai.safetensors", SafetensorsFile(state_)));
  Expect(Write("hugging_face.safetensors",
               SafetensorsFile(testing::HuggingFaceState())));
}

TEST_F(CheckpointFormatsTest, AFolderWithOneFileOfWeightsIsThatFile) {
  Write("one/best.pt", PtFile(state_));
  Write("one/README.md", "a model");
  Expect(Path("one"));
  Write("one/last.pt", PtFile(state_));
  EXPECT_THAT(Error(Path("one")), HasSubstr("say one of best.pt, last.pt"));
}

TEST_F(CheckpointFormatsTest, TakesTheFirstCompleteSetOfAMixedFolder) {
  HuggingFace("mixed");
  Write("mixed/open_clip_config.json", testing::OpenClipConfig(true));
  Expect(Path("mixed"));  // of open_clip's there is only a configuration
  Write("mixed/open_clip_config.json", testing::OpenClipConfig(false));
  Write("mixed/open_clip_pytorch_model.bin", PtFile(state_));
  Expect(Path("mixed"), Activation::kGelu);
}

TEST_F(CheckpointFormatsTest, TakesTheTextNamesOfCustomTextTowers) {
  json config = json::parse(testing::OpenClipConfig(false));
  config["model_cfg"]["custom_text"] = true;
  Write("oc/open_clip_config.json", config.dump());
  Write("oc/open_clip_model.safetensors",
        SafetensorsFile(Renamed(state_, [](const std::string& name) {
          return absl::StartsWith(name, "visual.") || name == "logit_scale"
                     ? name
                     : "text." + name;
        })));
  Expect(Path("oc"), Activation::kGelu);
  // Older files have the flat names all the same.
  Write("oc/open_clip_model.safetensors", SafetensorsFile(state_));
  Expect(Path("oc"), Activation::kGelu);
}

TEST_F(CheckpointFormatsTest, TakesALogitScaleOfOneAxis) {
  State state = state_;
  state["logit_scale"].shape = {1};
  Expect(Write("m.pt", PtFile(state)));
  state["logit_scale"].shape = {1, 1};
  EXPECT_THAT(Error(Write("m.pt", PtFile(state))), HasSubstr("'logit_scale'"));
}

TEST_F(CheckpointFormatsTest, TakesASentenceTransformersBundle) {
  HuggingFace("bundle/0_CLIPModel");
  const auto modules = [](const std::string& path, const std::string& second) {
    json list = {{{"idx", 0},
                  {"path", path},
                  {"type", "sentence_transformers.models.CLIPModel"}}};
    if (!second.empty()) {
      list.push_back(
          {{"path", "1"}, {"type", "sentence_transformers.models." + second}});
    }
    return list.dump();
  };
  Write("bundle/modules.json", modules("0_CLIPModel", ""));
  EXPECT_EQ(Expect(Path("bundle")).name, "bundle");
  Write("bundle/modules.json", modules("0_CLIPModel", "Normalize"));
  Expect(Path("bundle"));
  Write("bundle/modules.json", modules("0_CLIPModel", "Dense"));
  EXPECT_THAT(Error(Path("bundle")),
              HasSubstr("'sentence_transformers.models.Dense'"));
  Write("bundle/modules.json", modules("../bundle/0_CLIPModel", ""));
  EXPECT_THAT(Error(Path("bundle")), HasSubstr("'modules.json'"));
}

TEST_F(CheckpointFormatsTest, TakesTheOnlySnapshotOfAHubsCache) {
  const std::string top = "models--some-org--a-clip";
  HuggingFace(top + "/snapshots/0123abc");
  EXPECT_EQ(Expect(Path(top)).name, "some-org/a-clip");
  EXPECT_EQ(Expect(Path(top + "/snapshots/0123abc")).name, "some-org/a-clip");
  EXPECT_EQ(Expect(Path(top + "/snapshots/0123abc/")).name, "some-org/a-clip");
  HuggingFace(top + "/snapshots/4567def");
  EXPECT_THAT(Error(Path(top)), HasSubstr("2 snapshots"));
  Write(top + "/refs/main", "4567def");
  Expect(Path(top));
}

TEST_F(CheckpointFormatsTest, ReadsPreprocessingFromEitherFile) {
  const json half = {{"image_mean", {0.5, 0.5, 0.5}},
                     {"image_std", {0.5, 0.5, 0.5}},
                     {"image_processor_type", "CLIPImageProcessor"}};
  const auto mean = [&] {
    const auto read = ReadCheckpoint(HuggingFace());
    EXPECT_TRUE(read.ok()) << read.status();
    return read.ok() ? read->architecture.mean[0] : -1;
  };
  EXPECT_NE(mean(), 0.5f);
  Write("hf/processor_config.json", json{{"image_processor", half}}.dump());
  EXPECT_EQ(mean(), 0.5f);
  // transformers prefers it to the older file.
  Write("hf/preprocessor_config.json",
        json{{"image_mean", {0.25, 0.25, 0.25}}}.dump());
  EXPECT_EQ(mean(), 0.5f);
  // That says nothing about images.
  Write("hf/processor_config.json", R"({"processor_class": "CLIPProcessor"})");
  EXPECT_EQ(mean(), 0.25f);
}

TEST_F(CheckpointFormatsTest, SquashesWhereTheConfigurationSaysSo) {
  const auto squash = [](const std::string& path) {
    const auto read = ReadCheckpoint(path);
    EXPECT_TRUE(read.ok()) << read.status();
    return read.ok() && read->architecture.resize == ResizeMode::kSquash;
  };
  json config = json::parse(testing::OpenClipConfig(false));
  Write("oc/open_clip_model.safetensors", SafetensorsFile(state_));
  Write("oc/open_clip_config.json", config.dump());
  EXPECT_FALSE(squash(Path("oc")));
  const std::string before = Fingerprint(*ReadCheckpoint(Path("oc")));
  config["preprocess_cfg"]["resize_mode"] = "squash";
  Write("oc/open_clip_config.json", config.dump());
  EXPECT_TRUE(squash(Path("oc")));
  EXPECT_NE(Fingerprint(*ReadCheckpoint(Path("oc"))), before);
  config["preprocess_cfg"]["resize_mode"] = "widest";
  Write("oc/open_clip_config.json", config.dump());
  EXPECT_THAT(Error(Path("oc")), HasSubstr("'preprocess_cfg.resize_mode'"));

  Write("hf/preprocessor_config.json", R"({"size": {"shortest_edge": 16}})");
  EXPECT_FALSE(squash(HuggingFace()));
  Write("hf/preprocessor_config.json",
        R"({"size": {"height": 16, "width": 16}})");
  EXPECT_TRUE(squash(HuggingFace()));
  Write("hf/preprocessor_config.json",
        R"({"size": {"height": 16, "width": 12}})");
  EXPECT_THAT(Error(HuggingFace()), HasSubstr("expected a square"));
}

TEST_F(CheckpointFormatsTest, FillsWhatTheLongestSideLeavesAsItSays) {
  Write("oc/open_clip_model.safetensors", SafetensorsFile(state_));
  json config = json::parse(testing::OpenClipConfig(false));
  const auto fingerprint = [&](const json& preprocess) {
    config["preprocess_cfg"].merge_patch(preprocess);
    Write("oc/open_clip_config.json", config.dump());
    const auto read = ReadCheckpoint(Path("oc"));
    EXPECT_TRUE(read.ok()) << read.status();
    if (!read.ok()) return std::string();
    EXPECT_EQ(read->architecture.resize, ResizeMode::kLongest);
    EXPECT_EQ(read->architecture.fill, preprocess.value("fill_color", 0));
    return Fingerprint(*read);
  };
  const std::string black = fingerprint({{"resize_mode", "longest"}});
  EXPECT_NE(fingerprint({{"fill_color", 127}}), black);
}

TEST_F(CheckpointFormatsTest, LeavesOutTheDecoderOfCoCa) {
  json config = json::parse(testing::OpenClipConfig(false));
  testing::State state = state_;
  state["text_decoder.ln_final.weight"] = {{1}, {1.f}};
  Write("oc/open_clip_model.safetensors", SafetensorsFile(state));
  Write("oc/open_clip_config.json", config.dump());
  EXPECT_THAT(Error(Path("oc")),
              HasSubstr("'text_decoder.ln_final.weight' [1] has no place"));
  config["model_cfg"]["multimodal_cfg"] = {{"width", 512}};
  Write("oc/open_clip_config.json", config.dump());
  const auto read = ReadCheckpoint(Path("oc"));
  EXPECT_TRUE(read.ok()) << read.status();
}

TEST_F(CheckpointFormatsTest, ResizesByTheFilterOfTheConfiguration) {
  const auto bilinear = [](const std::string& path) {
    const auto read = ReadCheckpoint(path);
    EXPECT_TRUE(read.ok()) << read.status();
    return read.ok() && read->architecture.bilinear;
  };
  json config = json::parse(testing::OpenClipConfig(false));
  Write("oc/open_clip_model.safetensors", SafetensorsFile(state_));
  Write("oc/open_clip_config.json", config.dump());
  EXPECT_FALSE(bilinear(Path("oc")));
  const std::string before = Fingerprint(*ReadCheckpoint(Path("oc")));
  config["preprocess_cfg"]["interpolation"] = "random";
  Write("oc/open_clip_config.json", config.dump());
  EXPECT_FALSE(bilinear(Path("oc")));
  config["preprocess_cfg"]["interpolation"] = "bilinear";
  Write("oc/open_clip_config.json", config.dump());
  EXPECT_TRUE(bilinear(Path("oc")));
  EXPECT_NE(Fingerprint(*ReadCheckpoint(Path("oc"))), before);
  config["preprocess_cfg"]["interpolation"] = "nearest";
  Write("oc/open_clip_config.json", config.dump());
  EXPECT_THAT(Error(Path("oc")), HasSubstr("'preprocess_cfg.interpolation'"));

  Write("hf/preprocessor_config.json", R"({"resample": 3})");
  EXPECT_FALSE(bilinear(HuggingFace()));
  Write("hf/preprocessor_config.json", R"({"resample": 2})");
  EXPECT_TRUE(bilinear(HuggingFace()));
}

TEST_F(CheckpointFormatsTest, RefusesPreprocessingThatIsNotClips) {
  for (const json& patch :
       {json{{"image_processor_type", "SiglipImageProcessor"}},
        json{{"feature_extractor_type", "ViTFeatureExtractor"}},
        json{{"do_convert_rgb", false}}, json{{"do_pad", true}},
        json{{"resample", 1}}, json{{"do_thumbnail", true}}}) {
    const std::string key = patch.begin().key();
    Write("hf/preprocessor_config.json", patch.dump());
    EXPECT_THAT(Error(HuggingFace()),
                AllOf(HasSubstr("'preprocessor_config.json'"),
                      HasSubstr("'" + key + "'")));
    Write("hf/processor_config.json", json{{"image_processor", patch}}.dump());
    EXPECT_THAT(Error(HuggingFace()),
                AllOf(HasSubstr("'processor_config.json'"),
                      HasSubstr("'image_processor." + key + "'")));
    fs::remove(Path("hf/processor_config.json"));
  }
}

// CLIP's vocabulary as tokenizer files have it.
json ClipVocabulary() {
  gzFile file = gzopen(
      ZEROSHOT_SOURCE_DIR "/data/clip/bpe_simple_vocab_16e6.txt.gz", "r");
  std::string text(4 << 20, '\0');
  text.resize(gzread(file, text.data(), text.size()));
  gzclose(file);
  std::vector<std::string> tokens, rest;
  const auto utf8 = [](int c) {
    return c < 0x80 ? std::string(1, static_cast<char>(c))
                    : std::string{static_cast<char>(0xc0 | c >> 6),
                                  static_cast<char>(0x80 | (c & 0x3f))};
  };
  for (int b = 0, next = 256; b < 256; ++b) {
    const bool printed = (b > 0x20 && b < 0x7f) || (b > 0xa0 && b != 0xad);
    (printed ? tokens : rest).push_back(utf8(printed ? b : next++));
  }
  tokens.insert(tokens.end(), rest.begin(), rest.end());
  for (int b = 0; b < 256; ++b) tokens.push_back(tokens[b] + "</w>");
  size_t at = text.find('\n') + 1;
  while (tokens.size() < 49406) {
    const size_t end = text.find('\n', at);
    std::string merge = text.substr(at, end - at);
    merge.erase(merge.find(' '), 1);
    tokens.push_back(merge);
    at = end + 1;
  }
  json vocabulary;
  for (const char* token : {"<|startoftext|>", "<|endoftext|>"})
    tokens.emplace_back(token);
  for (size_t i = 0; i < tokens.size(); ++i) vocabulary[tokens[i]] = i;
  return vocabulary;
}

TEST_F(CheckpointFormatsTest, TakesTheFilesOfClipsTokenizer) {
  const json vocabulary = ClipVocabulary();
  Write("hf/tokenizer_config.json",
        R"({"tokenizer_class": "CLIPTokenizer", "do_lower_case": true})");
  Write("hf/vocab.json", vocabulary.dump());
  Write(
      "hf/tokenizer.json",
      json{{"model", {{"type", "BPE"}, {"vocab", vocabulary}}},
           {"normalizer",
            {{"type", "Sequence"}, {"normalizers", {{{"type", "Lowercase"}}}}}}}
          .dump());
  Expect(HuggingFace());
}

TEST_F(CheckpointFormatsTest, RefusesAnotherTokenizerByName) {
  const auto refused = [&](const std::string& file,
                           const std::string& content) {
    Write("hf/" + file, content);
    const std::string error = Error(HuggingFace());
    EXPECT_THAT(error, HasSubstr("'" + file + "': "));
    fs::remove(Path("hf/" + file));
    return error;
  };
  EXPECT_THAT(refused("tokenizer_config.json",
                      R"({"tokenizer_class": "BertTokenizer"})"),
              HasSubstr("'BertTokenizer'"));
  EXPECT_THAT(refused("tokenizer_config.json",
                      R"({"tokenizer_class": "CLIPTokenizer",
                          "do_lower_case": false})"),
              HasSubstr("do_lower_case"));
  EXPECT_THAT(refused("tokenizer.json", R"({"model": {"type": "Unigram"}})"),
              HasSubstr("Unigram"));
  EXPECT_THAT(refused("tokenizer.json",
                      R"({"model": {"type": "BPE", "vocab": {"a": 0}}})"),
              HasSubstr("another vocabulary (1 tokens)"));
  json changed = ClipVocabulary();
  std::swap(changed["cat</w>"], changed["dog</w>"]);
  EXPECT_THAT(refused("vocab.json", changed.dump()),
              HasSubstr("another vocabulary"));
  changed["new"] = 49408;
  EXPECT_THAT(refused("vocab.json", changed.dump()), HasSubstr("'new'"));
  refused("vocab.txt", "[PAD]\n[UNK]\n");
  refused("spiece.model", "?");
}

TEST_F(CheckpointFormatsTest, RefusesAVocabularyThatIsNotTheTokenizers) {
  Checkpoint checkpoint;
  for (const int size : {32000, 49407, 49409}) {
    checkpoint.architecture.vocab_size = size;
    EXPECT_THAT(std::string(CheckVocabulary(checkpoint).message()),
                HasSubstr(absl::StrCat("has ", size, " tokens")));
  }
  checkpoint.architecture.vocab_size = 49408;
  EXPECT_TRUE(CheckVocabulary(checkpoint).ok());
}

TEST_F(CheckpointFormatsTest, FindsTheTokensThatTrainingNeverSaw) {
  State state = state_;
  const auto read = [&] {
    const auto checkpoint = ReadCheckpoint(Write("m.pt", PtFile(state)));
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    return UnseenTokens(*checkpoint);
  };
  EXPECT_THAT(read(), IsEmpty());
  std::vector<float>& rows = state["token_embedding.weight"].values;
  for (const int id : {3, 7}) std::fill_n(rows.begin() + id * 64, 64, 0.f);
  rows[9 * 64] = 0;  // not all of it
  EXPECT_THAT(read(), ElementsAre(3, 7));
}

TEST_F(CheckpointFormatsTest, NamesATensorWithNumbersThatAreNotFinite) {
  State state = state_;
  state["visual.proj"].values[5] = std::numeric_limits<float>::quiet_NaN();
  const auto read = ReadCheckpoint(Write("m.pt", PtFile(state)));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(std::string(CheckFinite(*read).message()),
              HasSubstr("tensor 'visual.proj' [64, 16] holds NaN"));
}

TEST_F(CheckpointFormatsTest, SaysWhatAFileIsThatHoldsNoModel) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:" +
      std::string(64, 'a') + "\nsize 605143884\n";
  const std::string html = "<!DOCTYPE html><html><body>Not found</body></html>";
  const std::vector<std::pair<std::string, std::string>> files = {
      {pointer,
       "a git-lfs pointer, not the file itself: fetch it with git lfs "
       "pull"},
      {html, "an HTML page, it starts with '<!DOCTYPE html>'"},
      {"<?xml version=\"1.0\"?><Error>AccessDenied</Error>", "an XML text"},
      {R"({"error": "Repository not found"})", "a JSON text"},
      {"Entry not found", "a text, it starts with 'Entry not found'"},
      {"", "empty"},
      {"GGUF\3", "a GGUF file"},
      {"\x89HDF\r\n\x1a\n", "an HDF5 file"},
      {"\x1f\x8b\x08", "a gzip archive: unpack it"},
      {std::string("\x80\2\x8a\n\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."),
       "before PyTorch 1.6"},
      {"\x80\4}.", "a Python pickle"},
      {std::string(257, '\0') + "ustar", "a tar archive"},
      {"\1\2\3\4",
       "neither a safetensors nor a PyTorch file; it starts with "
       "0x01020304"}};
  for (const auto& [content, what] : files) {
    for (const char* name :
         {"model.pt", "model.safetensors", "hf/model.safetensors"}) {
      Write("hf/config.json", testing::HuggingFaceConfig());
      Write(name, content);
      EXPECT_THAT(
          Error(absl::StartsWith(name, "hf/") ? Path("hf") : Path(name)),
          AllOf(HasSubstr(what), Not(HasSubstr("zip directory"))));
    }
  }
  Write("hf/config.json", pointer);
  EXPECT_THAT(Error(Path("hf")),
              HasSubstr("'config.json' is not JSON, it is a git-lfs pointer"));
}

TEST_F(CheckpointFormatsTest, SaysWhatAModelIsThatIsNoClip) {
  const auto error = [&](const std::string& tensor) {
    return Error(
        Write("m.safetensors", SafetensorsFile({{tensor, {{1}, {1.f}}}})));
  };
  EXPECT_THAT(error("base_model.model.visual.lora_A.weight"),
              HasSubstr("a LoRA adapter: merge it"));
  EXPECT_THAT(error("vision_model.head.attention.in_proj_weight"),
              HasSubstr("a SigLIP"));
  EXPECT_THAT(error("visual.trunk.blocks.0.norm1.weight"), HasSubstr("timm"));
  EXPECT_THAT(error("text.transformer.encoder.layer.0.output.dense.weight"),
              HasSubstr("a text tower of Hugging Face, whose folder must say "
                        "which: open_clip_config.json"));
  EXPECT_THAT(error("model.diffusion_model.out.0.bias"),
              HasSubstr("a Stable Diffusion checkpoint"));
  EXPECT_THAT(error("bert.embeddings.word_embeddings.weight"),
              HasSubstr("first tensor found: "
                        "'bert.embeddings.word_embeddings.weight' [1]"));
}

TEST_F(CheckpointFormatsTest, SaysWhatAFolderIsThatHoldsNoClip) {
  Write("lora/adapter_config.json", "{}");
  Write("lora/adapter_model.safetensors", SafetensorsFile(state_));
  EXPECT_THAT(Error(Path("lora")), HasSubstr("a LoRA adapter: merge it"));
  Write("naflex/config.json",
        R"({"model_type": "siglip2", "vision_config": {"num_patches": 250}})");
  EXPECT_THAT(Error(Path("naflex")),
              HasSubstr("'vision_config.num_patches' is 250"));
  Write("nested/model/config.json", "{}");
  EXPECT_THAT(Error(Path("nested")),
              HasSubstr("is the model in its folder 'model'?"));
  Write("onnx/model.onnx", "?");
  EXPECT_THAT(Error(Path("onnx")), HasSubstr("an ONNX model"));
}

TEST_F(CheckpointFormatsTest, SaysWhichTowerOfOpenClipIsNotSupported) {
  const auto error = [&](const std::string& tower, const json& patch) {
    json config = json::parse(testing::OpenClipConfig(false));
    json& part =
        tower.empty() ? config["model_cfg"] : config["model_cfg"][tower];
    part.merge_patch(patch);
    Write("oc/open_clip_config.json", config.dump());
    Write("oc/open_clip_model.safetensors", SafetensorsFile(state_));
    return Error(Path("oc"));
  };
  // None of the keys that come along with it is named instead.
  EXPECT_THAT(
      error("vision_cfg", {{"timm_model_name", "convnext_base"},
                           {"timm_drop", 0.0},
                           {"timm_drop_path", 0.1}}),
      AllOf(HasSubstr("timm_model_name' (\"convnext_base\") is an image "
                      "tower of timm"),
            Not(HasSubstr("timm_drop"))));
  for (const char* other : {"google/mt5-base", "facebook/nllb-200-1.3B",
                            "microsoft/deberta-v3-base"}) {
    EXPECT_THAT(error("text_cfg", {{"hf_model_name", other},
                                   {"hf_pooler_type", "mean_pooler"}}),
                HasSubstr(absl::StrCat("'model_cfg.text_cfg.hf_model_name' (\"",
                                       other, "\") is a text tower")));
  }
  // BERT's kind.
  EXPECT_THAT(error("text_cfg", {{"hf_model_name", "xlm-roberta-base"},
                                 {"hf_pooler_type", "cls_pooler"}}),
              HasSubstr("'model_cfg.text_cfg.hf_pooler_type' is "
                        "'cls_pooler', supported are only"));
  EXPECT_THAT(error("text_cfg", {{"hf_model_name", "roberta-base"},
                                 {"hf_proj_type", "conv"}}),
              HasSubstr("'model_cfg.text_cfg.hf_proj_type' is 'conv'"));
  EXPECT_THAT(
      error("text_cfg", {{"hf_model_name", "a/b-PubMedBERT-base"},
                         {"hf_pooler_type", "cls_last_hidden_state_pooler"}}),
      HasSubstr("lacks 'tokenizer.json', and its model has another "
                "tokenizer than CLIP's: put that of "
                "'a/b-PubMedBERT-base'"));
  EXPECT_THAT(
      error("text_cfg", {{"hf_tokenizer_name", "timm/ViT-B-16-SigLIP"}}),
      HasSubstr("the folder lacks 'tokenizer.json'"));
  EXPECT_THAT(
      error("text_cfg", {{"hf_tokenizer_name", "x"},
                         {"tokenizer_kwargs", {{"clean", "upper"}}}}),
      HasSubstr("'model_cfg.text_cfg.tokenizer_kwargs.clean' is \"upper\""));
  EXPECT_THAT(error("vision_cfg", {{"attentional_pool", "parallel"}}),
              HasSubstr("'model_cfg.vision_cfg.attentional_pool' is "
                        "\"parallel\""));
  EXPECT_THAT(error("text_cfg", {{"embed_cls", true}}),
              HasSubstr("'model_cfg.text_cfg.embed_cls' is true"));
  EXPECT_THAT(error("", {{"multimodal_cfg", {{"width", 512}}},
                         {"text_cfg",
                          {{"embed_cls", true}, {"no_causal_mask", true}}}}),
              HasSubstr("'model_cfg.text_cfg.no_causal_mask' (true) is not "
                        "supported together with 'embed_cls'"));
  EXPECT_THAT(error("", {{"new_key", 1}}),
              HasSubstr("'model_cfg.new_key' (1) is not supported"));
}

}  // namespace
}  // namespace clip
