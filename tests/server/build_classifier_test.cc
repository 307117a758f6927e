// BuildClassifier, its stream, and the RPCs about weight sets, over the wire.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "clip/clip_tokenizer.h"
#include "tests/server/running_server.h"
#include "zeroshot/named_sets.h"

namespace zeroshot::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

grpc::Status Build(RunningServer& running,
                   const v1::BuildClassifierRequest& request,
                   v1::BuildClassifierResponse* response) {
  Context context;
  return running.stub().BuildClassifier(&context, request, response);
}

int64_t TokensOf(const std::string& text) {
  return clip::ClipTokenizer().Encode(text)->size();
}

TEST(BuildClassifierTest, AnswersWithWhatWasBuilt) {
  RunningServer running;
  v1::BuildClassifierRequest request =
      BuildRequest({"cat", "dog"}, {"a {}", "the {} of a {}"});
  request.mutable_classes(1)->add_prompts("man's best friend");
  v1::BuildClassifierResponse built;
  const grpc::Status status = Build(running, request, &built);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(built.weight_set_id(), SizeIs(64));
  EXPECT_EQ(built.num_classes(), 2);
  EXPECT_EQ(built.embedding_dim(), 64);
  EXPECT_FALSE(built.cached());
  EXPECT_EQ(built.num_prompts(), 3);
  EXPECT_EQ(built.num_tokens(), TokensOf("a cat") +
                                    TokensOf("the cat of a cat") +
                                    TokensOf("man's best friend"));
  EXPECT_EQ(built.num_tokens_encoded(), built.num_tokens());
  EXPECT_THAT(built.warnings(), IsEmpty());
  EXPECT_TRUE(built.timing().has_queue());
  EXPECT_TRUE(built.timing().has_tokenize());
  EXPECT_GT(built.timing().encode().nanos(), 0);
  EXPECT_TRUE(built.timing().has_finish());
  EXPECT_GT(built.timing().total().nanos(), built.timing().encode().nanos());
}

TEST(BuildClassifierTest, SecondBuildIsCached) {
  RunningServer running;
  v1::BuildClassifierResponse first, second;
  ASSERT_TRUE(Build(running, BuildRequest({"cat", "cat"}), &first).ok());
  ASSERT_TRUE(Build(running, BuildRequest({"cat", "cat"}), &second).ok());
  EXPECT_TRUE(second.cached());
  EXPECT_EQ(second.weight_set_id(), first.weight_set_id());
  EXPECT_EQ(second.num_tokens(), first.num_tokens());
  EXPECT_EQ(second.num_tokens_encoded(), 0);
  EXPECT_THAT(first.warnings(), ElementsAre(HasSubstr("cat")));
  EXPECT_THAT(second.warnings(), ElementsAre(HasSubstr("cat")));
  EXPECT_EQ(running.text_calls(), 1);
}

TEST(BuildClassifierTest, NamedTemplateSetIsItsSpelledOutList) {
  RunningServer running;
  v1::BuildClassifierRequest named = BuildRequest({"cat"});
  named.set_template_set("openai-imagenet-7");
  v1::BuildClassifierRequest spelled = BuildRequest({"cat"});
  for (const std::string& text : *FindTemplateSet("openai-imagenet-7")) {
    spelled.add_templates(text);
  }
  EXPECT_EQ(running.Build(named), running.Build(spelled));
  EXPECT_NE(running.Build(named), running.Build(BuildRequest({"cat"})));
}

