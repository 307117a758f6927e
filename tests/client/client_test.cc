#include "client/client.h"

#include <gmock/gmock.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/client/fake_server.h"
#include "tests/testing/free_port.h"

namespace zeroshot::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

grpc::Status Answer(v1::ClassifyResponse* response) {
  v1::Prediction* prediction = response->add_predictions();
  prediction->set_class_index(3);
  prediction->set_class_name("cat");
  prediction->set_probability(0.75f);
  prediction->set_logit(12.5f);
  return grpc::Status::OK;
}

// Refuses the first `refusals` calls with `code`, then answers.
auto AfterRefusals(int refusals, grpc::StatusCode code,
                   std::atomic<int>* calls) {
  return [=](const v1::ClassifyRequest&, v1::ClassifyResponse* response) {
    if (++*calls <= refusals) return grpc::Status(code, "refused");
    return Answer(response);
  };
}

TEST(ClientTest, RefusesOptionsOutOfRange) {
  const auto code = [](const std::string& target, ClientOptions options) {
    return Client::Connect(target, options).status().code();
  };
  const auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code("", {}), kInvalid);
  EXPECT_EQ(code("localhost:1", {.max_attempts = 0}), kInvalid);
  EXPECT_EQ(code("localhost:1", {.max_attempts = 6}), kInvalid);
  EXPECT_EQ(code("localhost:1", {.max_message_bytes = 0}), kInvalid);
  EXPECT_EQ(code("localhost:1", {.timeout = absl::ZeroDuration()}), kInvalid);
  EXPECT_EQ(code("localhost:1", {.token = "two words"}), kInvalid);
  EXPECT_EQ(code("localhost:1", {.token = "line\n"}), kInvalid);
  EXPECT_EQ(code("localhost:1", {.max_attempts = 5}), absl::StatusCode::kOk);
}

TEST(ClientTest, SendsTheWholeSpecification) {
  FakeServer server;
  Shared<v1::BuildClassifierRequest> shared;
  server.build = [&](const auto& request, auto* response) {
    shared.Set(request);
    response->set_weight_set_id("abc");
    response->set_num_tokens(7);
    response->add_warnings("two classes are named cat");
    response->mutable_timing()->mutable_total()->set_nanos(2'000'000);
    return grpc::Status::OK;
  };
  const auto built = server.Connect()->Build(
      {.classes = {{"cat"}, {"dog", {"my dog", "your dog"}}},
       .templates = {"a {}", "the {}"}});
  ASSERT_TRUE(built.ok()) << built.status();
  const v1::BuildClassifierRequest seen = shared.Get();
  EXPECT_EQ(built->weight_set_id(), "abc");
  EXPECT_EQ(built->num_tokens(), 7);
  EXPECT_EQ(ToDuration(built->timing().total()), absl::Milliseconds(2));
  EXPECT_THAT(built->warnings(), ElementsAre("two classes are named cat"));
  ASSERT_EQ(seen.classes_size(), 2);
  EXPECT_EQ(seen.classes(0).name(), "cat");
  EXPECT_THAT(seen.classes(1).prompts(), ElementsAre("my dog", "your dog"));
  EXPECT_THAT(seen.templates(), ElementsAre("a {}", "the {}"));
}

TEST(ClientTest, ReportsProgressInOrderAndThenTheResult) {
  FakeServer server;
  server.build_stream = [](const auto&, const auto& write) {
    v1::BuildClassifierStreamResponse event;
    event.mutable_progress()->set_prompts_total(10);
    write(event);
    event.mutable_progress()->set_prompts_done(5);
    event.mutable_progress()->mutable_time_left()->set_seconds(4);
    write(event);
    event.mutable_result()->set_weight_set_id("abc");
    write(event);
    return grpc::Status::OK;
  };
  std::vector<BuildProgress> seen;
  const auto built = server.Connect()->Build(
      {.class_set = "animals"}, [&](const auto& p) { seen.push_back(p); });
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_EQ(built->weight_set_id(), "abc");
  ASSERT_THAT(seen, SizeIs(2));
  EXPECT_FALSE(seen[0].has_time_left());
  EXPECT_EQ(seen[1].prompts_done(), 5);
  EXPECT_EQ(seen[1].prompts_total(), 10);
  EXPECT_EQ(ToDuration(seen[1].time_left()), absl::Seconds(4));
}

TEST(ClientTest, ABuildThatEndsWithoutResultIsInternal) {
  FakeServer server;
  server.build_stream = [](const auto&, const auto&) {
    return grpc::Status::OK;
  };
  EXPECT_EQ(server.Connect()->Build({}, [](const auto&) {}).status().code(),
            absl::StatusCode::kInternal);
}

