#include "zeroshot/npy.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace zeroshot {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Written by NumPy: tools/golden/weight_sets.py.
std::string Golden(const std::string& name) {
  std::ifstream file(
      absl::StrCat(
          ZEROSHOT_SOURCE_DIR "/tests/testdata/golden/weight_sets/npy/", name),
      std::ios::binary);
  EXPECT_TRUE(file) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

// A file of `version` with this header and as many bytes of numbers.
std::string File(const std::string& header, size_t data_bytes,
                 char version = 1) {
  std::string file =
      absl::StrCat("\x93NUMPY", std::string(1, version), std::string(1, '\0'));
  const int length_bytes = version == 1 ? 2 : 4;
  for (int i = 0; i < length_bytes; ++i) {
    file.push_back(static_cast<char>(header.size() >> (8 * i)));
  }
  return file + header + std::string(data_bytes, '\0');
}

std::string ErrorOf(const std::string& file) {
  const auto array = ParseNpy(file);
  EXPECT_TRUE(absl::IsInvalidArgument(array.status())) << array.status();
  return std::string(array.status().message());
}

TEST(NpyTest, ReadsEveryVersionTypeAndOrderThatNumPyWrites) {
  const std::pair<const char*, clip::DType> kTypes[] = {
      {"f2", clip::DType::kFloat16},
      {"f4", clip::DType::kFloat32},
      {"f8", clip::DType::kFloat64}};
  for (const int version : {1, 2, 3}) {
    for (const auto& [type, dtype] : kTypes) {
      for (const char* order : {"C", "F"}) {
        const std::string file =
            Golden(absl::StrCat("v", version, "_", type, "_", order, ".npy"));
        const auto array = ParseNpy(file);
        ASSERT_TRUE(array.ok()) << array.status();
        EXPECT_EQ(array->dtype, dtype);
        EXPECT_THAT(array->shape, ElementsAre(4, 3));
        EXPECT_EQ(array->fortran_order, *order == 'F');
        EXPECT_EQ(array->bytes.size(), 12 * clip::DTypeSize(dtype));
        EXPECT_EQ(array->bytes.data() + array->bytes.size(),
                  file.data() + file.size());
      }
    }
  }
}

TEST(NpyTest, NumbersStandInTheOrderThatTheHeaderSays) {
  const auto number = [](const std::string& file, int i) {
    double value = 0;
    std::memcpy(&value, &ParseNpy(file)->bytes[i * sizeof(value)],
                sizeof(value));
    return value;
  };
  const std::string rows = Golden("v1_f8_C.npy");
  const std::string columns = Golden("v1_f8_F.npy");
  // Row 0 is 0.5, -0.25, 1; column 0 begins 0.5, 2^-24.
  EXPECT_EQ(number(rows, 1), -0.25);
  EXPECT_EQ(number(columns, 1), std::ldexp(1, -24));
}

TEST(NpyTest, OtherNumbersAreRefused) {
  EXPECT_THAT(ErrorOf(Golden("big_endian.npy")), HasSubstr("'>f4'"));
  EXPECT_THAT(ErrorOf(Golden("integers.npy")), HasSubstr("'<i4'"));
  EXPECT_THAT(ErrorOf(Golden("records.npy")), HasSubstr("records"));
  EXPECT_THAT(ErrorOf(Golden("objects.npy")), HasSubstr("'|O'"));
}

TEST(NpyTest, EveryTruncationIsAnError) {
  const std::string whole = Golden("v2_f4_C.npy");
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(ErrorOf(whole.substr(0, size)), "") << size;
  }
  EXPECT_THAT(ErrorOf(whole + "x"), HasSubstr("takes 48"));
}

TEST(NpyTest, TakesAnyOrderOfKeysAndWhatPython2Wrote) {
  for (const char* header :
       {"{'shape':(2L,3L),'fortran_order':True,'descr':'<f4'}",
        "  { \"descr\" : \"<f4\" , 'shape' : ( 2 , 3 , ) , "
        "'fortran_order' : True , }  \n"}) {
    const auto array = ParseNpy(File(header, 24));
    ASSERT_TRUE(array.ok()) << array.status();
    EXPECT_THAT(array->shape, ElementsAre(2, 3));
    EXPECT_TRUE(array->fortran_order);
  }
  const auto scalar = ParseNpy(
      File("{'descr': '<f4', 'fortran_order': False, 'shape': ()}", 4));
  ASSERT_TRUE(scalar.ok()) << scalar.status();
  EXPECT_TRUE(scalar->shape.empty());
}

TEST(NpyTest, HostileHeadersAreErrors) {
  const std::string ends = "'fortran_order': False}";
  for (const std::string& header : std::vector<std::string>{
           "",
           "{",
           "{}",
           "{'descr'",
           "{'descr': '<f4",
           "[1]",
           "{'shape': (2, 3), " + ends,                   // no descr
           "{'descr': '<f4', 'shape': 6, " + ends,        // not a tuple
           "{'descr': '<f4', 'shape': (-2, 3), " + ends,  // negative
           "{'descr': '<f4', 'shape': (2.0, 3), " + ends,
           "{'descr': '<f4', 'shape': (2 3), " + ends,
           "{'descr': '<f4', 'shape': (2, 3, " + ends,
           "{'descr': '<f4', 'shape': (2, 3), 'shape': (2, 3), " + ends,
           "{'descr': '<f4', 'shape': (2, 3), 'evil': 1, " + ends,
           "{'descr': '<f4', 'shape': (2, 3), 'fortran_order': maybe}",
           "{'descr': '<f4', 'shape': (2, 3), 'fortran_order': False} + x",
           "{'descr': '\\x3cf4', 'shape': (2, 3), " + ends,
           "{'descr': '<f4', 'shape': (99999999999999999999, 3), " + ends,
           "{'descr': '<f4', 'shape': (4611686018427387904, 4), " + ends,
           "{'descr': '<f4', 'shape': (" + std::string(200, '1') + "), " + ends,
       }) {
    EXPECT_NE(ErrorOf(File(header, 24)), "") << header;
  }
  std::string many = "{'descr': '<f4', 'shape': (";
  for (int i = 0; i < 1000; ++i) many += "1, ";
  EXPECT_NE(ErrorOf(File(many + "), " + ends, 4)), "");
}

TEST(NpyTest, LengthsAndVersionsAreCheckedBeforeTheyAreUsed) {
  EXPECT_THAT(ErrorOf(File(std::string(10'001, ' '), 0)),
              HasSubstr("10001 bytes; at most 10000 are allowed"));
  std::string huge = File("{}", 0, /*version=*/2);
  huge.replace(8, 4, "\xff\xff\xff\xff");
  EXPECT_THAT(ErrorOf(huge), HasSubstr("4294967295"));
  EXPECT_THAT(ErrorOf(File("{}", 0, /*version=*/4)), HasSubstr("version 4.0"));
  EXPECT_THAT(ErrorOf("\x93NUMPZ"), HasSubstr("begins otherwise"));
}

TEST(NpyTest, WritesWhatNumPyWouldWrite) {
  for (const bool fortran_order : {false, true}) {
    const std::string header = NpyHeader({4, 3}, fortran_order);
    const std::string golden =
        Golden(fortran_order ? "v1_f4_F.npy" : "v1_f4_C.npy");
    EXPECT_EQ(header.size() % 64, 0);
    EXPECT_TRUE(absl::StartsWith(golden, header));
    EXPECT_EQ(golden.size(), header.size() + 48);
  }
}

}  // namespace
}  // namespace zeroshot
