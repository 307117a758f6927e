#include "clip/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"

namespace clip {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string File(const std::string& header, const std::string& data) {
  std::string size(8, '\0');
  for (int i = 0; i < 8; ++i)
    size[i] = static_cast<char>(header.size() >> (8 * i));
  return size + header + data;
}

absl::StatusOr<TensorMap> Parse(const std::string& file) {
  return ParseSafetensors(absl::MakeConstSpan(
      reinterpret_cast<const uint8_t*>(file.data()), file.size()));
}

const char kTwoTensors[] = R"({"__metadata__":{"format":"pt"},
  "b":{"dtype":"F16","shape":[2,2],"data_offsets":[4,12]},
  "a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})";

TEST(SafetensorsTest, ReadsNamesTypesShapesAndBytes) {
  const std::string file = File(kTwoTensors, "aaaabbbbbbbb");
  const auto tensors = Parse(file);
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 2);
  EXPECT_EQ(tensors->at("a").dtype, DType::kFloat32);
  EXPECT_TRUE(tensors->at("a").shape.empty());
  EXPECT_EQ(tensors->at("a").bytes.size(), 4);
  EXPECT_EQ(tensors->at("b").dtype, DType::kFloat16);
  EXPECT_THAT(tensors->at("b").shape, ElementsAre(2, 2));
  EXPECT_EQ(tensors->at("b").bytes[0], 'b');
  EXPECT_EQ(tensors->at("b").bytes.size(), 8);
}

TEST(SafetensorsTest, AcceptsTensorsWithoutElementsAndFilesWithoutTensors) {
  EXPECT_TRUE(Parse(File("{}", "")).ok());
  const auto tensors = Parse(
      File(R"({"e":{"dtype":"I64","shape":[0,7],"data_offsets":[0,0]}})", ""));
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  EXPECT_TRUE(tensors->at("e").bytes.empty());
}

TEST(SafetensorsTest, EveryTruncationIsAnError) {
  const std::string file = File(kTwoTensors, "aaaabbbbbbbb");
  for (size_t size = 0; size < file.size(); ++size) {
    // A copy of its own, so that AddressSanitizer sees a read past the end.
    const std::vector<uint8_t> cut(file.begin(), file.begin() + size);
    EXPECT_EQ(ParseSafetensors(cut).status().code(),
              absl::StatusCode::kInvalidArgument)
        << size;
  }
}

struct BadFile {
  const char* name;
  std::string file;
  const char* message;
};

std::string OneTensor(const std::string& dtype, const std::string& shape,
                      const std::string& offsets, const std::string& data) {
  return File(R"({"t":{"dtype":")" + dtype + R"(","shape":)" + shape +
                  R"(,"data_offsets":)" + offsets + "}}",
              data);
}

std::string Repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

// The texts with 0, 1, ... in the place of %d.
std::string Numbered(int count, const std::string& text) {
  std::string all;
  for (int i = 0; i < count; ++i) {
    all += absl::StrReplaceAll(text, {{"%d", std::to_string(i)}});
  }
  return all;
}

class BadSafetensorsTest : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadSafetensorsTest, IsRefusedWithItsReason) {
  const auto tensors = Parse(GetParam().file);
  EXPECT_EQ(tensors.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(tensors.status().message()),
              HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadSafetensorsTest,
    ::testing::Values(
        BadFile{"Empty", "", "0 bytes"},
        BadFile{"HugeHeader", std::string(8, '\xff') + "{}",
                "a header of 18446744073709551615 bytes"},
        BadFile{"HeaderNotJson", File("{]", ""), "not a JSON object"},
        BadFile{"HeaderNotObject", File("[1]", ""), "not a JSON object"},
        BadFile{"EntryNotObject", File(R"({"t":3})", ""),
                "tensor 't': expected an object"},
        BadFile{"NoOffsets", File(R"({"t":{"dtype":"F32","shape":[]}})", ""),
                "tensor 't': expected an object"},
        BadFile{
            "DTypeNotText",
            File(R"({"t":{"dtype":3,"shape":[],"data_offsets":[0,0]}})", ""),
            "tensor 't'"},
        BadFile{"UnknownDType", OneTensor("F8_E4M3", "[1]", "[0,1]", "x"),
                "unsupported dtype 'F8_E4M3'"},
        BadFile{"NegativeDimension", OneTensor("U8", "[-1]", "[0,1]", "x"),
                "not what the format allows"},
        BadFile{"FractionalDimension", OneTensor("U8", "[1.0]", "[0,1]", "x"),
                "not what the format allows"},
        BadFile{"ShapeOverflows",
                OneTensor("F32", "[4611686018427387904,4]", "[0,0]", ""),
                "does not fill bytes"},
        BadFile{"DimensionOver63Bits",
                OneTensor("U8", "[18446744073709551615]", "[0,1]", "x"),
                "not what the format allows"},
        BadFile{"OffsetsReversed", OneTensor("U8", "[1]", "[1,0]", "x"),
                "not what the format allows"},
        BadFile{"ThreeOffsets", OneTensor("U8", "[1]", "[0,1,1]", "x"),
                "not what the format allows"},
        BadFile{"BeyondTheFile", OneTensor("U8", "[9]", "[0,9]", "x"),
                "ends at byte 9 of the data, but the file has 1"},
        BadFile{"SizeOfAnotherShape", OneTensor("F32", "[2]", "[0,4]", "xxxx"),
                "F32 [2] does not fill bytes 0 to 4"},
        BadFile{"Hole", OneTensor("U8", "[1]", "[1,2]", "xx"),
                "starts at byte 1 of the data, expected 0"},
        BadFile{"Surplus", OneTensor("U8", "[1]", "[0,1]", "xx"),
                "1 bytes after the last tensor"},
        BadFile{"Overlap",
                File(R"({"s":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
                         "t":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                     "xxx"),
                "tensor 't': starts at byte 1 of the data, expected 2"},
        BadFile{"TensorTwice",
                File(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
                         "t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                     "x"),
                "tensor 't': is there twice"},
        BadFile{"MetadataTwice",
                File(R"({"__metadata__":{},"__metadata__":{}})", ""),
                "__metadata__ twice"},
        BadFile{"MetadataNotTexts", File(R"({"__metadata__":{"a":[]}})", ""),
                "not an object of at most 4096 texts"},
        BadFile{"Nested",
                File(std::string(100'000, '[') + std::string(100'000, ']'), ""),
                "not a JSON object"},
        BadFile{
            "NestedInTensor",
            File(R"({"t":{"dtype":"U8","x":)" + std::string(100'000, '['), ""),
            "tensor 't': expected an object"},
        BadFile{"ManyAxes",
                OneTensor("U8",
                          "[1" + std::string(200'000, ' ') +
                              Repeated(",1", 64) + "]",
                          "[0,1]", "x"),
                "not what the format allows"},
        BadFile{"ManyTexts",
                File(R"({"__metadata__":{)" + Numbered(5'000, R"("%d":"",)") +
                         R"("x":""}})",
                     ""),
                "not an object of at most 4096 texts"},
        BadFile{"ManyTensors",
                File("{" +
                         Numbered(70'000, R"("%d":{"dtype":"U8","shape":[0],)"
                                          R"("data_offsets":[0,0]},)") +
                         R"("t":{}})",
                     ""),
                "more than 65536 tensors"},
        BadFile{"LongName",
                File("{\"" + std::string(5'000, 'x') + "\":{}}", ""),
                "a tensor's name has 5000 bytes"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace clip
