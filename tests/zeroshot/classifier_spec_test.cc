#include "zeroshot/classifier_spec.h"

#include <map>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "zeroshot/named_sets.h"

namespace zeroshot {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;

ClassifierSpec CatsAndDogs() {
  ClassifierSpec spec;
  spec.classes = {{"cat", {}}, {"dog", {}}};
  return spec;
}

std::string IdOf(const ClassifierSpec& spec, absl::string_view model = "m",
                 absl::string_view precision = "fp32") {
  return ResolvedSpec::Resolve(spec, BuildLimits())->Id(model, precision);
}

void ExpectRefused(const ClassifierSpec& spec,
                   const ::testing::Matcher<std::string>& message,
                   const BuildLimits& limits = {}) {
  const absl::Status status = ResolvedSpec::Resolve(spec, limits).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), message);
}

TEST(ClassifierSpecTest, NeitherTemplatesNorSetMeansSimple) {
  const auto spec = ResolvedSpec::Resolve(CatsAndDogs(), BuildLimits());
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->total_prompts(), 2);
  EXPECT_EQ(spec->Prompt(1, 0), "a photo of a dog.");
}

TEST(ClassifierSpecTest, EveryPlaceholderOfATemplateIsReplaced) {
  ClassifierSpec spec = CatsAndDogs();
  spec.templates = {"{} and {}", "the {}"};
  const auto resolved = ResolvedSpec::Resolve(spec, BuildLimits());
  EXPECT_EQ(resolved->Prompt(0, 0), "cat and cat");
  EXPECT_EQ(resolved->Prompt(0, 1), "the cat");
}

TEST(ClassifierSpecTest, APlaceholderInAClassNameStaysAsItIs) {
  ClassifierSpec spec;
  spec.classes = {{"a {} b", {}}};
  spec.templates = {"<{}>"};
  EXPECT_EQ(ResolvedSpec::Resolve(spec, BuildLimits())->Prompt(0, 0),
            "<a {} b>");
}

TEST(ClassifierSpecTest, OwnPromptsStandInsteadOfTemplates) {
  ClassifierSpec spec = CatsAndDogs();
  spec.classes[0].prompts = {"my cat", "her cat", "{}"};
  const auto resolved = ResolvedSpec::Resolve(spec, BuildLimits());
  EXPECT_EQ(resolved->num_prompts(0), 3);
  EXPECT_EQ(resolved->Prompt(0, 2), "{}");
  EXPECT_EQ(resolved->num_prompts(1), 1);
  EXPECT_EQ(resolved->total_prompts(), 4);
}

TEST(ClassifierSpecTest, KnowsTheReferencesSets) {
  EXPECT_EQ(FindClassSet("imagenet-1k")->size(), 1000);
  EXPECT_EQ(FindClassSet("imagenet-1k")->front(), "tench");
  EXPECT_EQ(FindTemplateSet("openai-imagenet-80")->size(), 80);
  EXPECT_EQ(FindTemplateSet("openai-imagenet-7")->size(), 7);
  EXPECT_THAT(
      TemplateSetNames(),
      IsSupersetOf({"openai-imagenet-7", "openai-imagenet-80", "simple"}));
  for (const std::string& name : TemplateSetNames()) {
    ClassifierSpec spec = CatsAndDogs();
    spec.template_set = name;
    EXPECT_TRUE(ResolvedSpec::Resolve(spec, BuildLimits()).ok()) << name;
  }
}

