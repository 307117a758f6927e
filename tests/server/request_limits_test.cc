#include "server/request_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "inference/inference.pb.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class RequestLimitsTest : public ::testing::Test {
 protected:
  RequestLimitsTest() {
    options_.build.max_classes = 3;
    options_.build.max_templates = 2;
    options_.build.max_prompts = 4;
    options_.max_weight_sets = 3;
    options_.max_batch_items = 5;
  }

  // The request's bytes come in pieces, as they do from a connection.
  template <typename Request>
  absl::Status Parse(const std::string& bytes, Request* request) {
    std::vector<grpc::Slice> slices;
    for (size_t at = 0; at < bytes.size(); at += 7) {
      slices.emplace_back(bytes.substr(at, 7));
    }
    grpc::ByteBuffer buffer(slices.data(), slices.size());
    const absl::Status status = RequestLimits(options_).Parse(&buffer, request);
    if (status.ok()) {
      EXPECT_EQ(buffer.Length(), 0);
    }
    return status;
  }
  // What is over a limit takes no memory.
  template <typename Request>
  std::string Refusal(const std::string& bytes, bool over_a_limit = true) {
    Request request;
    const absl::Status status = Parse(bytes, &request);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    if (over_a_limit) {
      EXPECT_EQ(request.SpaceUsedLong(), Request().SpaceUsedLong());
    }
    return std::string(status.message());
  }

  ServerOptions options_;
};

std::string Times(int count, absl::string_view item) {
  std::string bytes;
  for (int i = 0; i < count; ++i) absl::StrAppend(&bytes, item);
  return bytes;
}

