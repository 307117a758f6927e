// Weight sets that outlive the server that built them.
#include "server/stores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "stores/disk_store.h"
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
  EXPECT_EQ(after.text_calls(), 0);
}

TEST_F(StoresTest, ADamagedFileIsBuiltAnew) {
  RunningServer before(WithDisk());
  const std::string id = before.Build(BuildRequest({"cat", "dog"}));
  std::filesystem::resize_file(folder_.path() + "/" + id + ".safetensors", 99);
  RunningServer after(WithDisk());
  EXPECT_EQ(after.Build(BuildRequest({"cat", "dog"})), id);
  EXPECT_EQ(after.text_calls(), 1);
}

// Whoever writes to the folder can make its checksums too.
TEST_F(StoresTest, AForgedFileIsNeverServed) {
  std::string id;
  std::shared_ptr<const stores::WeightSet> good;
  {
    RunningServer before(WithDisk());
    id = before.Build(BuildRequest({"cat", "dog"}));
  }
  good = *(*stores::DiskStore::Open(folder_.path(), 1 << 20))->Get(id);
  const auto forge = [&](void (*change)(stores::WeightSet&)) {
    auto set = std::make_shared<stores::WeightSet>(*good);
    change(*set);
    set->weights.resize(set->class_names.size() * set->embedding_dim, 1);
    const auto store =
        *stores::DiskStore::Open(folder_.path(), int64_t{1} << 30);
    ASSERT_TRUE(store->Delete(id).ok());
    ASSERT_TRUE(store->Put(set).ok());
    ASSERT_TRUE(store->Get(id).ok());  // its checksums are right
    RunningServer after(WithDisk());
    v1::ClassifyRequest request;
    request.set_weight_set_id(id);
    request.set_image(testing_images::MakePng(1));
    v1::ClassifyResponse response;
    EXPECT_EQ(after.Classify(request, &response).error_code(),
              grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(response.predictions_size(), 0);
    EXPECT_THAT(
        after.server().status_source().metrics(),
        ::testing::HasSubstr(R"(zeroshot_store_errors_total{tier="disk"} 1)"));
    // It stands in nobody's way.
    EXPECT_EQ(after.Build(BuildRequest({"cat", "dog"})), id);
    EXPECT_TRUE(after.Classify(request, &response).ok());
    RunningServer another(WithDisk());
    EXPECT_TRUE(another.Classify(request, &response).ok());
    EXPECT_EQ(another.text_calls(), 0);
  };
  // More than the model's: the heap behind the image's row would answer.
  forge([](stores::WeightSet& set) { set.embedding_dim = 4096; });
  forge([](stores::WeightSet& set) { set.embedding_dim = 1; });
  forge([](stores::WeightSet& set) { set.weights[0] = std::nanf(""); });
  forge([](stores::WeightSet& set) { set.weights[0] += 1; });
  forge([](stores::WeightSet& set) { set.class_names[0] = "cow"; });
  forge([](stores::WeightSet& set) { set.templates = {"the {}"}; });
}

TEST_F(StoresTest, ASetThatMemoryAnswersWithIsNotTheFirstToGoFromDisk) {
  std::string hot, other;
  {
    RunningServer server(WithDisk());
    hot = server.Build(BuildRequest({"hot"}));
  }
  ServerOptions options = WithDisk();
  // Room for two.
  options.disk_store_bytes = static_cast<int64_t>(
      std::filesystem::file_size(folder_.path() + "/" + hot + ".safetensors") *
      5 / 2);
  v1::ClassifyRequest request;
  request.set_weight_set_id(hot);
  request.set_image(testing_images::MakePng(1));
  v1::ClassifyResponse response;
  {
    RunningServer server(options);
    for (const char* name : {"one", "two", "six", "ten"}) {
      ASSERT_TRUE(server.Classify(request, &response).ok());
      other = server.Build(BuildRequest({name}));
    }
  }
  RunningServer after(options);
  EXPECT_TRUE(after.Classify(request, &response).ok());
  request.set_weight_set_id(other);
  EXPECT_TRUE(after.Classify(request, &response).ok());
  EXPECT_EQ(after.text_calls(), 0);
}

TEST_F(StoresTest, WithAKeyOnlyWhatItSignedIsServed) {
  testing::TemporaryFolder keys;
  const auto with_key = [&](const std::string& lines) {
    ServerOptions options = WithDisk();
    options.store_key_file = keys.path() + "/keys";
    std::ofstream(options.store_key_file) << lines;
    return options;
  };
  const std::string one = "# of May\n" + std::string(32, '1') + "\n",
                    two = std::string(32, '2') + "\n";
  v1::ClassifyRequest request;
  request.set_image(testing_images::MakePng(1));
  v1::ClassifyResponse response;
  {
    RunningServer bare(WithDisk());
    request.set_weight_set_id(bare.Build(BuildRequest({"cat", "dog"})));
  }
  {
    RunningServer server(with_key(one));
    EXPECT_EQ(server.Classify(request, &response).error_code(),
              grpc::StatusCode::NOT_FOUND);
    server.Build(BuildRequest({"cat", "dog"}));
  }
  {
    RunningServer server(with_key(two + one));
    EXPECT_TRUE(server.Classify(request, &response).ok());
    EXPECT_EQ(server.text_calls(), 0);
  }
  RunningServer other(with_key(two));
  EXPECT_EQ(other.Classify(request, &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
  for (const char* wrong : {"", "# none\n", "short\n"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Stores::Open(with_key(wrong)).status()))
        << wrong;
  }
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