TEST(BuildClassifierTest, NamesWhatIsWrongWithARequest) {
  ServerOptions options;
  options.build.max_classes = 3;
  RunningServer running(options);
  const auto error = [&](const v1::BuildClassifierRequest& request) {
    v1::BuildClassifierResponse response;
    const grpc::Status status = Build(running, request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    return status.error_message();
  };
  v1::BuildClassifierRequest request;
  EXPECT_THAT(error(request), HasSubstr("classes"));
  request = BuildRequest({"cat"});
  request.set_class_set("imagenet-1k");
  EXPECT_THAT(error(request), HasSubstr("class_set"));
  request = BuildRequest({"cat"}, {"a {}"});
  request.set_template_set("simple");
  EXPECT_THAT(error(request), HasSubstr("template_set"));
  request = BuildRequest({"cat"});
  request.set_template_set("no-such-set");
  EXPECT_THAT(error(request), HasSubstr("no-such-set"));
  EXPECT_THAT(error(BuildRequest({"cat"}, {"no place"})), HasSubstr("{}"));
  EXPECT_THAT(error(BuildRequest({"cat", ""})), HasSubstr("empty"));
  EXPECT_THAT(error(BuildRequest({"a", "b", "c", "d"})), HasSubstr("3"));
  request = BuildRequest({"cat"});
  std::string endless;
  for (int i = 0; i < 90; ++i) endless += "cat ";
  request.mutable_classes(0)->add_prompts(endless);
  EXPECT_THAT(error(request), HasSubstr("77"));
  EXPECT_EQ(running.text_calls(), 0);
}

TEST(BuildClassifierTest, EqualSpecsAskedAtOnceAreBuiltOnce) {
  RunningServer running;
  running.model().CloseGate();
  std::vector<std::future<v1::BuildClassifierResponse>> calls;
  for (int i = 0; i < 6; ++i) {
    calls.push_back(std::async(std::launch::async, [&running] {
      v1::BuildClassifierResponse response;
      const grpc::Status status =
          Build(running, BuildRequest({"cat", "dog"}), &response);
      EXPECT_TRUE(status.ok()) << status.error_message();
      return response;
    }));
  }
  ASSERT_TRUE(running.model().WaitForCallsAtGate(1));
  running.model().OpenGate();
  const std::string id = calls[0].get().weight_set_id();
  for (size_t i = 1; i < calls.size(); ++i) {
    EXPECT_EQ(calls[i].get().weight_set_id(), id);
  }
  EXPECT_EQ(running.text_calls(), 1);
}

TEST(BuildClassifierTest, TooManyBuildsAreRefusedWithARetryDelay) {
  ServerOptions options;
  options.max_builds = 1;
  RunningServer running(options);
  running.model().CloseGate();
  auto first = std::async(std::launch::async, [&running] {
    v1::BuildClassifierResponse response;
    return Build(running, BuildRequest({"cat"}), &response);
  });
  ASSERT_TRUE(running.model().WaitForCallsAtGate(1));
  v1::BuildClassifierResponse response;
  const grpc::Status refused = Build(running, BuildRequest({"dog"}), &response);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_details(), HasSubstr("google.rpc.RetryInfo"));
  running.model().OpenGate();
  EXPECT_TRUE(first.get().ok());
}