// As many classes as each data set has, and templates as OpenAI gave it.
TEST(ClassifierSpecTest, TheBenchmarksSetsAreWholeAndEachHasItsTemplates) {
  struct Size {
    size_t classes, templates;
  };
  const std::map<std::string, Size> expected = {
      {"birdsnap", {500, 1}},
      {"caltech101", {102, 34}},
      {"cifar10", {10, 18}},
      {"cifar100", {100, 18}},
      {"clevr-counts", {8, 1}},
      {"country211", {211, 5}},
      {"dtd", {47, 8}},
      {"eurosat", {10, 3}},
      {"fgvc-aircraft", {100, 2}},
      {"flowers102", {102, 1}},
      {"food101", {101, 1}},
      {"gtsrb", {43, 3}},
      {"hateful-memes", {2, 1}},
      {"kinetics700", {700, 28}},
      {"kitti", {4, 1}},
      {"mnist", {10, 1}},
      {"oxford-pets", {37, 1}},
      {"pcam", {2, 1}},
      {"rendered-sst2", {2, 1}},
      {"resisc45", {45, 18}},
      {"stanford-cars", {196, 8}},
      {"stl10", {10, 2}},
      {"sun397", {397, 2}},
      {"ucf101", {101, 48}},
      {"voc2007", {20, 1}},
  };
  for (const auto& [name, size] : expected) {
    ASSERT_NE(FindClassSet(name), nullptr) << name;
    ASSERT_NE(FindTemplateSet("openai-" + name), nullptr) << name;
    EXPECT_EQ(FindClassSet(name)->size(), size.classes) << name;
    EXPECT_EQ(FindTemplateSet("openai-" + name)->size(), size.templates)
        << name;
    const std::set<std::string> distinct(FindClassSet(name)->begin(),
                                         FindClassSet(name)->end());
    EXPECT_EQ(distinct.size(), size.classes) << name;
    ClassifierSpec spec;
    spec.class_set = name;
    spec.template_set = "openai-" + name;
    const auto resolved = ResolvedSpec::Resolve(spec, BuildLimits());
    ASSERT_TRUE(resolved.ok()) << resolved.status();
    EXPECT_EQ(resolved->total_prompts(), size.classes * size.templates) << name;
  }
  EXPECT_EQ(ClassSetNames().size(), expected.size() + 1);
  EXPECT_EQ(TemplateSetNames().size(), expected.size() + 3);
  EXPECT_EQ(FindClassSet("cifar10")->front(), "airplane");
  EXPECT_EQ(FindClassSet("ucf101")->back(), "Yo Yo");
  EXPECT_EQ(FindTemplateSet("openai-gtsrb")->front(),
            "a zoomed in photo of a \"{}\" traffic sign.");
}

