#include "zeroshot/weight_set_file.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stores/stored_set.h"
#include "zeroshot/npy.h"

namespace zeroshot {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

// Written by Python: tools/golden/weight_sets.py.
std::string Golden(const std::string& name) {
  std::ifstream file(
      absl::StrCat(ZEROSHOT_SOURCE_DIR "/tests/testdata/golden/weight_sets/",
                   name),
      std::ios::binary);
  EXPECT_TRUE(file) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

clip::ModelInfo Model(int dim) {
  clip::ModelInfo info;
  info.fingerprint = "this model";
  info.embedding_dim = dim;
  return info;
}

const std::vector<std::string> kNames = {"frog",     "rocket", "pizza",
                                         "umbrella", "cactus", "sailboat"};

std::string Bytes(const std::vector<float>& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()),
          numbers.size() * sizeof(float)};
}

// Three classes of two dimensions, as a .npy.
std::string Npy(const std::vector<float>& numbers,
                const std::vector<int64_t>& shape = {3, 2}) {
  return NpyHeader(shape, false) + Bytes(numbers);
}

const std::vector<float> kRows = {1, 0, 0, 1, 0.6f, 0.8f};

absl::StatusOr<ImportedSet> Read(absl::string_view bytes,
                                 std::vector<std::string> names = {"a", "b",
                                                                   "c"},
                                 Layout layout = Layout::kUnknown, int dim = 2,
                                 const std::string& fingerprint = "") {
  return ReadWeightSetFile({bytes, std::move(names), layout, fingerprint},
                           Model(dim), BuildLimits());
}

std::string ErrorOf(const absl::StatusOr<ImportedSet>& result) {
  EXPECT_TRUE(absl::IsInvalidArgument(result.status())) << result.status();
  return std::string(result.status().message());
}

// A safetensors file of float32 tensors.
std::string Safetensors(const std::string& metadata, const std::string& shape,
                        const std::vector<float>& numbers,
                        const std::string& dtype = "F32",
                        const std::string& name = "weights") {
  const std::string data = Bytes(numbers);
  std::string header = absl::StrCat(
      "{", metadata.empty() ? "" : "\"__metadata__\":", metadata,
      metadata.empty() ? "" : ",", "\"", name, "\":{\"dtype\":\"", dtype,
      "\",\"shape\":", shape, ",\"data_offsets\":[0,", data.size(), "]}}");
  std::string prefix(8, '\0');
  for (int i = 0; i < 8; ++i) {
    prefix[i] = static_cast<char>(header.size() >> (8 * i));
  }
  return prefix + header + data;
}

TEST(WeightSetFileTest, ReadsWhatTheNotebookMakes) {
  const std::string npy = Golden("notebook.npy");
  const auto set = Read(npy, kNames, Layout::kUnknown, 128);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->set->class_names, kNames);
  EXPECT_EQ(set->set->embedding_dim, 128);
  EXPECT_EQ(set->set->model_fingerprint, "this model");
  EXPECT_THAT(set->set->id, StartsWith("imported-"));
  EXPECT_THAT(set->set->id, SizeIs(9 + 64));
  EXPECT_TRUE(stores::IsPlainId(set->set->id));
  // [D, C] there, [C, D] here.
  float first_of_second_class = 0;
  std::memcpy(&first_of_second_class, &ParseNpy(npy)->bytes[sizeof(float)],
              sizeof(float));
  EXPECT_EQ(set->set->weights[128], first_of_second_class);
  EXPECT_THAT(set->warnings, ElementsAre(HasSubstr("which model made it")));
}

TEST(WeightSetFileTest, TheIdIsOfWhatTheSetIsNotOfHowItCame) {
  const auto npy = Read(Golden("notebook.npy"), kNames, Layout::kUnknown, 128);
  const auto safetensors =
      Read(Golden("notebook.safetensors"), {}, Layout::kUnknown, 128);
  ASSERT_TRUE(safetensors.ok()) << safetensors.status();
  EXPECT_EQ(safetensors->set->id, npy->set->id);
  EXPECT_EQ(safetensors->set->class_names, kNames);
  std::vector<std::string> other_names = kNames;
  std::swap(other_names[0], other_names[1]);
  EXPECT_NE(
      Read(Golden("notebook.npy"), other_names, Layout::kUnknown, 128)->set->id,
      npy->set->id);
  clip::ModelInfo other_model = Model(128);
  other_model.fingerprint = "another";
  EXPECT_NE(
      ReadWeightSetFile({Golden("notebook.npy"), kNames, Layout::kUnknown, ""},
                        other_model, BuildLimits())
          ->set->id,
      npy->set->id);
  std::vector<float> turned = kRows;
  turned[0] = -1;
  EXPECT_NE(Read(Npy(turned))->set->id, Read(Npy(kRows))->set->id);
}

