#include "clip/device_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace clip {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(DeviceNamesTest, AutoIsEveryGpuElseTheCpu) {
  EXPECT_THAT(*DeviceNames("auto", 2), ElementsAre("cuda:0", "cuda:1"));
  EXPECT_THAT(*DeviceNames("auto", 0), ElementsAre("cpu"));
}

TEST(DeviceNamesTest, CudaIsEveryGpuOrThoseNamed) {
  EXPECT_THAT(*DeviceNames("cuda", 3),
              ElementsAre("cuda:0", "cuda:1", "cuda:2"));
  EXPECT_THAT(*DeviceNames("cuda:1", 3), ElementsAre("cuda:1"));
  EXPECT_THAT(*DeviceNames("cuda:2,0", 3), ElementsAre("cuda:2", "cuda:0"));
  EXPECT_THAT(*DeviceNames("cpu", 3), ElementsAre("cpu"));
}

TEST(DeviceNamesTest, AGpuThatIsNotThereIsAFailedPrecondition) {
  for (const char* asked : {"cuda:3", "cuda:0,3"}) {
    const absl::Status status = DeviceNames(asked, 3).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << asked;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(asked), HasSubstr("3 CUDA devices")));
  }
  const absl::Status none = DeviceNames("cuda", 0).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(none));
  EXPECT_THAT(std::string(none.message()), HasSubstr("a build with CUDA"));
}

TEST(DeviceNamesTest, RefusesOtherNames) {
  for (const char* asked :
       {"", "gpu", "cudas", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "cuda: 1",
        "cuda:0,", "cuda:0,0", "cuda:99999999999", "cpu:0", "cpu,cuda:0"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(DeviceNames(asked, 2).status()))
        << asked;
  }
}

TEST(DeviceNamesTest, WhoSeesNoGpuIsToldWhatToDo) {
  EXPECT_THAT(WhyNoGpu(0, 13000), HasSubstr("--gpus all"));
  for (const auto& [driver, says] :
       {std::pair(12040, "CUDA 12.4"), {12020, "12.2"}, {11080, "11.8"}}) {
    EXPECT_THAT(WhyNoGpu(driver, 13000),
                AllOf(HasSubstr(says), HasSubstr("needs 13.0"),
                      HasSubstr("driver 580"), HasSubstr("cuda-compat-13-0")));
  }
  for (const int driver : {13000, 13010, 14000}) {
    EXPECT_THAT(WhyNoGpu(driver, 13000), HasSubstr("CUDA_VISIBLE_DEVICES"));
  }
}

TEST(DeviceNamesTest, AGpuThatTheBuildHasNoCodeForIsToldSo) {
  EXPECT_THAT(WhyNotThisGpu(7, 0),
              AllOf(HasSubstr("7.0"), HasSubstr("7.5 (Turing) and newer")));
  EXPECT_THAT(WhyNotThisGpu(6, 1), HasSubstr("6.1"));
  for (const auto& [major, minor] :
       {std::pair(7, 5), {8, 0}, {9, 0}, {10, 0}, {12, 1}}) {
    EXPECT_EQ(WhyNotThisGpu(major, minor), "");
  }
}

TEST(DeviceNamesTest, JoinsWhatItTookApart) {
  for (const char* asked : {"cpu", "cuda:0", "cuda:1,0,2"}) {
    EXPECT_EQ(JoinDeviceNames(*DeviceNames(asked, 3)), asked);
  }
}

}  // namespace
}  // namespace clip