TEST(BuildClassifierTest, DeadlineStopsABuildNobodyElseWaitsFor) {
  RunningServer running;
  running.model().CloseGate();
  Context context(absl::Milliseconds(200));
  v1::BuildClassifierResponse response;
  EXPECT_EQ(running.stub()
                .BuildClassifier(&context, BuildRequest({"cat"}), &response)
                .error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  // With the gate still closed: the build has stopped, not ended.
  EXPECT_EQ(running.server().Drain(absl::ZeroDuration(), absl::Seconds(20)), 0);
}

TEST(BuildClassifierTest, ClientWhoLeavesStopsItsBuild) {
  RunningServer running;
  running.model().CloseGate();
  Context context;
  auto build = std::async(std::launch::async, [&] {
    v1::BuildClassifierResponse response;
    return running.stub().BuildClassifier(&context, BuildRequest({"cat"}),
                                          &response);
  });
  ASSERT_TRUE(running.model().WaitForCallsAtGate(1));
  context.TryCancel();
  EXPECT_EQ(build.get().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(running.server().Drain(absl::ZeroDuration(), absl::Seconds(20)), 0);
}

TEST(BuildClassifierStreamTest, ReportsProgressAndEndsWithTheResult) {
  RunningServer running;
  running.model().CloseGate();
  Context context;
  const v1::BuildClassifierRequest request =
      BuildRequest({"cat", "dog", "owl"}, {"a {}", "the {}"});
  const auto reader = running.stub().BuildClassifierStream(&context, request);
  v1::BuildClassifierStreamResponse event;
  ASSERT_TRUE(reader->Read(&event));
  ASSERT_TRUE(event.has_progress());
  EXPECT_EQ(event.progress().prompts_done(), 0);
  EXPECT_EQ(event.progress().prompts_total(), 6);
  EXPECT_FALSE(event.progress().has_time_left());
  running.model().OpenGate();
  int results = 0;
  while (reader->Read(&event)) results += event.has_result();
  ASSERT_TRUE(reader->Finish().ok());
  EXPECT_EQ(results, 1);
  ASSERT_TRUE(event.has_result());  // the last one
  EXPECT_EQ(event.result().num_prompts(), 6);
  EXPECT_EQ(event.result().weight_set_id(), running.Build(request));
}

TEST(BuildClassifierStreamTest, ProgressIsLimitedInRate) {
  RunningServer running;
  running.model().CloseGate();  // asks for progress every 2 ms
  Context context;
  const auto reader =
      running.stub().BuildClassifierStream(&context, BuildRequest({"cat"}));
  const absl::Time start = absl::Now();
  v1::BuildClassifierStreamResponse event;
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(reader->Read(&event));
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(250));
  running.model().OpenGate();
  while (reader->Read(&event)) {
  }
  EXPECT_TRUE(reader->Finish().ok());
}

TEST(BuildClassifierStreamTest, CachedSetIsTheOnlyEvent) {
  RunningServer running;
  const std::string id = running.Build(BuildRequest({"cat"}));
  Context context;
  const auto reader =
      running.stub().BuildClassifierStream(&context, BuildRequest({"cat"}));
  v1::BuildClassifierStreamResponse event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_TRUE(event.result().cached());
  EXPECT_EQ(event.result().weight_set_id(), id);
  EXPECT_FALSE(reader->Read(&event));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST(BuildClassifierStreamTest, ErrorEndsTheStreamWithoutEvents) {
  RunningServer running;
  Context context;
  const auto reader =
      running.stub().BuildClassifierStream(&context, BuildRequest({""}));
  v1::BuildClassifierStreamResponse event;
  EXPECT_FALSE(reader->Read(&event));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(WeightSetTest, GetDescribesWhatWasBuilt) {
  RunningServer running;
  const absl::Time before = absl::Now();
  v1::GetWeightSetRequest request;
  request.set_weight_set_id(
      running.Build(BuildRequest({"cat", "dog"}, {"a {}", "the {}"})));
  v1::GetWeightSetResponse response;
  Context context;
  ASSERT_TRUE(running.stub().GetWeightSet(&context, request, &response).ok());
  const v1::WeightSetInfo& set = response.weight_set();
  EXPECT_EQ(set.weight_set_id(), request.weight_set_id());
  EXPECT_EQ(set.num_classes(), 2);
  EXPECT_EQ(set.embedding_dim(), 64);
  EXPECT_EQ(set.num_prompts(), 4);
  EXPECT_EQ(set.model_fingerprint(), running.model().info().fingerprint);
  EXPECT_EQ(set.precision(), "fp32");
  EXPECT_EQ(set.size_bytes(), 2 * 64 * 4);
  const absl::Time created =
      absl::FromUnixSeconds(set.create_time().seconds()) +
      absl::Nanoseconds(set.create_time().nanos());
  EXPECT_GE(created, before);
  EXPECT_LE(created, absl::Now());
  EXPECT_THAT(response.class_names(), ElementsAre("cat", "dog"));
}

TEST(WeightSetTest, DeletedSetIsGone) {
  RunningServer running;
  const std::string id = running.Build(BuildRequest({"cat"}));
  const auto remove = [&](const std::string& which) {
    v1::DeleteWeightSetRequest request;
    request.set_weight_set_id(which);
    v1::DeleteWeightSetResponse response;
    Context context;
    return running.stub().DeleteWeightSet(&context, request, &response);
  };
  EXPECT_TRUE(remove(id).ok());
  // It does not ask to build what is to go.
  for (const std::string& unknown : {id, std::string(64, 'a')}) {
    EXPECT_EQ(remove(unknown).error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(remove(unknown).error_message(),
              "no weight set '" + unknown + "'");
  }
  EXPECT_EQ(remove("").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  v1::GetWeightSetRequest request;
  v1::GetWeightSetResponse response;
  Context first, second;
  EXPECT_EQ(
      running.stub().GetWeightSet(&first, request, &response).error_code(),
      grpc::StatusCode::INVALID_ARGUMENT);
  request.set_weight_set_id(id);
  EXPECT_EQ(
      running.stub().GetWeightSet(&second, request, &response).error_code(),
      grpc::StatusCode::NOT_FOUND);
}

class ListWeightSetsTest : public ::testing::Test {
 protected:
  grpc::Status List(int page_size, const std::string& token,
                    v1::ListWeightSetsResponse* response) {
    v1::ListWeightSetsRequest request;
    request.set_page_size(page_size);
    request.set_page_token(token);
    Context context;
    return running_.stub().ListWeightSets(&context, request, response);
  }

  RunningServer running_;
};

TEST_F(ListWeightSetsTest, PagesHoldEverySetOnceInOrder) {
  std::vector<std::string> ids;
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    ids.push_back(running_.Build(BuildRequest({name})));
  }
  std::sort(ids.begin(), ids.end());
  std::vector<std::string> listed;
  std::vector<int> page_sizes;
  std::string token;
  do {
    v1::ListWeightSetsResponse page;
    ASSERT_TRUE(List(2, token, &page).ok());
    for (const auto& set : page.weight_sets()) {
      listed.push_back(set.weight_set_id());
    }
    page_sizes.push_back(page.weight_sets_size());
    token = page.next_page_token();
  } while (!token.empty());
  EXPECT_EQ(listed, ids);
  EXPECT_THAT(page_sizes, ElementsAre(2, 2, 1));
}

TEST_F(ListWeightSetsTest, LastFullPageHasNoNextPage) {
  running_.Build(BuildRequest({"a"}));
  running_.Build(BuildRequest({"b"}));
  v1::ListWeightSetsResponse page;
  ASSERT_TRUE(List(2, "", &page).ok());
  EXPECT_THAT(page.weight_sets(), SizeIs(2));
  EXPECT_EQ(page.next_page_token(), "");
}

TEST_F(ListWeightSetsTest, EmptyStoreIsAnEmptyPage) {
  v1::ListWeightSetsResponse page;
  ASSERT_TRUE(List(0, "", &page).ok());
  EXPECT_THAT(page.weight_sets(), IsEmpty());
}

TEST_F(ListWeightSetsTest, RefusesWrongSizesAndTokens) {
  v1::ListWeightSetsResponse page;
  grpc::Status status = List(-1, "", &page);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("page_size is -1"));
  status = List(0, "made up", &page);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("page_token"));
}

}  // namespace
}  // namespace zeroshot::server