TEST(WeightSetFileTest, RowsAndColumnsInEitherOrderAreTheSameSet) {
  const std::vector<float> columns = {1, 0, 0.6f, 0, 1, 0.8f};
  const auto rows = Read(Npy(kRows));
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(rows->set->weights, kRows);
  for (const std::string& file :
       {Npy(columns, {2, 3}), NpyHeader({2, 3}, true) + Bytes(kRows),
        NpyHeader({3, 2}, true) + Bytes(columns)}) {
    const auto same = Read(file);
    ASSERT_TRUE(same.ok()) << same.status();
    EXPECT_EQ(same->set->weights, kRows);
    EXPECT_EQ(same->set->id, rows->set->id);
  }
}

TEST(WeightSetFileTest, ASquareMatrixNeedsItsLayout) {
  const std::string square = Npy({0.6f, 0.8f, -0.8f, 0.6f}, {2, 2});
  EXPECT_THAT(ErrorOf(Read(square, {"a", "b"})), HasSubstr("give its layout"));
  EXPECT_THAT(Read(square, {"a", "b"}, Layout::kClassRows)->set->weights,
              ElementsAre(0.6f, 0.8f, -0.8f, 0.6f));
  EXPECT_THAT(Read(square, {"a", "b"}, Layout::kClassColumns)->set->weights,
              ElementsAre(0.6f, -0.8f, 0.8f, 0.6f));
}

TEST(WeightSetFileTest, AMatrixThatDoesNotFitSaysWhatWould) {
  EXPECT_THAT(ErrorOf(Read(Npy(kRows), {"a", "b"})),
              AllOf(HasSubstr("is [3, 2]"), HasSubstr("2 class names"),
                    HasSubstr("need [2, 2]")));
  EXPECT_THAT(ErrorOf(Read(Npy(kRows), {"a", "b", "c"}, Layout::kUnknown, 64)),
              HasSubstr("need [3, 64] or [64, 3]"));
  EXPECT_THAT(ErrorOf(Read(Npy(kRows), {"a", "b", "c"}, Layout::kClassColumns)),
              HasSubstr("need [2, 3]"));
  EXPECT_THAT(ErrorOf(Read(Npy(kRows, {6}))), HasSubstr("has 1 axes"));
}

TEST(WeightSetFileTest, EveryTypeOfFloatIsReadAsItIs) {
  // 0.6 and 0.8 in float16 and bfloat16.
  const uint16_t half[] = {0x3c00, 0, 0, 0x3c00, 0x38cd, 0x3a66};
  const uint16_t brain[] = {0x3f80, 0, 0, 0x3f80, 0x3f1a, 0x3f4d};
  const double wide[] = {1, 0, 0, 1, 0.6, 0.8};
  const auto file = [](const char* dtype, const void* numbers, size_t size) {
    std::vector<float> as_floats(size / sizeof(float));
    std::memcpy(as_floats.data(), numbers, size);
    return Safetensors("", "[3,2]", as_floats, dtype);
  };
  const auto f16 = Read(file("F16", half, sizeof(half)));
  ASSERT_TRUE(f16.ok()) << f16.status();
  EXPECT_THAT(f16->set->weights,
              ElementsAre(1, 0, 0, 1, 0x1.334p-1f, 0x1.998p-1f));
  const auto bf16 = Read(file("BF16", brain, sizeof(brain)));
  ASSERT_TRUE(bf16.ok()) << bf16.status();
  EXPECT_THAT(bf16->set->weights,
              ElementsAre(1, 0, 0, 1, 0x1.34p-1f, 0x1.9ap-1f));
  const auto f64 = Read(file("F64", wide, sizeof(wide)));
  ASSERT_TRUE(f64.ok()) << f64.status();
  EXPECT_EQ(f64->set->weights, kRows);
  EXPECT_THAT(ErrorOf(Read(file("I32", kRows.data(), 24))),
              HasSubstr("floats are expected"));
}

TEST(WeightSetFileTest, HalvesOfNumPyAreItsNumbers) {
  // Not unit vectors: refused, with the length that NumPy's numbers have.
  const std::string file = Golden("npy/v1_f2_C.npy");
  EXPECT_THAT(ErrorOf(Read(file, {"a", "b", "c", "d"}, Layout::kClassRows, 3)),
              HasSubstr("class 0, 'a', has length 1.14564"));
}

TEST(WeightSetFileTest, VectorsMustBeFiniteAndOfLengthOne) {
  std::vector<float> wrong = kRows;
  wrong[4] = 6;
  EXPECT_THAT(ErrorOf(Read(Npy(wrong))),
              AllOf(HasSubstr("class 2, 'c', has length 6.05"),
                    HasSubstr("it must be 1")));
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity()}) {
    wrong[4] = bad;
    EXPECT_THAT(ErrorOf(Read(Npy(wrong))), HasSubstr("not finite"));
  }
  EXPECT_THAT(ErrorOf(Read(Npy({1, 0, 0, 0, 0, 1}))), HasSubstr("length 0"));
  // Rounded to float16 by whoever made it.
  EXPECT_TRUE(Read(Npy({1.002f, 0, 0, 0.998f, 0, 1})).ok());
}