TEST_F(RequestLimitsTest, WhatIsWithinThemIsParsed) {
  v1::BuildClassifierRequest sent, parsed;
  for (const char* name : {"cat", "dog", "frog"}) {
    v1::ClassDefinition* const added = sent.add_classes();
    added->set_name(name);
    added->add_prompts(absl::StrCat("a ", name));
  }
  sent.add_templates("a photo of a {}");
  sent.set_template_set("simple");
  ASSERT_TRUE(Parse(sent.SerializeAsString(), &parsed).ok());
  EXPECT_EQ(parsed.SerializeAsString(), sent.SerializeAsString());

  v1::ClassifyRequest classify, classified;
  classify.set_image(std::string(100'000, 'x'));
  classify.add_more_weight_set_ids("a");
  classify.add_more_weight_set_ids("b");
  ASSERT_TRUE(Parse(classify.SerializeAsString(), &classified).ok());
  EXPECT_EQ(classified.SerializeAsString(), classify.SerializeAsString());

  v1::GetModelRequest empty;
  EXPECT_TRUE(Parse("", &empty).ok());
}

TEST_F(RequestLimitsTest, ItemsOfEachListAreCounted) {
  constexpr absl::string_view kFirst("\x0a\x00", 2), kSecond("\x12\x00", 2),
      kThird("\x1a\x00", 2), kFifth("\x2a\x00", 2);
  EXPECT_EQ(Refusal<v1::BuildClassifierRequest>(Times(4, kFirst)),
            "classes has 4 items; at most 3 are allowed (--max_classes)");
  EXPECT_EQ(Refusal<v1::BuildClassifierRequest>(Times(3, kThird)),
            "templates has 3 items; at most 2 are allowed (--max_templates)");
  // In two classes together.
  EXPECT_EQ(Refusal<v1::BuildClassifierRequest>(
                Times(2, "\x0a\x06" + Times(3, kSecond))),
            "prompts has 6 items; at most 4 are allowed (--max_prompts)");
  EXPECT_THAT(Refusal<v1::ClassifyRequest>(Times(3, kFifth)),
              HasSubstr("more_weight_set_ids has 3 items; at most 2"));
  EXPECT_EQ(Refusal<v1::EmbedImagesRequest>(Times(6, kFirst)),
            "images has 6 items; at most 5 are allowed (--max_batch_items)");
  EXPECT_EQ(Refusal<v1::EmbedTextsRequest>(Times(6, kFirst)),
            "texts has 6 items; at most 5 are allowed (--max_batch_items)");
  // In the header, which is field 1.
  EXPECT_EQ(Refusal<v1::ImportWeightSetRequest>("\x0a\x08" + Times(4, kFirst)),
            "class_names has 4 items; at most 3 are allowed (--max_classes)");
}

TEST_F(RequestLimitsTest, NewerClientsMaySendAFewFieldsThatAreNotKnown) {
  const std::string unknown("\xf0\x07\x01", 3);  // field 126
  v1::GetModelRequest request;
  EXPECT_TRUE(Parse(Times(1'000, unknown), &request).ok());
  EXPECT_THAT(Refusal<v1::GetModelRequest>(Times(1'001, unknown)),
              AllOf(HasSubstr("1001 fields that are not known here"),
                    HasSubstr("at most 1000")));
  EXPECT_THAT(Refusal<v1::BuildClassifierRequest>(
                  Times(3, absl::StrCat("\x0a\x7b", Times(41, unknown))) +
                  Times(878, unknown)),
              HasSubstr("1001 fields that are not known here"));
}

TEST_F(RequestLimitsTest, RequestsWithoutListsAndImagesAreSmall) {
  const std::string id = "\x0a" + std::string("\x80\x80\x04", 3);
  EXPECT_THAT(Refusal<v1::GetWeightSetRequest>(id + std::string(65'536, 'x')),
              AllOf(HasSubstr("GetWeightSetRequest has 65540 bytes"),
                    HasSubstr("at most 65536 are allowed")));
  for (const auto* type : {v1::GetModelRequest::descriptor(),
                           v1::DeleteWeightSetRequest::descriptor(),
                           v1::ExportWeightSetRequest::descriptor(),
                           v1::ListWeightSetsRequest::descriptor()}) {
    const google::protobuf::Message& prototype =
        *google::protobuf::MessageFactory::generated_factory()->GetPrototype(
            type);
    const std::unique_ptr<google::protobuf::Message> request(prototype.New());
    const grpc::Slice slice(std::string(65'537, 'x'));
    grpc::ByteBuffer bytes(&slice, 1);
    EXPECT_THAT(
        std::string(
            RequestLimits(options_).Parse(&bytes, request.get()).message()),
        HasSubstr("65537 bytes; at most 65536"))
        << type->name();
  }
}

TEST_F(RequestLimitsTest, GroupsAndDamagedBytesAreRefused) {
  for (const std::string& bytes :
       {std::string("\xf3\x07\xf4\x07"), std::string("\x0c"),
        std::string("\x0a\x05x"), std::string("\x0a\xff\xff\xff\xff\xff\xff"),
        std::string("\x0a\xff\xff\xff\xff\x0f"), std::string("\x00\x00", 2)}) {
    EXPECT_THAT(Refusal<v1::BuildClassifierRequest>(bytes, false),
                HasSubstr("zeroshot.v1.BuildClassifierRequest"));
  }
}

TEST_F(RequestLimitsTest, ATextThatIsNotUtf8IsNamed) {
  EXPECT_EQ(Refusal<v1::BuildClassifierRequest>("\x0a\x03\x0a\x01\xff", false),
            "classes[0].name is not UTF-8");
}

// --- the inference protocol ---

using inference::ModelInferRequest;

TEST_F(RequestLimitsTest, TensorsAreCountedBeforeTheyAreParsed) {
  const auto refusal = [&](int field, int count, absl::string_view item) {
    const std::string tag(1, static_cast<char>(field << 3 | 2));
    return Refusal<ModelInferRequest>(Times(
        count, absl::StrCat(tag, std::string(1, static_cast<char>(item.size())),
                            item)));
  };
  EXPECT_THAT(refusal(5, 1'000'000, ""), HasSubstr("inputs has 1000000 items"));
  EXPECT_THAT(refusal(6, 65, ""),
              AllOf(HasSubstr("outputs has 65 items; at most 64"),
                    Not(HasSubstr("--"))));
  EXPECT_THAT(refusal(7, 65, "x"), HasSubstr("raw_input_contents has 65"));
  // parameters with the same key
  EXPECT_THAT(refusal(4, 65, "\x0a\x01x"), HasSubstr("parameters has 65"));
  ModelInferRequest request;
  auto* const input = request.add_inputs();
  for (int i = 0; i < 6; ++i) input->mutable_contents()->add_bytes_contents("");
  EXPECT_THAT(Refusal<ModelInferRequest>(request.SerializeAsString()),
              HasSubstr("bytes_contents has 6 items; at most 5 are allowed "
                        "(--max_batch_items)"));
}

// One byte on the wire is up to eight in memory.
TEST_F(RequestLimitsTest, WholeNumbersInOnePieceAreCounted) {
  ModelInferRequest request;
  auto* const input = request.add_inputs();
  for (int i = 0; i < 65; ++i) input->add_shape(1);
  EXPECT_THAT(Refusal<ModelInferRequest>(request.SerializeAsString()),
              HasSubstr("shape has "));
  input->clear_shape();
  for (int i = 0; i < 2'000'000; ++i) {
    input->mutable_contents()->add_int64_contents(1);
  }
  EXPECT_THAT(Refusal<ModelInferRequest>(request.SerializeAsString()),
              HasSubstr("int64_contents has "));
  // Floats take the same memory as on the wire.
  input->clear_contents();
  input->mutable_contents()->mutable_fp32_contents()->Resize(2'000'000, 1);
  ModelInferRequest parsed;
  EXPECT_TRUE(Parse(request.SerializeAsString(), &parsed).ok());
}

TEST_F(RequestLimitsTest, NamesOfTensorsAreUtf8) {
  ModelInferRequest request;
  request.add_inputs()->set_name("x");
  std::string bytes = request.SerializeAsString();
  bytes.back() = '\xff';
  EXPECT_THAT(Refusal<ModelInferRequest>(bytes, /*over_a_limit=*/false),
              HasSubstr("inputs[0].name is not UTF-8"));
}

}  // namespace
}  // namespace zeroshot::server
