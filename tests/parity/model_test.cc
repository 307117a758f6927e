// What Model promises besides the reference's numbers: options, errors of bad
// checkpoints and inputs, steps, progress, fingerprints.
#include "clip/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "clip/checkpoint/checkpoint.h"
#include "clip/clip_tokenizer.h"
#include "tests/testing/checkpoint_files.h"
#include "tests/testing/encode_text.h"
#include "tests/testing/random_tensors.h"
#include "tests/testing/temporary_folder.h"

namespace clip {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;
using testing::RandomCheckpoint;
using testing::TinyVit;

// Not auto: where there is a GPU, cuda_test.cc asks it.
const ModelOptions kCpu = {.device = "cpu"};
const ModelOptions kCpuFp32 = {.device = "cpu", .precision = "fp32"};

class ModelTest : public ::testing::Test {
 protected:
  void SetUp() override { checkpoint_.tensors = RequiredTensors(TinyVit()); }

  std::string Path(const std::string& name) const {
    return folder_.path() + "/" + name;
  }

  absl::StatusOr<std::unique_ptr<Model>> LoadState(
      const ModelOptions& options = kCpuFp32) {
    WriteStateDict(checkpoint_, Path("m.pt"));
    return Model::Load(Path("m.pt"), options);
  }

  // An open_clip folder with a change to its configuration.
  std::string LoadOpenClipError(const json& patch) {
    WriteOpenClip(TinyVit(), checkpoint_, Path("oc"));
    return PatchedError("oc", "open_clip_config.json", patch);
  }

  // Merges `patch` into a configuration file and returns Load's message.
  std::string PatchedError(const std::string& model, const std::string& file,
                           const json& patch) {
    const std::string path = Path(model) + "/" + file;
    std::ifstream stream(path);
    json config = stream ? json::parse(stream) : json::object();
    config.merge_patch(patch);
    testing::WriteFile(path, config.dump());
    const auto loaded = Model::Load(Path(model), kCpu);
    EXPECT_EQ(loaded.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(loaded.status().message());
  }

  TensorSpec& Spec(const std::string& name) {
    for (TensorSpec& spec : checkpoint_.tensors) {
      if (spec.name == name) return spec;
    }
    ADD_FAILURE() << name;
    return checkpoint_.tensors[0];
  }

  RandomCheckpoint checkpoint_;
  const ::testing::TemporaryFolder folder_;
};

// Writes `bytes` over the element of a tensor in a safetensors file.
void Overwrite(const std::string& path, const std::string& tensor, int element,
               const std::string& bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  uint64_t header_size = 0;
  file.read(reinterpret_cast<char*>(&header_size), sizeof(header_size));
  std::string header(header_size, '\0');
  file.read(header.data(), header.size());
  const int64_t begin = json::parse(header)[tensor]["data_offsets"][0];
  file.seekp(sizeof(header_size) + header_size + begin +
             element * bytes.size());
  file.write(bytes.data(), bytes.size());
  ASSERT_TRUE(file.good());
}

TEST_F(ModelTest, AWeightThatIsNotFiniteIsRefusedByItsName) {
  const std::string tensor = "visual.transformer.resblocks.1.mlp.c_fc.weight";
  const struct {
    bool half;
    std::string bytes;
  } kCases[] = {{false, std::string("\x00\x00\xc0\x7f", 4)},  // NaN
                {false, std::string("\x00\x00\x80\x7f", 4)},  // infinity
                {false, std::string("\x00\x00\x80\xff", 4)},  // -infinity
                {true, std::string("\x00\x7e", 2)},           // NaN
                {true, std::string("\x00\xfc", 2)}};          // -infinity
  for (const auto& test : kCases) {
    checkpoint_.half = test.half;
    WriteOpenClip(TinyVit(), checkpoint_, Path("oc"));
    ASSERT_TRUE(Model::Load(Path("oc"), kCpu).ok());
    // Beyond the first block of what is looked at together.
    Overwrite(Path("oc") + "/open_clip_model.safetensors", tensor, 5000,
              test.bytes);
    const absl::Status status = Model::Load(Path("oc"), kCpu).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(tensor), HasSubstr("NaN or infinite"),
                      HasSubstr("the first at element 5000")));
  }
}

