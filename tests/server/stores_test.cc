// Weight sets that outlive the server that built them.
#include "server/stores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/server/running_server.h"
#include "tests/testing/make_png.h"
#include "tests/testing/temporary_folder.h"

namespace zeroshot::server {
namespace {

class StoresTest : public ::testing::Test {
 protected:
  ServerOptions WithDisk() {
    ServerOptions options;
    options.disk_store = folder_.path();
    return options;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(StoresTest, ANewServerServesAKnownIdWithoutItsTextTower) {
  std::string id;
  {
    RunningServer before(WithDisk());
    id = before.Build(BuildRequest({"cat", "dog"}));
  }
  RunningServer after(WithDisk());
  v1::GetWeightSetRequest request;
  request.set_weight_set_id(id);
  v1::GetWeightSetResponse response;
  Context context;
  ASSERT_TRUE(after.stub().GetWeightSet(&context, request, &response).ok());
  EXPECT_EQ(response.class_names(1), "dog");
  EXPECT_EQ(after.Build(BuildRequest({"cat", "dog"})), id);
  EXPECT_EQ(after.model().text_calls(), 0);
}

TEST_F(StoresTest, ADamagedFileIsBuiltAnew) {
  RunningServer before(WithDisk());
  const std::string id = before.Build(BuildRequest({"cat", "dog"}));
  std::filesystem::resize_file(folder_.path() + "/" + id + ".safetensors", 99);
  RunningServer after(WithDisk());
  EXPECT_EQ(after.Build(BuildRequest({"cat", "dog"})), id);
  EXPECT_EQ(after.model().text_calls(), 1);
}

TEST_F(StoresTest, ADiskStoreThatIsNoFolderEndsTheStart) {
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.disk_store = "/dev/null";
  const auto started = Server::Start(options);
  EXPECT_TRUE(absl::IsInvalidArgument(started.status()));
}

}  // namespace
}  // namespace zeroshot::server
