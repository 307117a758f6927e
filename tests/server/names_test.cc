// What people call things: display names, beginnings of ids, names of classes
// a page at a time, and what the named sets hold. Through a real channel.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/client.h"
#include "client/error_info.h"
#include "tests/server/running_server.h"
#include "tests/testing/make_png.h"
#include "tests/testing/temporary_folder.h"
#include "zeroshot/named_sets.h"

namespace zeroshot::server {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

v1::BuildClassifierRequest Named(const std::string& name) {
  v1::BuildClassifierRequest request = BuildRequest({"cat", "dog"});
  request.set_display_name(name);
  return request;
}

grpc::Status Get(RunningServer& running, v1::GetWeightSetRequest request,
                 v1::GetWeightSetResponse* response) {
  Context context;
  return running.stub().GetWeightSet(&context, request, response);
}

// The display name that GetWeightSet and ListWeightSets show, which is one.
std::string NameOf(RunningServer& running, const std::string& id) {
  v1::GetWeightSetRequest request;
  request.set_weight_set_id(id);
  v1::GetWeightSetResponse got;
  EXPECT_TRUE(Get(running, request, &got).ok());
  Context context;
  v1::ListWeightSetsResponse list;
  EXPECT_TRUE(running.stub().ListWeightSets(&context, {}, &list).ok());
  for (const v1::WeightSetInfo& set : list.weight_sets()) {
    if (set.weight_set_id() != id) continue;
    EXPECT_EQ(set.display_name(), got.weight_set().display_name());
    return set.display_name();
  }
  return "not listed";
}

TEST(DisplayNameTest, IsNoPartOfTheIdAndTheLastOneCounts) {
  RunningServer running;
  const std::string id = running.Build(BuildRequest({"cat", "dog"}));
  EXPECT_EQ(NameOf(running, id), "");
  EXPECT_EQ(running.Build(Named("pets")), id);
  EXPECT_EQ(NameOf(running, id), "pets");
  // A caller that gives no name takes none away.
  EXPECT_EQ(running.Build(BuildRequest({"cat", "dog"})), id);
  EXPECT_EQ(NameOf(running, id), "pets");
  EXPECT_EQ(running.Build(Named("H\xc3\xa4ustiere \xf0\x9f\x90\x88")), id);
  EXPECT_EQ(NameOf(running, id), "H\xc3\xa4ustiere \xf0\x9f\x90\x88");
  EXPECT_EQ(running.text_calls(), 1);
  // With progress too, and for a set that is new.
  Context context;
  v1::BuildClassifierRequest fresh = BuildRequest({"cow"});
  fresh.set_display_name("farm");
  const auto reader = running.stub().BuildClassifierStream(&context, fresh);
  v1::BuildClassifierStreamResponse event;
  std::string other;
  while (reader->Read(&event)) {
    if (event.has_result()) other = event.result().weight_set_id();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(NameOf(running, other), "farm");
}

TEST(DisplayNameTest, AnInlineClassifiersNameCountsToo) {
  RunningServer running;
  v1::ClassifyRequest request;
  request.set_image(testing_images::MakePng(1));
  std::string id;
  // Built, then found.
  for (const char* name : {"pets", "animals"}) {
    *request.mutable_classifier() = Named(name);
    v1::ClassifyResponse answer;
    const grpc::Status status = running.Classify(request, &answer);
    ASSERT_TRUE(status.ok()) << status.error_message();
    id = answer.weight_set_id();
    EXPECT_EQ(NameOf(running, id), name);
  }
  *request.mutable_classifier() = Named("two\nlines");
  v1::ClassifyResponse answer;
  const grpc::Status status = running.Classify(request, &answer);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_details(), HasSubstr("classifier.display_name"));
  EXPECT_EQ(NameOf(running, id), "animals");
  EXPECT_EQ(running.text_calls(), 1);
}

TEST(DisplayNameTest, WhatDoesNotShowOrIsTooLongIsRefused) {
  RunningServer running;
  const auto refused = [&](const std::string& name) {
    Context context;
    v1::BuildClassifierResponse response;
    const grpc::Status status =
        running.stub().BuildClassifier(&context, Named(name), &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_details(),
                AllOf(HasSubstr("INVALID_FIELD"), HasSubstr("display_name")));
    return status.error_message();
  };
  EXPECT_THAT(refused(std::string(257, 'x')),
              AllOf(HasSubstr("257 bytes"), HasSubstr("256 are allowed")));
  EXPECT_THAT(refused("two\nlines"), HasSubstr("U+000A at byte 3"));
  EXPECT_THAT(refused(std::string("a\0b", 3)), HasSubstr("U+0000"));
  EXPECT_THAT(refused("\x7f"), HasSubstr("U+007F"));
  EXPECT_THAT(refused("\xc2\x85"), HasSubstr("U+0085"));
  EXPECT_THAT(refused("\xe2\x80\xae txt"), HasSubstr("U+202E"));
  EXPECT_EQ(running.text_calls(), 0);
  EXPECT_NE(running.Build(Named(std::string(256, 'x'))), "");
}

TEST(DisplayNameTest, OutlivesTheServerOnDiskAndGoesWithTheSet) {
  testing::TemporaryFolder folder;
  ServerOptions options;
  options.disk_store = folder.path();
  std::string id;
  {
    RunningServer before(options);
    id = before.Build(Named("pets"));
  }
  RunningServer after(options);
  EXPECT_EQ(NameOf(after, id), "pets");
  // Read into memory.
  v1::ClassifyRequest classify;
  classify.set_image(testing_images::MakePng(1));
  classify.set_weight_set_id(id);
  v1::ClassifyResponse answer;
  ASSERT_TRUE(after.Classify(classify, &answer).ok());
  EXPECT_EQ(NameOf(after, id), "pets");
  const auto client =
      *Client::Connect(absl::StrCat("127.0.0.1:", after.server().port()));
  ASSERT_TRUE(client->DeleteWeightSet(id).ok());
  EXPECT_EQ(after.Build(BuildRequest({"cat", "dog"})), id);
  EXPECT_EQ(NameOf(after, id), "");
}

TEST(FirstClassNamesTest, AreFiveAndCutWhereTheyAreLong) {
  RunningServer running;
  // The 64th byte is within a character.
  const std::string lead(63, 'x');
  v1::BuildClassifierRequest request = BuildRequest({"a", "b"});
  request.add_classes()->set_name(lead + "\xc3\xa4 and more");
  for (const char* name : {"d", "e", "f", "g"}) {
    request.add_classes()->set_name(name);
  }
  const std::string id = running.Build(request);
  v1::GetWeightSetRequest get;
  get.set_weight_set_id(id);
  v1::GetWeightSetResponse got;
  ASSERT_TRUE(Get(running, get, &got).ok());
  EXPECT_THAT(got.weight_set().first_class_names(),
              ElementsAre("a", "b", lead + "\xe2\x80\xa6", "d", "e"));
  EXPECT_EQ(got.class_names(2), lead + "\xc3\xa4 and more");
  Context context;
  v1::ListWeightSetsResponse list;
  ASSERT_TRUE(running.stub().ListWeightSets(&context, {}, &list).ok());
  EXPECT_THAT(list.weight_sets(0).first_class_names(), SizeIs(5));
}

class PrefixTest : public ::testing::Test {
 protected:
  grpc::Status Delete(const std::string& id) {
    v1::DeleteWeightSetRequest request;
    request.set_weight_set_id(id);
    Context context;
    v1::DeleteWeightSetResponse response;
    return running_.stub().DeleteWeightSet(&context, request, &response);
  }
  grpc::Status GetById(const std::string& id) {
    v1::GetWeightSetRequest request;
    request.set_weight_set_id(id);
    return Get(running_, request, &got_);
  }