TEST(ClientTest, AnswersWithWhatTheServerSaid) {
  FakeServer server;
  Shared<v1::ClassifyRequest> shared;
  server.classify = [&](const auto& request, auto* response) {
    shared.Set(request);
    response->add_probabilities(0.75f);
    response->mutable_timing()->mutable_compute()->set_nanos(5'000'000);
    return Answer(response);
  };
  const std::string image("\0\xff jpeg", 7);
  const auto answer = server.Connect()->Classify(
      image, "abc", {.top_k = 3, .return_probabilities = true});
  ASSERT_TRUE(answer.ok()) << answer.status();
  const v1::ClassifyRequest seen = shared.Get();
  EXPECT_EQ(seen.image(), image);
  EXPECT_EQ(seen.weight_set_id(), "abc");
  EXPECT_EQ(seen.top_k(), 3);
  EXPECT_TRUE(seen.return_probabilities());
  ASSERT_THAT(answer->predictions, SizeIs(1));
  EXPECT_EQ(answer->predictions[0].class_index, 3);
  EXPECT_EQ(answer->predictions[0].class_name, "cat");
  EXPECT_EQ(answer->predictions[0].probability, 0.75f);
  EXPECT_EQ(answer->predictions[0].logit, 12.5f);
  EXPECT_THAT(answer->probabilities, ElementsAre(0.75f));
  EXPECT_EQ(answer->timing.compute, absl::Milliseconds(5));
}

TEST(ClientTest, AnAnswerWithoutPredictionIsInternal) {
  FakeServer server;
  server.classify = [](const auto&, auto*) { return grpc::Status::OK; };
  EXPECT_EQ(server.Connect()->Classify("x", "abc").status().code(),
            absl::StatusCode::kInternal);
}

TEST(ClientTest, SeveralWeightSetsAreAskedInOneCall) {
  FakeServer server;
  Shared<v1::ClassifyRequest> shared;
  server.classify = [&](const auto& request, auto* response) {
    shared.Set(request);
    response->set_embedding_cached(true);
    response->mutable_timing()->mutable_total()->set_nanos(7'000'000);
    v1::WeightSetAnswer* more = response->add_more();
    more->set_weight_set_id("b");
    more->add_predictions()->set_class_name("red");
    more->add_probabilities(1);
    return Answer(response);
  };
  const auto answers = server.Connect()->ClassifyWithEach("x", {"a", "b"});
  ASSERT_TRUE(answers.ok()) << answers.status();
  EXPECT_EQ(shared.Get().weight_set_id(), "a");
  EXPECT_THAT(shared.Get().more_weight_set_ids(), ElementsAre("b"));
  ASSERT_THAT(*answers, SizeIs(2));
  EXPECT_EQ((*answers)[0].predictions[0].class_name, "cat");
  EXPECT_EQ((*answers)[1].predictions[0].class_name, "red");
  EXPECT_THAT((*answers)[1].probabilities, ElementsAre(1));
  for (const auto& answer : *answers) {
    EXPECT_TRUE(answer.embedding_cached);
    EXPECT_EQ(answer.timing.total, absl::Milliseconds(7));
  }
}

TEST(ClientTest, AClassifierMayBeSentInsteadOfAnId) {
  FakeServer server;
  Shared<v1::ClassifyRequest> shared;
  server.classify = [&](const auto& request, auto* response) {
    shared.Set(request);
    response->set_weight_set_id("abc");
    response->mutable_build()->set_weight_set_id("abc");
    response->mutable_build()->set_num_prompts(4);
    return Answer(response);
  };
  const auto client = server.Connect();
  const auto answer = client->ClassifyInline(
      "x", {.classes = {{"cat"}, {"dog"}}, .templates = {"a {}", "the {}"}},
      {.top_k = 2});
  ASSERT_TRUE(answer.ok()) << answer.status();
  const v1::ClassifyRequest seen = shared.Get();
  EXPECT_EQ(seen.weight_set_id(), "");
  EXPECT_EQ(seen.top_k(), 2);
  EXPECT_EQ(seen.classifier().classes(1).name(), "dog");
  EXPECT_THAT(seen.classifier().templates(), ElementsAre("a {}", "the {}"));
  EXPECT_EQ(answer->weight_set_id, "abc");
  ASSERT_TRUE(answer->build.has_value());
  EXPECT_EQ(answer->build->num_prompts(), 4);
  EXPECT_FALSE(client->Classify("x", "abc")->build.has_value());
}