// Finite weights whose embeddings are not.
TEST_F(ModelTest, AModelThatOverflowsIsRefusedAtStart) {
  WriteOpenClip(TinyVit(), checkpoint_, Path("oc"));
  for (int i = 0; i < 64; ++i) {
    Overwrite(Path("oc") + "/open_clip_model.safetensors",
              "visual.ln_post.weight", i, std::string("\xff\xff\x7f\x7f", 4));
    Overwrite(Path("oc") + "/open_clip_model.safetensors",
              "visual.ln_post.bias", i, std::string("\xff\xff\x7f\x7f", 4));
  }
  const absl::Status status = Model::Load(Path("oc"), kCpuFp32).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("NaN or infinite"));
}

TEST_F(ModelTest, InfoSaysWhatWasLoaded) {
  const auto model = LoadState();
  ASSERT_TRUE(model.ok()) << model.status();
  const ModelInfo& info = (*model)->info();
  EXPECT_EQ(info.name, "m.pt");
  EXPECT_EQ(info.family, "ViT-w64-l2/8");
  EXPECT_EQ(info.fingerprint.size(), 64);
  EXPECT_EQ(info.device, "cpu");
  EXPECT_EQ(info.precision, "fp32");
  EXPECT_EQ(info.max_batch, 32);
  EXPECT_EQ(info.graphs, "");
  EXPECT_EQ(info.preprocessing.crop.side, 16);
  EXPECT_EQ(info.context_length, 12);
  EXPECT_EQ(info.vocab_size, ClipTokenizer::kVocabSize);
  EXPECT_EQ(info.embedding_dim, 16);
  EXPECT_NEAR(info.head.scale, std::exp(4.6), 2);
  EXPECT_EQ(info.head.bias, 0);
  EXPECT_EQ(info.head.score_function, ScoreFunction::kSoftmax);
}

// As open_clip's CLIP with init_logit_bias, which SigLIP's loss needs.
TEST_F(ModelTest, ACheckpointWithALogitBiasWasTrainedForTheSigmoid) {
  const auto plain = LoadState();
  ASSERT_TRUE(plain.ok()) << plain.status();
  Architecture with_bias = TinyVit();
  with_bias.logit_bias = true;
  checkpoint_.tensors = RequiredTensors(with_bias);
  const auto bare = LoadState();
  WriteOpenClip(with_bias, checkpoint_, Path("oc"));
  const auto folder = Model::Load(Path("oc"), kCpuFp32);
  for (const auto* model : {&bare, &folder}) {
    ASSERT_TRUE(model->ok()) << model->status();
    const Head& head = (**model)->head();
    EXPECT_EQ(head.score_function, ScoreFunction::kSigmoid);
    EXPECT_NEAR(head.scale, std::exp(4.6), 2);
    EXPECT_NEAR(head.bias, -10, 0.011);
    EXPECT_NE((**model)->info().fingerprint, (*plain)->info().fingerprint);
  }
  // A folder that does not say it has no place for it.
  Architecture unsaid = with_bias;
  unsaid.logit_bias = false;
  WriteOpenClip(unsaid, checkpoint_, Path("unsaid"));
  EXPECT_THAT(
      std::string(Model::Load(Path("unsaid"), kCpuFp32).status().message()),
      HasSubstr("'logit_bias'"));
}