// 80,000 prompts of which 79,840 are distinct: the published count.
TEST(ClassifierSpecTest, ImageNetHas80000Prompts) {
  ClassifierSpec spec;
  spec.class_set = "imagenet-1k";
  spec.template_set = "openai-imagenet-80";
  const auto resolved = ResolvedSpec::Resolve(spec, BuildLimits());
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(resolved->total_prompts(), 80'000);
  std::set<std::string> distinct;
  for (int c = 0; c < resolved->num_classes(); ++c) {
    for (int i = 0; i < resolved->num_prompts(c); ++i) {
      distinct.insert(resolved->Prompt(c, i));
    }
  }
  EXPECT_EQ(distinct.size(), 79'840);
}

TEST(ClassifierSpecTest, ANamedSetAndItsSpelledOutListHaveTheSameId) {
  ClassifierSpec named = CatsAndDogs();
  named.template_set = "openai-imagenet-7";
  ClassifierSpec spelled = CatsAndDogs();
  spelled.templates = *FindTemplateSet("openai-imagenet-7");
  EXPECT_EQ(IdOf(named), IdOf(spelled));
  ClassifierSpec own = CatsAndDogs();
  own.classes[0].prompts = {"a photo of a cat."};
  own.classes[1].prompts = {"a photo of a dog."};
  EXPECT_EQ(IdOf(own), IdOf(CatsAndDogs()));
}

TEST(ClassifierSpecTest, WhateverChangesTheNumbersOrLabelsChangesTheId) {
  std::set<std::string> ids = {IdOf(CatsAndDogs()), IdOf(CatsAndDogs(), "m2"),
                               IdOf(CatsAndDogs(), "m", "bf16")};
  ClassifierSpec other = CatsAndDogs();
  std::swap(other.classes[0], other.classes[1]);
  ids.insert(IdOf(other));
  other = CatsAndDogs();
  other.templates = {"the {}"};
  ids.insert(IdOf(other));
  other = CatsAndDogs();
  other.classes[0] = {"kitty", {"a photo of a cat."}};
  ids.insert(IdOf(other));
  other = CatsAndDogs();
  other.classes.push_back({"cow", {}});
  ids.insert(IdOf(other));
  EXPECT_EQ(ids.size(), 7);
  for (const std::string& id : ids) EXPECT_EQ(id.size(), 64);
}

TEST(ClassifierSpecTest, RefusesWhatIsMissingOrGivenTwice) {
  ExpectRefused(ClassifierSpec(), HasSubstr("no classes"));
  ClassifierSpec spec = CatsAndDogs();
  spec.class_set = "imagenet-1k";
  ExpectRefused(spec, HasSubstr("both `classes` and `class_set`"));
  spec = CatsAndDogs();
  spec.templates = {"{}"};
  spec.template_set = "simple";
  ExpectRefused(spec, HasSubstr("both `templates` and `template_set`"));
}

TEST(ClassifierSpecTest, AnUnknownSetIsRefusedWithTheKnownOnes) {
  ClassifierSpec spec = CatsAndDogs();
  spec.template_set = "nope";
  ExpectRefused(spec,
                AllOf(HasSubstr("'nope'"), HasSubstr("openai-imagenet-80")));
  spec = ClassifierSpec();
  spec.class_set = "nope";
  ExpectRefused(spec, AllOf(HasSubstr("'nope'"), HasSubstr("imagenet-1k")));
}

TEST(ClassifierSpecTest, NamesTheFieldThatIsWrong) {
  ClassifierSpec spec = CatsAndDogs();
  spec.classes[1].name = "";
  ExpectRefused(spec, HasSubstr("classes[1].name is empty"));
  spec = CatsAndDogs();
  spec.classes[0].prompts = {"a cat", ""};
  ExpectRefused(spec, HasSubstr("classes[0].prompts[1] is empty"));
  spec = CatsAndDogs();
  spec.templates = {"a {}", "a photo"};
  ExpectRefused(spec, AllOf(HasSubstr("templates[1]"), HasSubstr("'a photo'"),
                            HasSubstr("{}")));
}

TEST(ClassifierSpecTest, LimitsSayWhatWasFoundAndWhatIsAllowed) {
  BuildLimits limits;
  limits.max_classes = 1;
  ExpectRefused(
      CatsAndDogs(),
      HasSubstr("too many classes: 2 are given; at most 1 are allowed"),
      limits);
  limits = BuildLimits();
  limits.max_prompts = 13;
  ClassifierSpec spec = CatsAndDogs();
  spec.template_set = "openai-imagenet-7";
  ExpectRefused(spec, HasSubstr("14 are given; at most 13 are allowed"),
                limits);
  limits = BuildLimits();
  limits.max_templates = 1;
  spec = CatsAndDogs();
  spec.templates = {"a {}", "the {}"};
  ExpectRefused(
      spec, HasSubstr("too many templates: 2 are given; at most 1 are allowed"),
      limits);
  limits = BuildLimits();
  limits.max_text_bytes = 2;
  ExpectRefused(CatsAndDogs(), HasSubstr("2 are allowed"), limits);
}

TEST(ClassifierSpecTest, ATemplateThatMultipliesTheNameIsHeldToTheLimit) {
  BuildLimits limits;
  limits.max_text_bytes = 10;
  ClassifierSpec spec = CatsAndDogs();
  spec.classes[1].name = "doggy";
  spec.templates = {"{} {}"};  // makes 11 bytes
  ExpectRefused(spec,
                AllOf(HasSubstr("templates[0]"), HasSubstr("'doggy'"),
                      HasSubstr("11 bytes; at most 10 are allowed")),
                limits);
  spec.classes[1].name = "dogg";
  EXPECT_TRUE(ResolvedSpec::Resolve(spec, limits).ok());
}

TEST(ClassifierSpecTest, WarnsOfASingleClass) {
  ClassifierSpec spec = CatsAndDogs();
  spec.classes = {{"cat; dog; bird", {}}};
  EXPECT_THAT(ResolvedSpec::Resolve(spec, BuildLimits())->Warnings(),
              ElementsAre(AllOf(HasSubstr("only one class, 'cat; dog; bird'"),
                                HasSubstr("probability is always 1"))));
}

TEST(ClassifierSpecTest, WarnsOfBracesThatAreLeftInPrompts) {
  ClassifierSpec spec = CatsAndDogs();
  for (const std::string text :
       {"This text is about {{}}.", "{c} or {}", "a photo of a {}}"}) {
    spec.templates = {"a {}", text};
    EXPECT_THAT(ResolvedSpec::Resolve(spec, BuildLimits())->Warnings(),
                ElementsAre(HasSubstr(absl::StrCat("templates[1] is '", text,
                                                   "': only {} stands"))));
  }
  // No prompt is made of them.
  for (ClassDefinition& definition : spec.classes) definition.prompts = {"x"};
  EXPECT_THAT(ResolvedSpec::Resolve(spec, BuildLimits())->Warnings(),
              IsEmpty());
}

TEST(ClassifierSpecTest, WarnsOfBlankNames) {
  ClassifierSpec spec = CatsAndDogs();
  spec.classes.push_back({" \t", {}});
  spec.classes.push_back({"\xc2\xa0\xe2\x80\x8b", {}});
  EXPECT_THAT(ResolvedSpec::Resolve(spec, BuildLimits())->Warnings(),
              ElementsAre(HasSubstr("the name of class 2 holds nothing"),
                          HasSubstr("the name of class 3 holds nothing")));
}

TEST(ClassifierSpecTest, WarnsOfDuplicateNames) {
  ClassifierSpec spec = CatsAndDogs();
  EXPECT_THAT(ResolvedSpec::Resolve(spec, BuildLimits())->Warnings(),
              IsEmpty());
  spec.classes.push_back({"cat", {}});
  EXPECT_THAT(ResolvedSpec::Resolve(spec, BuildLimits())->Warnings(),
              ElementsAre(AllOf(HasSubstr("'cat'"), HasSubstr("0 and 2"))));
}

}  // namespace
}  // namespace zeroshot
