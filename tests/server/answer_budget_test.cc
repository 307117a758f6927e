#include "server/answer_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/server/running_server.h"
#include "tests/testing/slow_client.h"
#include "zeroshot/admission.h"

namespace zeroshot::server {
namespace {

using ::testing::HasSubstr;

TEST(AnswerBudgetTest, TooLargeIsTheCallersFaultAndTooManyIsNot) {
  AnswerBudget budget(100 << 10);
  EXPECT_TRUE(absl::IsInvalidArgument(budget.Take((100 << 10) + 1)));
  for (int i = 0; i < AnswerBudget::kLargest; ++i) {
    EXPECT_TRUE(budget.Take(100 << 10).ok());
  }
  const absl::Status full = budget.Take(100 << 10);
  EXPECT_TRUE(absl::IsResourceExhausted(full));
  EXPECT_GT(RetryDelay(full), absl::ZeroDuration());
  EXPECT_EQ(budget.taken(), AnswerBudget::kLargest * (100 << 10));
  // Small ones are bounded by admission.
  EXPECT_TRUE(budget.Take(AnswerBudget::kSmallBytes).ok());
}

// Those who take no answer hold memory for it, until they are ended.
TEST(AnswerBudgetTest, AnswersThatNobodyTakesAreBounded) {
  ServerOptions options;
  options.max_answer_bytes = 1 << 20;
  RunningServer running(options);
  v1::BuildClassifierRequest build;
  for (int i = 0; i < 5'000; ++i) {
    auto* added = build.add_classes();
    added->set_name(absl::StrCat(std::string(150, 'n'), i));
    added->add_prompts("x");
  }
  v1::GetWeightSetRequest get;
  get.set_weight_set_id(running.Build(build));
  get.set_page_size(5'000);
  std::vector<std::unique_ptr<SlowClient>> clients;
  for (int i = 0; i < AnswerBudget::kLargest; ++i) {
    clients.push_back(std::make_unique<SlowClient>(running.server().port()));
    const uint32_t stream =
        clients.back()->Call("GetWeightSet", get.SerializeAsString());
    // Else an honest call could come first, and this one be refused.
    ASSERT_TRUE(clients.back()->WaitForAnswer(stream, absl::Seconds(60)));
  }
  const auto ask = [&] {
    Context context;
    v1::GetWeightSetResponse response;
    return running.stub().GetWeightSet(&context, get, &response);
  };
  grpc::Status status;
  const absl::Time end = absl::Now() + absl::Seconds(60);
  do {
    status = ask();
  } while (status.ok() && absl::Now() < end);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("those on their way"));
  EXPECT_THAT(status.error_details(), HasSubstr("google.rpc.RetryInfo"));
  clients.clear();
  while (!status.ok() && absl::Now() < end) status = ask();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

}  // namespace
}  // namespace zeroshot::server