TEST_F(ModelTest, RefusesOptionsItCannotHonour) {
  WriteStateDict(checkpoint_, Path("m.pt"));
  const auto load = [&](const ModelOptions& options) {
    return Model::Load(Path("m.pt"), options).status();
  };
  EXPECT_EQ(load({.device = "cuda:99"}).code(),
            absl::StatusCode::kFailedPrecondition);
  for (const char* device :
       {"gpu", "cuda:", "cuda:x", "cuda:-1", "cudas", ""}) {
    EXPECT_EQ(load({.device = device}).code(),
              absl::StatusCode::kInvalidArgument)
        << device;
  }
  for (const char* precision : {"fp16", "fp8", ""}) {
    const absl::Status status = load({.device = "cpu", .precision = precision});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(
        std::string(status.message()),
        AllOf(HasSubstr(absl::StrCat("'", precision, "'")),
              HasSubstr("it must be auto"), HasSubstr("fp32, bf16, int8")));
  }
  EXPECT_EQ(load({.device = "cpu", .threads = -1}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(load({.device = "cpu", .max_batch = -1}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(load({.device = "cpu", .precision = "fp32", .threads = 1}).ok());
}

TEST_F(ModelTest, ThreadsSetForOneModelAreNotAnothersDefault) {
  WriteStateDict(checkpoint_, Path("m.pt"));
  const auto threads = [&](int asked) {
    const auto model =
        Model::Load(Path("m.pt"), {.device = "cpu", .threads = asked});
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? (*model)->info().threads : -1;
  };
  const int all = threads(0);
  EXPECT_EQ(threads(all + 1), all + 1);
  EXPECT_EQ(threads(0), all);
}

TEST_F(ModelTest, NothingAtThePathIsNotFound) {
  const absl::Status status = Model::Load(Path("absent.pt"), kCpu).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("'absent.pt'"), ::testing::Not(HasSubstr("/"))));
}

TEST_F(ModelTest, NamesAMissingTensor) {
  Spec("visual.transformer.resblocks.1.ln_2.bias").name =
      "visual.transformer.resblocks.1.ln_2.num_batches_tracked";
  EXPECT_THAT(std::string(LoadState().status().message()),
              HasSubstr("tensor 'visual.transformer.resblocks.1.ln_2.bias' is "
                        "missing, expected [64]"));
}

TEST_F(ModelTest, NamesATensorOfAnotherShape) {
  Spec("visual.proj").shape = {64, 15};
  EXPECT_THAT(std::string(LoadState().status().message()),
              HasSubstr("tensor 'visual.proj' is float32 [64, 15], expected "
                        "float32, float16 or bfloat16 [64, 16]"));
}

TEST_F(ModelTest, NamesATensorWithoutAPlace) {
  checkpoint_.tensors.push_back({"visual.adapter.weight", {3}});
  EXPECT_THAT(std::string(LoadState().status().message()),
              HasSubstr("tensor 'visual.adapter.weight' [3] has no place"));
}

TEST_F(ModelTest, AcceptsTheBuffersThatRealFilesCarry) {
  for (const char* name : {"input_resolution", "context_length", "vocab_size",
                           "attn_mask", "text_model.embeddings.position_ids",
                           "visual.bn1.num_batches_tracked"}) {
    checkpoint_.tensors.push_back({name, {2}});
  }
  EXPECT_TRUE(LoadState().ok());
}

TEST_F(ModelTest, SaysWhyAStateDictIsNoClip) {
  Spec("visual.proj").name = "visual.head";
  EXPECT_THAT(std::string(LoadState().status().message()),
              HasSubstr("first tensor found: 'ln_final.bias' [64]"));
}

TEST_F(ModelTest, RefusesShapesThatDoNotFitEachOther) {
  Spec("visual.positional_embedding").shape = {6, 64};
  EXPECT_THAT(std::string(LoadState().status().message()),
              HasSubstr("'visual.positional_embedding' has 6 rows"));
}

TEST_F(ModelTest, TruncatedFilesAreErrors) {
  WriteTorchScript(checkpoint_, Path("m.pt"));
  WriteOpenClip(TinyVit(), checkpoint_, Path("oc"));
  for (const auto& [model, file] :
       {std::pair("m.pt", "m.pt"), {"oc", "oc/open_clip_model.safetensors"}}) {
    const uintmax_t size = std::filesystem::file_size(Path(file));
    for (const uintmax_t keep :
         {size - 1, size / 2, uintmax_t{100}, uintmax_t{0}}) {
      std::filesystem::resize_file(Path(file), keep);
      EXPECT_EQ(Model::Load(Path(model), kCpu).status().code(),
                absl::StatusCode::kInvalidArgument)
          << file << keep;
    }
  }
}

TEST_F(ModelTest, FoldersWithoutAConfigurationOrWeightsAreErrors) {
  EXPECT_THAT(std::string(Model::Load(folder_.path(), kCpu).status().message()),
              HasSubstr("neither config.json"));
  testing::WriteFile(Path("config.json"), R"({"model_type": "clip"})");
  EXPECT_THAT(std::string(Model::Load(folder_.path(), kCpu).status().message()),
              HasSubstr("neither 'model.safetensors'"));
  testing::WriteFile(Path("model.safetensors.index.json"),
                     R"({"weight_map": {"a": "../a.safetensors"}})");
  EXPECT_THAT(std::string(Model::Load(folder_.path(), kCpu).status().message()),
              HasSubstr("'weight_map' must map"));
}

TEST_F(ModelTest, NamesUnsupportedKeysOfOpenClip) {
  const auto model_cfg = [&](const json& patch) {
    return LoadOpenClipError({{"model_cfg", patch}});
  };
  EXPECT_THAT(model_cfg({{"vision_cfg", {{"timm_model_name", "vit_base"}}}}),
              HasSubstr("'model_cfg.vision_cfg.timm_model_name' (\"vit_base\") "
                        "is an image tower of timm"));
  EXPECT_THAT(
      model_cfg({{"text_cfg", {{"hf_model_name", "mt5-base"}}}}),
      HasSubstr(
          "'model_cfg.text_cfg.hf_model_name' (\"mt5-base\") is a text tower"));
  EXPECT_THAT(model_cfg({{"text_cfg", {{"pool_type", "last"}}}}),
              HasSubstr("'model_cfg.text_cfg.pool_type' is \"last\", supported "
                        "is only \"argmax\""));
  EXPECT_THAT(model_cfg({{"vision_cfg", {{"attentional_pool", "cascade"}}}}),
              HasSubstr("'model_cfg.vision_cfg.attentional_pool'"));
  // With it the checkpoint has a tensor more.
  EXPECT_THAT(model_cfg({{"init_logit_bias", -10}}),
              HasSubstr("tensor 'logit_bias' is missing"));
  EXPECT_THAT(
      model_cfg({{"embed_dim", "16"}}),
      HasSubstr("'model_cfg.embed_dim' is \"16\", expected an integer"));
  EXPECT_THAT(model_cfg({{"embed_dim", nullptr}}),
              HasSubstr("'model_cfg.embed_dim' is missing"));
  EXPECT_THAT(model_cfg({{"text_cfg", {{"layers", 2000000000}}}}),
              HasSubstr("text layers is 2000000000"));
  EXPECT_THAT(model_cfg({{"text_cfg", {{"heads", 7}}}}),
              HasSubstr("text width 64 is not a multiple of its heads 7"));
  EXPECT_THAT(model_cfg({{"vision_cfg", {{"layers", {1, 2}}}}}),
              HasSubstr("expected 4 integers"));
}

TEST_F(ModelTest, RefusesAnotherPreprocessing) {
  const auto preprocess_cfg = [&](const json& patch) {
    return LoadOpenClipError({{"preprocess_cfg", patch}});
  };
  EXPECT_THAT(preprocess_cfg({{"interpolation", "nearest"}}),
              HasSubstr("'preprocess_cfg.interpolation' is \"nearest\", "
                        "supported is only \"bicubic\""));
  EXPECT_THAT(preprocess_cfg({{"resize_mode", "widest"}}),
              HasSubstr("'preprocess_cfg.resize_mode' is \"widest\""));
  EXPECT_THAT(preprocess_cfg({{"resize_mode", "longest"}, {"fill_color", 256}}),
              HasSubstr("'preprocess_cfg.fill_color' is 256"));
  EXPECT_THAT(preprocess_cfg({{"std", {1, 0, 1}}}),
              HasSubstr("image std is 0"));

  std::filesystem::create_directories(Path("hf"));
  testing::WriteFile(Path("hf") + "/config.json", R"({"model_type": "clip"})");
  const auto preprocessor = [&](const json& patch) {
    return PatchedError("hf", "preprocessor_config.json", patch);
  };
  EXPECT_THAT(preprocessor({{"resample", 1}}),
              HasSubstr("'resample' is 1, supported is only 3"));
  EXPECT_THAT(preprocessor({{"resample", 3}, {"do_resize", false}}),
              HasSubstr("'do_resize' is false"));
  EXPECT_THAT(
      preprocessor({{"do_resize", true}, {"size", {{"longest_edge", 224}}}}),
      HasSubstr("supported is only {\"shortest_edge\":224}"));
}

TEST_F(ModelTest, NamesUnsupportedKeysOfHuggingFace) {
  std::filesystem::create_directories(Path("hf"));
  const auto config = [&](const json& patch) {
    return PatchedError("hf", "config.json", patch);
  };
  EXPECT_THAT(config({{"model_type", "siglip3"}}),
              HasSubstr("'model_type' is \"siglip3\""));
  EXPECT_THAT(config({{"model_type", "clip"},
                      {"text_config", {{"hidden_act", "relu"}}}}),
              HasSubstr("'text_config.hidden_act' is \"relu\""));
}

TEST_F(ModelTest, FingerprintTellsWeightsConfigurationAndPreprocessingApart) {
  const auto fingerprint = [&](const Architecture& all) {
    WriteOpenClip(all, checkpoint_, Path("oc"));
    const auto checkpoint = ReadCheckpoint(Path("oc"));
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    return Fingerprint(*checkpoint);
  };
  const std::string first = fingerprint(TinyVit());
  EXPECT_EQ(fingerprint(TinyVit()), first);
  Architecture gelu = TinyVit();
  gelu.text.activation = Activation::kGelu;
  EXPECT_NE(fingerprint(gelu), first);
  Architecture mean = TinyVit();
  mean.mean[1] = 0.5f;
  EXPECT_NE(fingerprint(mean), first);
  Architecture heads = TinyVit();
  heads.text.heads = 2;
  EXPECT_NE(fingerprint(heads), first);
  checkpoint_.seed = 2;
  EXPECT_NE(fingerprint(TinyVit()), first);
}

TEST_F(ModelTest, RefusesInputsOfTheWrongSize) {
  const auto model = LoadState();
  ASSERT_TRUE(model.ok()) << model.status();
  const std::vector<uint8_t> crop(16 * 16 * 3 - 1);
  const absl::Span<const uint8_t> crops[] = {crop};
  EXPECT_THAT(std::string((*model)->EncodeImages(crops).status().message()),
              HasSubstr("767 bytes, expected"));
  const auto text_error = [&](std::vector<int32_t> ids) {
    const absl::Status status =
        testing::EncodeText(**model, {{{1, 2}, ids}}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_THAT(text_error({}),
              HasSubstr("token sequence 1 has 0 tokens; 1 to 12 are allowed"));
  EXPECT_THAT(text_error(std::vector<int32_t>(13, 1)), HasSubstr("13 tokens"));
  EXPECT_THAT(text_error({1, 49408}),
              HasSubstr("id 49408; 0 to 49407 is allowed"));
  EXPECT_THAT(text_error({-1}), HasSubstr("id -1"));
}

TEST_F(ModelTest, NothingInNothingOut) {
  const auto model = LoadState();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_TRUE((*model)->EncodeImages({})->empty());
  EXPECT_TRUE(testing::EncodeText(**model, {})->empty());
}

// Enough prefixes for several steps of the smallest model.
std::vector<std::vector<int32_t>> ManySequences() {
  std::vector<std::vector<int32_t>> sequences;
  for (int i = 0; i < 20'000; ++i) {
    sequences.push_back({98, i % 90, (i / 90) % 90, i / 8100, 99});
    if (i % 3 == 0) sequences.back().insert(sequences.back().begin() + 1, 5, 7);
  }
  return sequences;
}

TEST_F(ModelTest, ProgressCountsSequencesAndStopsTheCall) {
  const auto model = LoadState();
  ASSERT_TRUE(model.ok()) << model.status();
  const auto sequences = ManySequences();
  std::vector<int64_t> seen;
  int64_t computed = 0;
  const auto count = [&](int64_t done, int64_t total, int64_t positions) {
    EXPECT_GT(positions, computed);
    computed = positions;
    EXPECT_EQ(total, 20'000);
    seen.push_back(done);
    return true;
  };
  const auto ignore = [](int64_t, absl::Span<const float>) {};
  const auto positions = (*model)->EncodeText(sequences, ignore, count);
  ASSERT_TRUE(positions.ok()) << positions.status();
  EXPECT_GE(seen.size(), 3);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), 20'000);
  EXPECT_EQ(computed, *positions);

  int calls = 0;
  const auto stopped = (*model)->EncodeText(
      sequences, ignore,
      [&](int64_t, int64_t, int64_t) { return ++calls < 2; });
  EXPECT_EQ(stopped.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(calls, 2);
}

TEST_F(ModelTest, RowsDoNotDependOnTheirCompany) {
  const auto model = LoadState();
  ASSERT_TRUE(model.ok()) << model.status();
  const auto sequences = ManySequences();
  const auto together = testing::EncodeText(**model, sequences);
  ASSERT_TRUE(together.ok()) << together.status();
  for (const size_t i : {0, 1, 10'000, 19'999}) {
    const auto alone = testing::EncodeText(**model, {sequences[i]});
    ASSERT_TRUE(alone.ok()) << alone.status();
    for (int d = 0; d < 16; ++d)
      EXPECT_NEAR((*alone)[d], (*together)[i * 16 + d], 1e-6);
  }
}

// On a number of threads that is fixed: beside other programs TeamChoice takes
// fewer of several, and sums differ in their last bits.
TEST_F(ModelTest, TheSameSequencesGiveTheSameBytes) {
  ModelOptions options = kCpuFp32;
  options.threads = 1;
  const auto model = LoadState(options);
  ASSERT_TRUE(model.ok()) << model.status();
  const auto sequences = ManySequences();
  const auto first = testing::EncodeText(**model, sequences);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(*testing::EncodeText(**model, sequences), *first);
}

TEST_F(ModelTest, ManyThreadsMayCallAtOnce) {
  const auto model = LoadState();
  ASSERT_TRUE(model.ok()) << model.status();
  const auto sequences = ManySequences();
  const std::vector<uint8_t> crop = testing::RandomCrop(16, 1);
  const absl::Span<const uint8_t> crops[] = {crop};
  const std::vector<float> expected_image = *(*model)->EncodeImages(crops);
  const std::vector<float> expected_text =
      *testing::EncodeText(**model, sequences);
  // Not to the bit: how many threads share the sums depends on what else the
  // machine does (TeamChoice).
  const auto near = [](const std::vector<float>& expected) {
    return Pointwise(FloatNear(1e-6f), expected);
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      EXPECT_THAT(*testing::EncodeText(**model, sequences),
                  near(expected_text));
    });
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round)
        EXPECT_THAT(*(*model)->EncodeImages(crops), near(expected_image));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace clip
