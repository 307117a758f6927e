#include "server/tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "clip/sha256.h"
#include "tests/testing/certificates.h"

namespace zeroshot::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Line(const std::string& name, const std::string& permissions,
                 const std::string& token) {
  clip::Sha256 hash;
  hash.Update(token);
  return absl::StrCat(name, " ", permissions, " ", hash.HexDigest(), "\n");
}

class TokensTest : public ::testing::Test {
 protected:
  void Write(const std::string& text) { std::ofstream(file_) << text; }

  std::string LoadError() {
    return std::string(Tokens::Load(file_).status().message());
  }

  const std::string file_ = testing_certificates::NewFolder() + "/tokens";
};

TEST_F(TokensTest, EachTokenMayDoWhatItsLineSays) {
  Write("# who may do what\n\n" + Line("shop", "classify", "s3cret") +
        Line("trainer", "classify,build,delete", "other"));
  const auto tokens = Tokens::Load(file_);
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_EQ(*(*tokens)->Check("Bearer s3cret", Permission::kClassify), "shop");
  EXPECT_EQ(*(*tokens)->Check("bearer other", Permission::kBuild), "trainer");
  EXPECT_TRUE((*tokens)->Check("Bearer other", Permission::kDelete).ok());
  const absl::Status denied =
      (*tokens)->Check("Bearer s3cret", Permission::kBuild).status();
  EXPECT_EQ(denied.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(denied.message(), "the token of shop does not allow to build");
}

TEST_F(TokensTest, WithoutAKnownTokenNobodyEnters) {
  Write(Line("shop", "classify", "s3cret"));
  const auto tokens = Tokens::Load(file_);
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  for (const char* wrong : {"", "s3cret", "Basic s3cret", "Bearer ",
                            "Bearer s3cre", "Bearer s3cret2", "Bearer shop"}) {
    const absl::Status status =
        (*tokens)->Check(wrong, Permission::kClassify).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << wrong;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("s3cre")));
  }
}

TEST_F(TokensTest, WrongLineIsNamedByItsNumberAlone) {
  EXPECT_THAT(LoadError(), HasSubstr("cannot be read"));
  Write("# nothing\n");
  EXPECT_THAT(LoadError(), HasSubstr("holds no token"));
  for (const std::string& wrong :
       {std::string("shop classify s3cret"), std::string("shop"),
        Line("shop", "clasify", "s3cret"), Line("shop", "", "s3cret"),
        Line("shop", "classify more", "s3cret")}) {
    Write("# first\n" + wrong);
    EXPECT_THAT(LoadError(),
                HasSubstr("line 2 is not NAME PERMISSIONS SHA256"));
    EXPECT_THAT(LoadError(), Not(HasSubstr("s3cret")));
  }
}

TEST_F(TokensTest, ChangedFileIsReadAgainAndABrokenOneIsNot) {
  Write(Line("shop", "classify", "old"));
  const auto tokens = Tokens::Load(file_);
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  const auto enters = [&](const char* token) {
    return (*tokens)->Check(token, Permission::kClassify).ok();
  };
  EXPECT_TRUE(enters("Bearer old"));
  Write(Line("shop", "classify", "new"));
  absl::SleepFor(absl::Milliseconds(1100));
  EXPECT_TRUE(enters("Bearer new"));
  EXPECT_FALSE(enters("Bearer old"));
  Write("broken\n");
  absl::SleepFor(absl::Milliseconds(1100));
  EXPECT_TRUE(enters("Bearer new"));
}

}  // namespace
}  // namespace zeroshot::server