  RunningServer running_;
  v1::GetWeightSetResponse got_;
};

TEST_F(PrefixTest, GetAndDeleteTakeTheBeginningOfAnId) {
  const std::string id = running_.Build(BuildRequest({"cat"}));
  for (const int digits : {8, 9, 40, 63, 64}) {
    ASSERT_TRUE(GetById(id.substr(0, digits)).ok()) << digits;
    EXPECT_EQ(got_.weight_set().weight_set_id(), id);
  }
  const grpc::Status few = GetById(id.substr(0, 7));
  EXPECT_EQ(few.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(few.error_message(), HasSubstr("at least 8"));
  EXPECT_EQ(Delete(id.substr(0, 7)).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  std::string other = id.substr(0, 8);
  other[7] = other[7] == '0' ? '1' : '0';
  EXPECT_EQ(GetById(other).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Delete(other).error_code(), grpc::StatusCode::NOT_FOUND);
  // Not in Classify.
  v1::ClassifyRequest classify;
  classify.set_image(testing_images::MakePng(1));
  classify.set_weight_set_id(id.substr(0, 20));
  v1::ClassifyResponse answer;
  EXPECT_EQ(running_.Classify(classify, &answer).error_code(),
            grpc::StatusCode::NOT_FOUND);
  EXPECT_TRUE(Delete(id.substr(0, 8)).ok());
  EXPECT_EQ(GetById(id).error_code(), grpc::StatusCode::NOT_FOUND);
}

std::vector<std::string> Numbered(int count, const std::string& end = "") {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) {
    names.push_back(absl::StrCat("class ", i, end));
  }
  return names;
}

v1::BuildClassifierRequest Of(const std::vector<std::string>& names) {
  v1::BuildClassifierRequest request;
  for (const std::string& name : names) {
    v1::ClassDefinition* added = request.add_classes();
    added->set_name(name);
    added->add_prompts("x");  // names may be longer than prompts
  }
  return request;
}

TEST(NamePagesTest, NamesComeInPages) {
  RunningServer running;
  const std::vector<std::string> names = Numbered(2'500);
  const std::string id = running.Build(Of(names));
  v1::GetWeightSetRequest request;
  request.set_weight_set_id(id.substr(0, 12));
  std::vector<std::string> seen;
  std::vector<int> sizes;
  do {
    v1::GetWeightSetResponse page;
    ASSERT_TRUE(Get(running, request, &page).ok());
    EXPECT_EQ(page.weight_set().weight_set_id(), id);
    EXPECT_EQ(page.weight_set().num_classes(), 2'500);
    sizes.push_back(page.class_names_size());
    seen.insert(seen.end(), page.class_names().begin(),
                page.class_names().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(seen, names);
  EXPECT_THAT(sizes, ElementsAre(1000, 1000, 500));

  request.set_page_size(2);
  v1::GetWeightSetResponse page;
  ASSERT_TRUE(Get(running, request, &page).ok());
  EXPECT_THAT(page.class_names(), ElementsAre("class 0", "class 1"));
  request.set_page_token(page.next_page_token());
  ASSERT_TRUE(Get(running, request, &page).ok());
  EXPECT_THAT(page.class_names(), ElementsAre("class 2", "class 3"));
  // The client library puts them together.
  const auto client =
      *Client::Connect(absl::StrCat("127.0.0.1:", running.server().port()));
  EXPECT_THAT(client->GetWeightSet(id)->class_names(), ElementsAreArray(names));
}

TEST(NamePagesTest, TheBackgroundComesBehindTheClasses) {
  RunningServer running;
  v1::BuildClassifierRequest build = Of(Numbered(3));
  const std::vector<std::string> background = {"texture", "sky", "nothing"};
  build.mutable_background()->Assign(background.begin(), background.end());
  v1::GetWeightSetRequest request;
  request.set_weight_set_id(running.Build(build));
  request.set_page_size(2);
  std::vector<std::string> pages;
  do {
    v1::GetWeightSetResponse page;
    ASSERT_TRUE(Get(running, request, &page).ok());
    pages.push_back(absl::StrCat(absl::StrJoin(page.class_names(), ","), "/",
                                 absl::StrJoin(page.background(), ",")));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(pages, ElementsAre("class 0,class 1/", "class 2/texture",
                                 "/sky,nothing"));
  const auto client =
      *Client::Connect(absl::StrCat("127.0.0.1:", running.server().port()));
  const auto set = client->GetWeightSet(request.weight_set_id());
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_THAT(set->class_names(), ElementsAre("class 0", "class 1", "class 2"));
  EXPECT_THAT(set->background(), ElementsAreArray(background));
  EXPECT_EQ(set->weight_set().first_class_names_size(), 3);
}

TEST(NamePagesTest, APageOfLongNamesIsShorter) {
  RunningServer running;
  const std::string id =
      running.Build(Of(Numbered(1'000, std::string(2'000, 'x'))));
  v1::GetWeightSetRequest request;
  request.set_weight_set_id(id);
  request.set_page_size(1'000);
  v1::GetWeightSetResponse page;
  ASSERT_TRUE(Get(running, request, &page).ok());
  EXPECT_LT(page.ByteSizeLong(), (1 << 20) + 10'000);
  EXPECT_THAT(page.class_names(),
              SizeIs(::testing::AllOf(::testing::Gt(500), ::testing::Lt(530))));
  EXPECT_EQ(page.next_page_token(), absl::StrCat(page.class_names_size()));
}

TEST(NamePagesTest, SoIsAPageOfLongGroups) {
  RunningServer running;
  v1::BuildClassifierRequest build = Of(Numbered(1'000));
  for (v1::ClassDefinition& definition : *build.mutable_classes()) {
    definition.set_group(definition.name() + std::string(2'000, 'x'));
  }
  v1::GetWeightSetRequest request;
  request.set_weight_set_id(running.Build(build));
  int decisions = 0;
  do {
    v1::GetWeightSetResponse page;
    ASSERT_TRUE(Get(running, request, &page).ok());
    EXPECT_LT(page.ByteSizeLong(), (1 << 20) + 50'000);
    EXPECT_EQ(page.decisions_size(), page.class_names_size());
    decisions += page.decisions_size();
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(decisions, 1'000);
}

TEST(NamePagesTest, PagesThatAreNoneAreRefused) {
  RunningServer running;
  const std::string id = running.Build(Of(Numbered(3)));
  v1::GetWeightSetRequest request;
  request.set_weight_set_id(id);
  v1::GetWeightSetResponse page;
  for (const char* token :
       {"0", "3", "-1", "x", "1x", "99999999999999999999"}) {
    request.set_page_token(token);
    const grpc::Status status = Get(running, request, &page);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_details(), HasSubstr("page_token"));
  }
  request.clear_page_token();
  request.set_page_size(-1);
  const grpc::Status status = Get(running, request, &page);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("page_size is -1"));
}

TEST(NamedSetsTest, ListTemplateSetsShowsTheirTemplates) {
  RunningServer running;
  Context context;
  v1::ListTemplateSetsResponse list;
  ASSERT_TRUE(running.stub().ListTemplateSets(&context, {}, &list).ok());
  std::vector<std::string> names;
  for (const v1::TemplateSet& set : list.template_sets()) {
    names.push_back(set.name());
    EXPECT_EQ(std::vector<std::string>(set.templates().begin(),
                                       set.templates().end()),
              *FindTemplateSet(set.name()));
  }
  EXPECT_EQ(names, TemplateSetNames());
  EXPECT_LT(list.ByteSizeLong(), 100'000);
}

TEST(NamedSetsTest, ClassSetsTellTheirSizeTemplatesAndNames) {
  RunningServer running;
  Context context;
  v1::ListClassSetsResponse list;
  ASSERT_TRUE(running.stub().ListClassSets(&context, {}, &list).ok());
  std::set<std::string> names;
  for (const v1::ClassSet& set : list.class_sets()) {
    names.insert(set.name());
    v1::GetClassSetRequest request;
    request.set_class_set(set.name());
    request.set_page_size(300);
    std::vector<std::string> classes;
    do {
      Context get_context;
      v1::GetClassSetResponse page;
      ASSERT_TRUE(
          running.stub().GetClassSet(&get_context, request, &page).ok());
      EXPECT_EQ(page.class_set().num_classes(), set.num_classes());
      classes.insert(classes.end(), page.class_names().begin(),
                     page.class_names().end());
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    EXPECT_EQ(classes, *FindClassSet(set.name()));
    EXPECT_EQ(classes.size(), set.num_classes());
    EXPECT_NE(FindTemplateSet(set.template_set()), nullptr) << set.name();
  }
  EXPECT_THAT(names,
              AllOf(SizeIs(26), Contains("cifar10"), Contains("imagenet-1k")));
  v1::GetClassSetRequest unknown;
  unknown.set_class_set("cifar11");
  Context unknown_context;
  v1::GetClassSetResponse none;
  const grpc::Status status =
      running.stub().GetClassSet(&unknown_context, unknown, &none);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(),
              AllOf(HasSubstr("'cifar11'"), HasSubstr("cifar10, ")));
}

// As a program of the C++ client would.
TEST(NamedSetsTest, ASetBuildsWithItsTemplates) {
  RunningServer running;
  const auto client =
      *Client::Connect(absl::StrCat("127.0.0.1:", running.server().port()));
  const auto sets = client->ListClassSets();
  ASSERT_TRUE(sets.ok()) << sets.status();
  int built = 0;
  for (const client::ClassSet& set : *sets) {
    if (set.num_classes() > 50) continue;  // as good a sample
    const auto result = client->Build(
        {.class_set = set.name(), .template_set = set.template_set()});
    ASSERT_TRUE(result.ok()) << set.name() << ": " << result.status();
    EXPECT_EQ(result->num_classes(), set.num_classes());
    ++built;
  }
  EXPECT_GT(built, 10);
  EXPECT_THAT(*client->GetClassSet("mnist"),
              ElementsAre("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"));
}

}  // namespace
}  // namespace zeroshot::server