TEST(ClientTest, ABatchIsAnsweredImageByImage) {
  FakeServer server;
  FakeClassifiers fake(&server);
  const auto client = server.Connect();
  const ClassifierSpec spec = {.classes = {{"cat"}, {"dog"}}};
  auto batch = client->ClassifyBatchInline({"dog", "no image", "cat"}, spec);
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ(batch->weight_set_id, "id-cat-dog");
  ASSERT_TRUE(batch->build.has_value());
  EXPECT_EQ(batch->build->num_classes(), 2);
  batch = client->ClassifyBatch({"dog", "no image", "cat"}, "id-cat-dog",
                                {.top_k = 1});
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_FALSE(batch->build.has_value());
  ASSERT_THAT(batch->items, SizeIs(3));
  EXPECT_EQ(batch->items[0]->predictions[0].class_name, "dog");
  EXPECT_THAT(batch->items[0]->predictions, SizeIs(1));
  EXPECT_EQ(batch->items[1].status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(batch->items[2]->predictions[0].class_name, "cat");
  EXPECT_EQ(batch->items[2]->weight_set_id, "id-cat-dog");
  EXPECT_THAT(client->ClassifyBatch({}, "id-cat-dog")->items, SizeIs(0));
}

TEST(ClientTest, ABatchThatIsBrokenIsInternal) {
  FakeServer server;
  server.classify_batch = [](const auto&, auto* response) {
    response->add_items();  // OK, and no prediction
    return grpc::Status::OK;
  };
  const auto client = server.Connect();
  EXPECT_EQ(client->ClassifyBatch({"x"}, "id").status().code(),
            absl::StatusCode::kInternal);
  EXPECT_EQ(client->ClassifyBatch({"x", "y"}, "id").status().code(),
            absl::StatusCode::kInternal);
  EXPECT_EQ(client->ClassifyBatch({"x"}, "id", {.top_k = 0}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ClientTest, AnAnswerForAnotherNumberOfWeightSetsIsInternal) {
  FakeServer server;
  server.classify = [](const auto&, auto* r) { return Answer(r); };
  const auto client = server.Connect();
  EXPECT_EQ(client->ClassifyWithEach("x", {"a", "b"}).status().code(),
            absl::StatusCode::kInternal);
  EXPECT_EQ(client->ClassifyWithEach("x", {}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ClientTest, ExportHandsOnEveryPieceAndNoticesThoseMissing) {
  FakeServer server;
  Shared<v1::ExportWeightSetRequest> shared;
  std::atomic<int64_t> total = 6;
  server.export_set = [&](const auto& request, const auto& write) {
    shared.Set(request);
    v1::ExportWeightSetResponse piece;
    piece.set_total_bytes(total);
    piece.set_data("abc");
    write(piece);
    piece.clear_total_bytes();
    piece.set_data("def");
    write(piece);
    return grpc::Status::OK;
  };
  const auto client = server.Connect();
  std::string file;
  const auto append = [&](absl::string_view piece) {
    file += std::string(piece);
    return absl::OkStatus();
  };
  EXPECT_EQ(
      client->Export(
          "id", {v1::WEIGHT_SET_FORMAT_NPY, v1::MATRIX_LAYOUT_CLASS_COLUMNS},
          append),
      absl::OkStatus());
  EXPECT_EQ(file, "abcdef");
  EXPECT_EQ(shared.Get().weight_set_id(), "id");
  EXPECT_EQ(shared.Get().format(), v1::WEIGHT_SET_FORMAT_NPY);
  EXPECT_EQ(shared.Get().layout(), v1::MATRIX_LAYOUT_CLASS_COLUMNS);
  const absl::Status full = client->Export("id", {}, [](absl::string_view) {
    return absl::ResourceExhaustedError("disk full");
  });
  EXPECT_EQ(full, absl::ResourceExhaustedError("disk full"));
  total = 7;
  EXPECT_TRUE(absl::IsDataLoss(client->Export("id", {}, append)));
}

TEST(ClientTest, ImportSendsLargeFilesAndManyNamesInPieces) {
  FakeServer server;
  Shared<std::vector<v1::ImportWeightSetRequest>> shared;
  server.import_set = [&](const auto& pieces, auto* response) {
    shared.Set(pieces);
    response->mutable_weight_set()->set_weight_set_id("imported-1");
    response->set_cached(true);
    response->add_warnings("look");
    return grpc::Status::OK;
  };
  ImportOptions options;
  for (int i = 0; i < 100'000; ++i) {
    options.class_names.push_back(absl::StrCat("a class of number ", i));
  }
  options.layout = v1::MATRIX_LAYOUT_CLASS_ROWS;
  options.model_fingerprint = "model";
  options.display_name = "pets";
  std::string file(5 << 20, 'x');
  file += "end";
  const auto imported = server.Connect()->Import(file, options);
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->weight_set().weight_set_id(), "imported-1");
  EXPECT_TRUE(imported->cached());
  EXPECT_THAT(imported->warnings(), ElementsAre("look"));
  std::string data;
  std::vector<std::string> names;
  const auto pieces = shared.Get();
  ASSERT_GT(pieces.size(), 6);
  const v1::ImportWeightSetHeader& header = pieces[0].header();
  EXPECT_EQ(header.layout(), v1::MATRIX_LAYOUT_CLASS_ROWS);
  EXPECT_EQ(header.model_fingerprint(), "model");
  EXPECT_EQ(header.display_name(), "pets");
  EXPECT_EQ(header.total_bytes(), file.size());
  // sha256sum's.
  EXPECT_EQ(header.sha256(),
            "8d14188b4b407471691ef0463352ac7e889853a94d31935c9b10c9f319cf4ab4");
  for (const auto& piece : pieces) {
    EXPECT_LT(piece.ByteSizeLong(), 4 << 20);
    EXPECT_TRUE(piece.has_header() ? data.empty() : piece.has_data());
    data += piece.data();
    names.insert(names.end(), piece.header().class_names().begin(),
                 piece.header().class_names().end());
  }
  EXPECT_EQ(data, file);
  EXPECT_EQ(names, options.class_names);
}

TEST(ClientTest, AnImportThatIsRefusedEarlySaysWhy) {
  FakeServer server;  // answers UNIMPLEMENTED
  const auto imported =
      server.Connect()->Import(std::string(20 << 20, 'x'), {});
  EXPECT_EQ(imported.status().code(), absl::StatusCode::kUnimplemented);
}

TEST(ClientTest, KeepsCodeMessageAndDetailsOfErrors) {
  FakeServer server;
  server.classify = [](const auto&, auto*) {
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                        "64 calls are inside, 64 are allowed",
                        std::string("\x08\x08\0", 3));
  };
  const absl::Status status = server.Connect()->Classify("x", "abc").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "64 calls are inside, 64 are allowed");
  EXPECT_EQ(status.GetPayload(kErrorDetailsUrl),
            absl::Cord(std::string("\x08\x08\0", 3)));
}

TEST(ClientTest, TriesAgainWhileTheServerIsUnavailable) {
  FakeServer server;
  std::atomic<int> calls{0};
  server.classify = AfterRefusals(3, grpc::StatusCode::UNAVAILABLE, &calls);
  const auto answer = server.Connect()->Classify("x", "abc");
  EXPECT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(calls, 4);
}

// gRPC keeps only 256 KiB of a request for another attempt unless told.
TEST(ClientTest, TriesLargeImagesAgainToo) {
  FakeServer server;
  std::atomic<int> calls{0};
  server.classify = AfterRefusals(1, grpc::StatusCode::UNAVAILABLE, &calls);
  const std::string image(3 << 20, 'x');
  const auto answer = server.Connect()->Classify(image, "abc");
  EXPECT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(calls, 2);
}

TEST(ClientTest, GivesUpAfterMaxAttempts) {
  FakeServer server;
  std::atomic<int> calls{0};
  server.classify = AfterRefusals(99, grpc::StatusCode::UNAVAILABLE, &calls);
  EXPECT_EQ(
      server.Connect({.max_attempts = 2})->Classify("x", "abc").status().code(),
      absl::StatusCode::kUnavailable);
  EXPECT_EQ(calls, 2);
  calls = 0;
  EXPECT_FALSE(server.Connect({.max_attempts = 1})->Classify("x", "abc").ok());
  EXPECT_EQ(calls, 1);
}

TEST(ClientTest, TriesOtherErrorsOnce) {
  FakeServer server;
  for (const grpc::StatusCode code :
       {grpc::StatusCode::INVALID_ARGUMENT, grpc::StatusCode::NOT_FOUND,
        grpc::StatusCode::RESOURCE_EXHAUSTED, grpc::StatusCode::INTERNAL}) {
    std::atomic<int> calls{0};
    server.classify = AfterRefusals(99, code, &calls);
    EXPECT_EQ(
        static_cast<int>(server.Connect()->Classify("x", "a").status().code()),
        static_cast<int>(code));
    EXPECT_EQ(calls, 1);
  }
}

// google.rpc.Status { details { [RetryInfo] { retry_delay { `delay` } } } }
grpc::Status RefusalFor(absl::Duration delay, grpc::StatusCode code) {
  google::protobuf::Duration asked;
  asked.set_seconds(absl::ToInt64Seconds(delay));
  asked.set_nanos(absl::ToInt64Nanoseconds(delay % absl::Seconds(1)));
  const std::string bytes = asked.SerializeAsString();
  google::protobuf::Any detail;
  detail.set_type_url("type.googleapis.com/google.rpc.RetryInfo");
  detail.set_value(absl::StrCat("\x0a", std::string(1, bytes.size()), bytes));
  const std::string any = detail.SerializeAsString();
  return {code, "not now",
          absl::StrCat("\x08\x08\x1a", std::string(1, any.size()), any)};
}

grpc::Status FullFor(absl::Duration delay) {
  return RefusalFor(delay, grpc::StatusCode::RESOURCE_EXHAUSTED);
}

// The second attempt would not find what the first has deleted.
TEST(ClientTest, DoesNotRepeatADeleteThatMayBeDone) {
  FakeServer server;
  std::atomic<int> calls{0};
  server.remove = [&](const auto&, auto*) {
    return ++calls == 1
               ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "cut off")
               : grpc::Status(grpc::StatusCode::NOT_FOUND, "no such set");
  };
  EXPECT_EQ(server.Connect()->DeleteWeightSet("abc").code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(calls, 1);
}

TEST(ClientTest, RepeatsADeleteThatWasRefused) {
  for (const auto code :
       {grpc::StatusCode::UNAVAILABLE, grpc::StatusCode::RESOURCE_EXHAUSTED}) {
    FakeServer server;
    std::atomic<int> calls{0};
    server.remove = [&](const auto&, auto*) {
      return ++calls == 1 ? RefusalFor(absl::Milliseconds(10), code)
                          : grpc::Status::OK;
    };
    EXPECT_EQ(server.Connect()->DeleteWeightSet("abc"), absl::OkStatus());
    EXPECT_EQ(calls, 2);
  }
}

// Else every call of an outage would cost five attempts.
TEST(ClientTest, StopsRepeatingInAnOutage) {
  FakeServer server;
  std::atomic<int> calls{0};
  server.classify =
      AfterRefusals(1 << 30, grpc::StatusCode::UNAVAILABLE, &calls);
  const auto client = server.Connect();
  std::vector<std::thread> threads;
  for (int t = 0; t < 100; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2; ++i) EXPECT_FALSE(client->Classify("x", "a").ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  calls = 0;
  EXPECT_FALSE(client->Classify("x", "abc").ok());
  EXPECT_EQ(calls, 1);
}

TEST(ClientTest, ATokenDoesNotCrossTheNetworkUnencrypted) {
  const auto code = [](const std::string& target, ClientOptions options = {}) {
    options.token = "secret";
    return Client::Connect(target, options).status().code();
  };
  for (const char* target :
       {"127.0.0.1:1", "127.8.9.1:1", "localhost:1", "LOCALHOST", "[::1]:1",
        "ipv4:127.0.0.1:1,127.0.0.2:2", "ipv6:[::1]:1", "dns:///localhost:1",
        "dns:localhost:1", "unix:/run/zeroshot.sock"}) {
    EXPECT_EQ(code(target), absl::StatusCode::kOk) << target;
  }
  for (const char* target :
       {"192.0.2.1:1", "127.example.org:1", "localhost.example.org:1",
        "ipv4:127.0.0.1:1,192.0.2.1:1", "[2001:db8::1]:1", "dns:///example.org",
        "dns://192.0.2.53/localhost:1", "0.0.0.0:1"}) {
    EXPECT_EQ(code(target), absl::StatusCode::kInvalidArgument) << target;
    EXPECT_EQ(code(target, {.token_without_tls = true}), absl::StatusCode::kOk);
    EXPECT_EQ(code(target, {.credentials = grpc::SslCredentials({})}),
              absl::StatusCode::kOk);
    // Credentials that do not encrypt.
    EXPECT_EQ(code(target, {.credentials = grpc::InsecureChannelCredentials()}),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(ClientTest, TextThatIsNotUtf8IsNamed) {
  FakeServer server;
  const auto client = server.Connect();
  const auto message = [](const absl::Status& status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  const ClassifierSpec latin1 = {
      .classes = {{"cat"}, {"dog", {"a dog", "k\xf6ter"}}}};
  EXPECT_EQ(message(client->Build(latin1).status()),
            "classes[1].prompts[1] is not UTF-8: byte 1 is 0xf6");
  EXPECT_EQ(message(client->Build(latin1, [](const auto&) {}).status()),
            "classes[1].prompts[1] is not UTF-8: byte 1 is 0xf6");
  EXPECT_THAT(message(client->Build({.class_set = "\xff"}).status()),
              HasSubstr("class_set is not UTF-8"));
  EXPECT_THAT(message(client->EmbedTexts({"a", "\xc0\xaf"}).status()),
              HasSubstr("texts[1] is not UTF-8: byte 0 is 0xc0"));
  EXPECT_THAT(message(client->Classify("x", "\xfe").status()),
              HasSubstr("weight_set_id"));
  EXPECT_THAT(message(client->DeleteWeightSet("\xfe")),
              HasSubstr("weight_set_id"));
  EXPECT_THAT(message(client->Import("x", {.class_names = {"\xfe"}}).status()),
              HasSubstr("class_names[0]"));
  EXPECT_THAT(message(client->Export("\xfe", {}, nullptr)),
              HasSubstr("weight_set_id"));
}

TEST(ClientTest, NoErrorIsWithoutAMessage) {
  FakeServer server;
  for (const auto code :
       {grpc::StatusCode::INTERNAL, grpc::StatusCode::UNKNOWN}) {
    server.classify = [=](const auto&, auto*) {
      return grpc::Status(code, "");
    };
    const absl::Status status = server.Connect()->Classify("x", "a").status();
    EXPECT_EQ(static_cast<int>(status.code()), static_cast<int>(code));
    EXPECT_NE(status.message(), "");
  }
}

TEST(ClientTest, ComesBackToAFullServerWhenItAsks) {
  FakeServer server;
  std::atomic<int> calls{0};
  server.classify = [&](const auto&, auto* response) {
    return ++calls <= 2 ? FullFor(absl::Milliseconds(200)) : Answer(response);
  };
  const absl::Time start = absl::Now();
  const auto answer = server.Connect()->Classify("x", "abc");
  EXPECT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(calls, 3);
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(400));
}

TEST(ClientTest, DoesNotWaitForRoomLongerOrOftenerThanItMay) {
  FakeServer server;
  std::atomic<int> calls{0};
  std::atomic<int> ask_ms{3'600'000};
  server.classify = [&](const auto&, auto*) {
    ++calls;
    return FullFor(absl::Milliseconds(ask_ms.load()));
  };
  const auto code = [&](ClientOptions options) {
    return server.Connect(options)->Classify("x", "abc").status().code();
  };
  EXPECT_EQ(code({}), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(calls, 1);
  ask_ms = 100;
  EXPECT_EQ(code({.max_attempts = 2}), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(code({.max_attempts = 1}), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(calls, 4);
}

TEST(ClientTest, ComesBackWithABuildThatShowsProgressToo) {
  FakeServer server;
  std::atomic<int> calls{0};
  server.build_stream = [&](const auto&, const auto& write) {
    if (++calls == 1) return FullFor(absl::Milliseconds(200));
    v1::BuildClassifierStreamResponse event;
    event.mutable_result()->set_weight_set_id("abc");
    write(event);
    return grpc::Status::OK;
  };
  const auto built = server.Connect()->Build({}, [](const auto&) {});
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_EQ(built->weight_set_id(), "abc");
}

TEST(ClientTest, GoesRoundTheServersOfOneName) {
  FakeServer a, b;
  std::atomic<int> calls_a{0}, calls_b{0};
  a.classify = AfterRefusals(0, grpc::StatusCode::OK, &calls_a);
  b.classify = AfterRefusals(0, grpc::StatusCode::OK, &calls_b);
  for (const int max_attempts : {1, 5}) {
    const auto client =
        *Client::Connect(absl::StrCat("ipv4:", a.target(), ",", b.target()),
                         {.max_attempts = max_attempts});
    // Until both are connected the first takes all.
    calls_a = calls_b = 0;
    const absl::Time until = absl::Now() + absl::Seconds(10);
    while ((calls_a == 0 || calls_b == 0) && absl::Now() < until) {
      EXPECT_TRUE(client->Classify("x", "abc").ok());
    }
    calls_a = calls_b = 0;
    for (int i = 0; i < 20; ++i) {
      EXPECT_TRUE(client->Classify("x", "abc").ok());
    }
    EXPECT_EQ(calls_a, 10);
    EXPECT_EQ(calls_b, 10);
  }
}

TEST(ClientTest, LeavesOutServersThatSayTheyDoNotServe) {
  FakeServer a, b;
  std::atomic<int> calls_a{0}, calls_b{0};
  a.classify = AfterRefusals(0, grpc::StatusCode::OK, &calls_a);
  b.classify = AfterRefusals(0, grpc::StatusCode::OK, &calls_b);
  const auto client =
      *Client::Connect(absl::StrCat("ipv4:", a.target(), ",", b.target()),
                       {.watch_health = true});
  const auto call_until = [&](const auto& enough) {
    const absl::Time until = absl::Now() + absl::Seconds(10);
    while (!enough() && absl::Now() < until) {
      EXPECT_TRUE(client->Classify("x", "abc").ok());
    }
    EXPECT_TRUE(enough());
  };
  call_until([&] { return calls_a > 0 && calls_b > 0; });
  a.SetServing(false);
  absl::SleepFor(absl::Milliseconds(200));
  calls_a = calls_b = 0;
  call_until([&] { return calls_b >= 20; });
  EXPECT_EQ(calls_a, 0);
  a.SetServing(true);
  call_until([&] { return calls_a > 0; });
}

TEST(ClientTest, SurvivesARestartOfTheServer) {
  const int port = testing::FreePort();
  auto server = std::make_unique<FakeServer>(nullptr, port);
  server->classify = [](const auto&, auto* r) { return Answer(r); };
  const auto client = server->Connect();
  ASSERT_TRUE(client->Classify("x", "abc").ok());
  server.reset();
  EXPECT_TRUE(absl::IsUnavailable(client->Classify("x", "abc").status()));
  FakeServer again(nullptr, port);
  again.classify = [](const auto&, auto* r) { return Answer(r); };
  absl::Status status;
  // How soon gRPC looks for the server again is its own choice.
  for (int i = 0; i < 10; ++i) {
    status = client->Classify("x", "abc").status();
    if (status.ok()) break;
  }
  EXPECT_TRUE(status.ok()) << status;
}

TEST(ClientTest, StopsWaitingAtTheTimeout) {
  FakeServer server;
  server.classify = [](const auto&, auto* response) {
    absl::SleepFor(absl::Milliseconds(400));
    return Answer(response);
  };
  const auto client = server.Connect({.timeout = absl::Milliseconds(50)});
  const absl::Time start = absl::Now();
  EXPECT_TRUE(absl::IsDeadlineExceeded(client->Classify("x", "abc").status()));
  EXPECT_LT(absl::Now() - start, absl::Milliseconds(350));
}

// gRPC's own limit is 4 MiB.
TEST(ClientTest, TakesAnswersOverFourMegabytes) {
  FakeServer server;
  server.classify = [](const auto&, auto* response) {
    response->mutable_probabilities()->Resize(3 << 20, 0.5f);
    return Answer(response);
  };
  const auto answer = server.Connect()->Classify("x", "abc");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_THAT(answer->probabilities, SizeIs(3 << 20));
  EXPECT_EQ(server.Connect({.max_message_bytes = 1 << 20})
                ->Classify("x", "abc")
                .status()
                .code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(ClientTest, ABadItemFailsAlone) {
  FakeServer server;
  server.embed_texts = [](const auto& request, auto* response) {
    response->set_embedding_dim(2);
    for (const std::string& text : request.texts()) {
      const bool bad = text == "bad";
      response->add_embeddings(bad ? 0 : 0.6f);
      response->add_embeddings(bad ? 0 : 0.8f);
      v1::ItemStatus* status = response->add_statuses();
      if (bad) {
        status->set_code(grpc::StatusCode::INVALID_ARGUMENT);
        status->set_message("90 tokens; 77 are allowed");
      }
    }
    return grpc::Status::OK;
  };
  const auto results = server.Connect()->EmbedTexts({"good", "bad", "good"});
  ASSERT_TRUE(results.ok()) << results.status();
  ASSERT_THAT(*results, SizeIs(3));
  EXPECT_THAT(*(*results)[0], ElementsAre(0.6f, 0.8f));
  EXPECT_EQ((*results)[1].status(),
            absl::InvalidArgumentError("90 tokens; 77 are allowed"));
  EXPECT_THAT(*(*results)[2], ElementsAre(0.6f, 0.8f));
}

TEST(ClientTest, EmbeddingsThatDoNotAddUpAreInternal) {
  FakeServer server;
  server.embed_images = [](const auto&, auto* response) {
    response->set_embedding_dim(4);
    response->mutable_embeddings()->Resize(7, 0.5f);
    response->add_statuses();
    response->add_statuses();
    return grpc::Status::OK;
  };
  const absl::Status status =
      server.Connect()->EmbedImages({"a", "b"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("7 floats"));
}

TEST(ClientTest, ListsAllPages) {
  FakeServer server;
  server.list = [](const auto& request, auto* response) {
    const std::string token = request.page_token();
    response->add_weight_sets()->set_weight_set_id(absl::StrCat("on-", token));
    if (token.empty()) response->set_next_page_token("2");
    if (token == "2") response->set_next_page_token("3");
    return grpc::Status::OK;
  };
  const auto sets = server.Connect()->ListWeightSets();
  ASSERT_TRUE(sets.ok()) << sets.status();
  ASSERT_THAT(*sets, SizeIs(3));
  EXPECT_EQ((*sets)[0].weight_set_id(), "on-");
  EXPECT_EQ((*sets)[2].weight_set_id(), "on-3");
}

TEST(ClientTest, APageTokenThatRepeatsEndsTheList) {
  FakeServer server;
  server.list = [](const auto&, auto* response) {
    response->set_next_page_token("same");
    return grpc::Status::OK;
  };
  EXPECT_EQ(server.Connect()->ListWeightSets().status().code(),
            absl::StatusCode::kInternal);
}

TEST(ClientTest, DescribesModelAndWeightSets) {
  FakeServer server;
  server.get_model = [](const auto&, auto* response) {
    response->set_name("demo");
    response->set_logit_scale(100);
    response->mutable_limits()->set_max_classes(9);
    response->mutable_limits()->set_max_request_bytes(10);
    response->mutable_limits()->set_max_weight_sets(11);
    response->mutable_limits()->set_max_import_bytes(12);
    response->add_template_sets("simple");
    return grpc::Status::OK;
  };
  server.get = [](const auto& request, auto* response) {
    response->mutable_weight_set()->set_weight_set_id(request.weight_set_id());
    response->mutable_weight_set()->mutable_create_time()->set_seconds(1000);
    response->add_class_names("cat");
    return grpc::Status::OK;
  };
  Shared<std::string> deleted;
  server.remove = [&](const auto& request, auto*) {
    deleted.Set(request.weight_set_id());
    return grpc::Status::OK;
  };
  const auto client = server.Connect();
  const auto model = client->GetModel();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->name(), "demo");
  EXPECT_EQ(model->logit_scale(), 100);
  EXPECT_EQ(model->limits().max_classes(), 9);
  EXPECT_EQ(model->limits().max_request_bytes(), 10);
  EXPECT_EQ(model->limits().max_weight_sets(), 11);
  EXPECT_EQ(model->limits().max_import_bytes(), 12);
  EXPECT_THAT(model->template_sets(), ElementsAre("simple"));
  const auto set = client->GetWeightSet("abc");
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->weight_set().weight_set_id(), "abc");
  EXPECT_EQ(ToTime(set->weight_set().create_time()),
            absl::FromUnixSeconds(1000));
  EXPECT_THAT(set->class_names(), ElementsAre("cat"));
  EXPECT_TRUE(client->DeleteWeightSet("abc").ok());
  EXPECT_EQ(deleted.Get(), "abc");
}

TEST(ClientTest, HealthFollowsTheServer) {
  FakeServer server;
  const auto client = server.Connect();
  EXPECT_TRUE(client->Health().ok());
  server.SetServing(false);
  EXPECT_TRUE(absl::IsUnavailable(client->Health()));
  server.SetServing(true);
  EXPECT_TRUE(client->Health().ok());
}

TEST(ClientTest, HealthWaitsForAServerThatIsNotThereYet) {
  const int port = testing::FreePort();
  const auto client = *Client::Connect(absl::StrCat("127.0.0.1:", port));
  std::unique_ptr<FakeServer> server;
  std::thread starting([&] {
    absl::SleepFor(absl::Milliseconds(300));
    server = std::make_unique<FakeServer>(nullptr, port);
  });
  const absl::Time start = absl::Now();
  EXPECT_TRUE(client->Health(absl::Seconds(30)).ok());
  // gRPC's own pace without us would be 5 s.
  EXPECT_LT(absl::Now() - start, absl::Seconds(4));
  starting.join();
}

TEST(ClientTest, HealthOfNoServerIsUnavailable) {
  const int port = testing::FreePort();
  const auto client = *Client::Connect(absl::StrCat("127.0.0.1:", port));
  EXPECT_TRUE(absl::IsUnavailable(client->Health()));
}

// Local credentials stand for any: what matters is that ours are used.
TEST(ClientTest, UsesTheCredentialsGiven) {
  FakeServer server(grpc::experimental::LocalServerCredentials(LOCAL_TCP));
  server.classify = [](const auto&, auto* r) { return Answer(r); };
  ClientOptions options;
  options.credentials = grpc::experimental::LocalCredentials(LOCAL_TCP);
  const auto answer = server.Connect(options)->Classify("x", "abc");
  EXPECT_TRUE(answer.ok()) << answer.status();
}

TEST(ClientTest, ManyThreadsShareAClient) {
  FakeServer server;
  server.classify = [](const auto& request, auto* response) {
    response->add_predictions()->set_class_name(request.image());
    return grpc::Status::OK;
  };
  const auto client = server.Connect();
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const std::string image = absl::StrCat(t, "/", i);
        const auto answer = client->Classify(image, "abc");
        if (answer.ok() && answer->predictions[0].class_name == image) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 160);
}

}  // namespace
}  // namespace zeroshot::client
