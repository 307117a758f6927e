#include "server/tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/sha256.h"
#include "tests/testing/certificates.h"

namespace zeroshot::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Line(const std::string& name, const std::string& permissions,
                 const std::string& token) {
  base::Sha256 hash;
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
  EXPECT_EQ(denied.message(), "the token of shop lacks the permission build");
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

// A file whose reader looks at it when the test says so.
class ChangingTokensTest : public TokensTest {
 protected:
  ChangingTokensTest() {
    Write(Line("shop", "classify", "old"));
    auto tokens = Tokens::Load(file_, absl::InfiniteDuration());
    EXPECT_TRUE(tokens.ok()) << tokens.status();
    tokens_ = *std::move(tokens);
  }

  bool Enters(const char* token) {
    return tokens_->Check(absl::StrCat("Bearer ", token), Permission::kClassify)
        .ok();
  }

  std::unique_ptr<Tokens> tokens_;
};

TEST_F(ChangingTokensTest, IsReadAgainByItself) {
  const auto tokens = Tokens::Load(file_, absl::Milliseconds(20));
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  Write(Line("shop", "classify", "new"));
  const absl::Time end = absl::Now() + absl::Seconds(60);
  while (!(*tokens)->Check("Bearer new", Permission::kClassify).ok() &&
         absl::Now() < end) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_TRUE((*tokens)->Check("Bearer new", Permission::kClassify).ok());
  EXPECT_FALSE((*tokens)->Check("Bearer old", Permission::kClassify).ok());
}

// As where the system's clock of files ticks every 4 ms.
TEST_F(ChangingTokensTest, AChangeWithinOneTickIsSeen) {
  const auto time = std::filesystem::last_write_time(file_);
  const auto size = std::filesystem::file_size(file_);
  for (const char* token : {"new", "two", "six"}) {
    Write(Line("shop", "classify", token));
    std::filesystem::last_write_time(file_, time);
    ASSERT_EQ(std::filesystem::file_size(file_), size);
    EXPECT_TRUE(tokens_->ReadAgain().ok());
    EXPECT_TRUE(Enters(token));
    EXPECT_FALSE(Enters("old"));
  }
}

TEST_F(ChangingTokensTest, ABrokenFileSaysNothingUntilItIsMended) {
  Write(Line("shop", "classify", "new") + "broken\n");
  const auto time = std::filesystem::last_write_time(file_);
  for (int look = 0; look < 3; ++look) {
    EXPECT_THAT(std::string(tokens_->ReadAgain().message()),
                HasSubstr("line 2 is not"));
    EXPECT_TRUE(Enters("old"));
    EXPECT_FALSE(Enters("new"));
  }
  Write(Line("shop", "classify", "new"));
  std::filesystem::last_write_time(file_, time);
  EXPECT_TRUE(tokens_->ReadAgain().ok());
  EXPECT_TRUE(Enters("new"));
  EXPECT_FALSE(Enters("old"));
}

// Root reads whatever a mode says: a folder in its place cannot be read either.
TEST_F(ChangingTokensTest, AFileThatOnceCouldNotBeReadIsReadAgain) {
  const std::string aside = file_ + ".new";
  std::ofstream(aside) << Line("shop", "classify", "new");
  std::filesystem::remove(file_);
  std::filesystem::create_directory(file_);
  for (int look = 0; look < 3; ++look) {
    EXPECT_FALSE(tokens_->ReadAgain().ok());
    EXPECT_TRUE(Enters("old"));
  }
  std::filesystem::remove(file_);
  std::filesystem::rename(aside, file_);
  EXPECT_TRUE(tokens_->ReadAgain().ok());
  EXPECT_TRUE(Enters("new"));
  EXPECT_FALSE(Enters("old"));
}

TEST_F(ChangingTokensTest, WithoutFileOrTokensNobodyEnters) {
  for (const bool gone : {true, false}) {
    if (gone) {
      std::filesystem::remove(file_);
    } else {
      Write("# all are revoked\n");
    }
    // Once may be a replacement under way.
    EXPECT_FALSE(tokens_->ReadAgain().ok());
    EXPECT_TRUE(Enters("old"));
    EXPECT_FALSE(tokens_->ReadAgain().ok());
    EXPECT_FALSE(Enters("old"));
    Write(Line("shop", "classify", "old"));
    EXPECT_TRUE(tokens_->ReadAgain().ok());
    EXPECT_TRUE(Enters("old"));
  }
}

TEST_F(ChangingTokensTest, AReplacementUnderWayLocksNobodyOut) {
  for (int i = 0; i < 3; ++i) {
    std::filesystem::remove(file_);
    EXPECT_FALSE(tokens_->ReadAgain().ok());
    Write(Line("shop", "classify", "old"));
    EXPECT_TRUE(tokens_->ReadAgain().ok());
    EXPECT_TRUE(Enters("old"));
  }
}

}  // namespace
}  // namespace zeroshot::server
