// The client as others get it: installed, found by find_package and linked by
// a project of its own (client/example), which then calls a server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/client/fake_server.h"

namespace zeroshot::client {
namespace {

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::HasSubstr;

class InstallTest : public ::testing::Test {
 protected:
  InstallTest()
      : folder_(fs::path(::testing::TempDir()) /
                absl::StrCat("zeroshot-install-", getpid())) {
    fs::create_directories(folder_);
  }
  ~InstallTest() override { fs::remove_all(folder_); }

  // Runs a shell command and returns what it prints; fails the test if it
  // fails.
  static std::string Output(const std::string& command) {
    FILE* pipe = popen(absl::StrCat(command, " 2>&1").c_str(), "r");
    std::string output;
    char block[4096];
    size_t n = 0;
    while ((n = std::fread(block, 1, sizeof(block), pipe)) > 0) {
      output.append(block, n);
    }
    const int status = pclose(pipe);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
        << command << "\n"
        << output;
    return output;
  }

  std::string Quoted(const std::string& name) const {
    return absl::StrCat("'", (folder_ / name).string(), "'");
  }

  fs::path folder_;
};

TEST_F(InstallTest, AProjectOfItsOwnFindsLinksAndRunsTheClient) {
  Output(absl::StrCat(ZEROSHOT_CMAKE, " --install '", ZEROSHOT_BINARY_DIR,
                      "' --component client --prefix ", Quoted("prefix")));
  EXPECT_TRUE(fs::exists(
      folder_ / "prefix/share/zeroshot/proto/zeroshot/v1/zeroshot.proto"));
  Output(absl::StrCat(ZEROSHOT_CMAKE, " -G Ninja -S '", ZEROSHOT_SOURCE_DIR,
                      "/client/example' -B ", Quoted("build"),
                      " -DCMAKE_PREFIX_PATH=", Quoted("prefix"),
                      " -DCMAKE_CXX_COMPILER='", ZEROSHOT_CXX_COMPILER,
                      "' -DCMAKE_CXX_FLAGS='", ZEROSHOT_CXX_FLAGS,
                      " -Wall -Wextra -Werror'"));
  Output(absl::StrCat(ZEROSHOT_CMAKE, " --build ", Quoted("build")));

  // Its own test, with a fake client.
  Output(absl::StrCat("ctest --output-on-failure --no-tests=error --test-dir ",
                      Quoted("build")));

  FakeServer server;
  FakeClassifiers fake(&server);
  std::ofstream(folder_ / "rex") << "dog";
  std::ofstream(folder_ / "tree") << "tree";
  EXPECT_EQ(Output(absl::StrCat(Quoted("build/pets"), " ", server.target(), " ",
                                Quoted("rex"))),
            absl::StrCat((folder_ / "rex").string(), ": dog 75 %\n"));
  // What cannot be told, or read, is reported, and the exit code says so.
  const std::string failed = Output(absl::StrCat(
      "(", Quoted("build/pets"), " ", server.target(), " ", Quoted("tree"), " ",
      Quoted("none"), " ", Quoted("rex"), "; echo exit $?)"));
  EXPECT_THAT(failed, HasSubstr("tree: INVALID_ARGUMENT"));
  EXPECT_THAT(failed, HasSubstr("none: NOT_FOUND: No such file"));
  EXPECT_THAT(failed, HasSubstr("rex: dog 75 %"));
  EXPECT_THAT(failed, HasSubstr("exit 1"));
  EXPECT_THAT(Output(absl::StrCat("(", Quoted("build/pets"), " 127.0.0.1:1 ",
                                  Quoted("rex"), "; echo exit $?)")),
              AllOf(HasSubstr("UNAVAILABLE"), HasSubstr("exit 1")));
}

TEST_F(InstallTest, TheInstalledProgramRuns) {
  Output(absl::StrCat(ZEROSHOT_CMAKE, " --install '", ZEROSHOT_BINARY_DIR,
                      "' --component client --prefix ", Quoted("prefix")));
  FakeServer server;
  EXPECT_EQ(Output(absl::StrCat(Quoted("prefix/bin/zeroshot_client"),
                                " health --target=", server.target())),
            server.target() + " is serving\n");
}

}  // namespace
}  // namespace zeroshot::client
