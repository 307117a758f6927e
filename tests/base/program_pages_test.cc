#include "base/program_pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace base {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ProgramPage Flat() {
  return {"frob",
          "1.2",
          "frob files",
          "[--FLAG=VALUE...]",
          {},
          {{"Input",
            {{"input", "FILE", "File to frob. It's kept.", "a-b"},
             {"mode", "fast|slow", "How it is done", "fast"}}},
           {"Log",
            {{"quiet", "", "Say nothing"},
             {"mood", "N", "How", ""},
             {"place", "FOLDER", "Where"}}}},
          {{"Notes", "First.\n\n    frob --quiet\n\n.Last"},
           {"Examples", "\n    frob -x\n"}}};
}

ProgramPage WithCommands() {
  ProgramPage page = Flat();
  page.commands = {
      {"list", "", "list all", "", {{"long", "", "More of each"}}},
      {"show", "FILE", "show one", "", {{"format", "csv|json", "Format"}}}};
  return page;
}

std::string RunShell(const std::string& script) {
  char path[] = "/tmp/program_pages.XXXXXX";
  const int file = mkstemp(path);
  EXPECT_EQ(write(file, script.data(), script.size()),
            static_cast<ssize_t>(script.size()));
  close(file);
  std::FILE* pipe = popen(absl::StrCat("bash ", path, " 2>&1").c_str(), "r");
  std::string output;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) {
    output.push_back(static_cast<char>(c));
  }
  pclose(pipe);
  unlink(path);
  return output;
}

// What bash would offer when these are the words and the last is typed; default
// and dirnames: files and folders.
std::vector<std::string> Offers(const ProgramPage& page,
                                const std::vector<std::string>& words) {
  const std::string out = RunShell(absl::StrCat(
      *GeneratePage(page, "bash"),
      "\ncompopt() { [[ $2 == nospace ]] || echo \"$2\"; }\nCOMP_WORDS=('",
      absl::StrJoin(words, "' '"), "')\nCOMP_CWORD=", words.size() - 1,
      "\n_frob\nfor reply in \"${COMPREPLY[@]}\"; do echo \"$reply\"; done\n"));
  return absl::StrSplit(out, '\n', absl::SkipEmpty());
}

TEST(ProgramPagesTest, TableHasALineForEachFlagBelowItsTopic) {
  EXPECT_EQ(FlagTable(Flat().topics),
            "Input:\n"
            "  --input=FILE                 File to frob [a-b]\n"
            "  --mode=fast|slow             How it is done [fast]\n"
            "\n"
            "Log:\n"
            "  --quiet                      Say nothing\n"
            "  --mood=N                     How\n"
            "  --place=FOLDER               Where\n");
}

TEST(ProgramPagesTest, BashOffersFlagsCommandsAndValues) {
  EXPECT_THAT(Offers(Flat(), {"frob", "--mo"}),
              ElementsAre("--mode=", "--mood="));
  EXPECT_THAT(Offers(Flat(), {"frob", "--mode", "="}),
              ElementsAre("fast", "slow"));
  EXPECT_THAT(Offers(Flat(), {"frob", "--mode", "=", "s"}),
              ElementsAre("slow"));
  EXPECT_THAT(Offers(Flat(), {"frob", "--input", "=", "x"}),
              ElementsAre("default"));
  EXPECT_THAT(Offers(Flat(), {"frob", "--place", "="}),
              ElementsAre("dirnames"));
  EXPECT_THAT(Offers(Flat(), {"frob", "--mood", "=", "x"}), IsEmpty());
  EXPECT_THAT(Offers(Flat(), {"frob", ""}), IsEmpty());
  EXPECT_THAT(Offers(WithCommands(), {"frob", ""}),
              ElementsAre("list", "show"));
  EXPECT_THAT(Offers(WithCommands(), {"frob", "sh"}), ElementsAre("show"));
  // Only where a command takes them.
  EXPECT_THAT(Offers(WithCommands(), {"frob", "show", ""}),
              ElementsAre("default"));
  EXPECT_THAT(Offers(WithCommands(), {"frob", "list", ""}), IsEmpty());
  EXPECT_THAT(Offers(WithCommands(), {"frob", "list", "--l"}),
              ElementsAre("--long"));
  EXPECT_THAT(Offers(WithCommands(), {"frob", "show", "--l"}), IsEmpty());
  EXPECT_THAT(Offers(WithCommands(), {"frob", "show", "a", "--q"}),
              ElementsAre("--quiet"));
  EXPECT_THAT(Offers(WithCommands(), {"frob", "show", "--format", "=", "j"}),
              ElementsAre("json"));
}

TEST(ProgramPagesTest, ManPageHoldsEverythingAndEscapesIt) {
  const std::string page = *GeneratePage(WithCommands(), "man");
  EXPECT_THAT(page,
              AllOf(HasSubstr(".TH FROB 1"), HasSubstr("frob \\- frob"),
                    HasSubstr("\\fB\\-\\-input\\fR=\\fIFILE\\fR"),
                    HasSubstr("It's kept."), HasSubstr("Default: a\\-b"),
                    HasSubstr(".SS show FILE"),
                    HasSubstr(".PP\n.nf\n    frob \\-\\-quiet\n.fi\n.PP\n"),
                    HasSubstr("\\&.Last"),
                    HasSubstr(".SH EXAMPLES\n.nf\n    frob \\-x\n.fi")));
}

TEST(ProgramPagesTest, EveryKindNamesEveryFlag) {
  for (const char* kind : {"man", "markdown", "bash", "zsh", "fish"}) {
    const auto page = GeneratePage(Flat(), kind);
    ASSERT_TRUE(page.has_value()) << kind;
    for (const char* flag : {"input", "mode", "quiet", "mood"}) {
      EXPECT_THAT(*page, HasSubstr(flag)) << kind;
    }
  }
  EXPECT_FALSE(GeneratePage(Flat(), "tcsh").has_value());
}

TEST(ProgramPagesTest, LinesOfTheManPageAreNotLong) {
  ProgramPage page = Flat();
  page.topics[0].flags[0].help =
      absl::StrCat(std::string(70, 'a'), " ", std::string(5, 'b'), " .c d'e");
  EXPECT_THAT(*GeneratePage(page, "man"),
              HasSubstr(absl::StrCat("\n", std::string(70, 'a'),
                                     " bbbbb\n\\&.c d'e.")));
}

// In single quotes nothing of the help is code.
TEST(ProgramPagesTest, HelpIsQuotedForShells) {
  ProgramPage page = Flat();
  page.topics[0].flags[0].help = "It's [a] $(b) \\c";
  EXPECT_THAT(
      *GeneratePage(page, "zsh"),
      HasSubstr("'*--input=[It'\\''s \\[a\\] $(b) \\\\c]:FILE:_files'"));
  EXPECT_THAT(*GeneratePage(page, "fish"),
              HasSubstr("-l input -r -F -d 'It\\'s [a] $(b) \\\\c'"));
}

}  // namespace
}  // namespace base