TEST(WeightSetFileTest, ClassNamesAreCheckedAsThoseOfABuild) {
  EXPECT_THAT(ErrorOf(Read(Npy(kRows), {})), HasSubstr("no class names"));
  EXPECT_THAT(ErrorOf(Read(Npy(kRows), {"a", "", "c"})),
              HasSubstr("classes[1]"));
  EXPECT_THAT(ErrorOf(Read(Npy(kRows), {"a", "b", std::string(5000, 'x')})),
              HasSubstr("has 5000 bytes"));
  EXPECT_THAT(Read(Npy(kRows), {"a", "b", "a"})->warnings,
              ElementsAre(HasSubstr("'a'"), HasSubstr("which model")));
  BuildLimits limits;
  limits.max_classes = 2;
  EXPECT_THAT(ErrorOf(ReadWeightSetFile(
                  {Npy(kRows), {"a", "b", "c"}, Layout::kUnknown, ""}, Model(2),
                  limits)),
              HasSubstr("3 are given; at most 2 are allowed"));
}

TEST(WeightSetFileTest, NamesOfTheFileAreTheOnlyOnes) {
  const std::string file =
      Safetensors(R"({"labels":"[\"x\",\"y\",\"z\"]"})", "[3,2]", kRows);
  EXPECT_THAT(Read(file, {})->set->class_names, ElementsAre("x", "y", "z"));
  EXPECT_TRUE(Read(file, {"x", "y", "z"}).ok());
  EXPECT_THAT(ErrorOf(Read(file, {"a", "b", "c"})), HasSubstr("leave them"));
  for (const char* labels : {"x", "{}", "[1,2,3]", "[\\\"x\\\""}) {
    EXPECT_THAT(
        ErrorOf(Read(Safetensors(absl::StrCat("{\"labels\":\"", labels, "\"}"),
                                 "[3,2]", kRows),
                     {})),
        HasSubstr("labels"));
  }
}

TEST(WeightSetFileTest, AFileOfAnotherModelIsAFailedPrecondition) {
  const auto with = [](const std::string& fingerprint) {
    return Safetensors(
        absl::StrCat(R"({"model_fingerprint":")", fingerprint, "\"}"), "[3,2]",
        kRows);
  };
  const auto right = Read(with("this model"));
  ASSERT_TRUE(right.ok()) << right.status();
  EXPECT_THAT(right->warnings, IsEmpty());
  const absl::Status wrong = Read(with("that model")).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(wrong));
  EXPECT_THAT(std::string(wrong.message()),
              AllOf(HasSubstr("'that model'"), HasSubstr("this model")));
  const auto said = [](const std::string& fingerprint) {
    return Read(Npy(kRows), {"a", "b", "c"}, Layout::kUnknown, 2, fingerprint);
  };
  EXPECT_THAT(said("this model")->warnings, IsEmpty());
  EXPECT_TRUE(absl::IsFailedPrecondition(said("that model").status()));
}

TEST(WeightSetFileTest, ATensorOfAnyNameWillDoIfItIsTheOnlyOne) {
  EXPECT_TRUE(
      Read(Safetensors("", "[3,2]", kRows, "F32", "zeroshot_weights")).ok());
}

class ExportedTest : public ::testing::Test {
 protected:
  ExportedTest() {
    set_.id = "id";
    set_.model_fingerprint = "this model";
    set_.precision = "fp32";
    set_.class_names = {"a", "b"};
    set_.embedding_dim = 2;
    set_.weights = {0.6f, 0.8f, -0.8f, 0.6f};
    set_.templates = {"a {}"};
    set_.num_prompts = 2;
    set_.num_tokens = 9;
    set_.create_time = absl::FromUnixSeconds(1'700'000'000);
  }

  std::string File(FileFormat format, Layout layout = Layout::kUnknown) {
    return absl::StrCat(ExportHeader(set_, format, layout),
                        stores::WeightBytes(set_));
  }

  stores::WeightSet set_;
};

TEST_F(ExportedTest, ComesBackAsTheSameVectorsWithAnIdOfItsOwn) {
  const auto back = Read(File(FileFormat::kSafetensors), {});
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->set->weights, set_.weights);  // square, and known to be rows
  EXPECT_EQ(back->set->class_names, set_.class_names);
  EXPECT_THAT(back->warnings, IsEmpty());
  // Whoever can write files must not be able to say whose vectors they are.
  EXPECT_THAT(back->set->id, StartsWith("imported-"));
  EXPECT_THAT(back->set->templates, IsEmpty());
  EXPECT_EQ(back->set->num_prompts, 0);
  set_ = *back->set;
  const auto again = Read(File(FileFormat::kSafetensors), {});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->set->id, back->set->id);
  EXPECT_EQ(
      Read(File(FileFormat::kNpy), {"a", "b"}, Layout::kClassRows)->set->id,
      back->set->id);
  EXPECT_EQ(Read(File(FileFormat::kNpy, Layout::kClassColumns), {"a", "b"},
                 Layout::kClassColumns)
                ->set->id,
            back->set->id);
}

TEST_F(ExportedTest, AnyFlippedBitIsFound) {
  const std::string good = File(FileFormat::kSafetensors);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] ^= 1;
    const auto result = Read(bad, {});
    // Spaces that fill up the header say nothing.
    if (result.ok()) {
      EXPECT_EQ(good[i], ' ') << i;
    }
  }
}

}  // namespace
}  // namespace zeroshot
