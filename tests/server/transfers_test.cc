// ExportWeightSet and ImportWeightSet over the wire, with the client library
// and without it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <future>
#include <initializer_list>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "tests/server/running_server.h"
#include "tests/testing/make_png.h"
#include "tests/testing/temporary_folder.h"

namespace zeroshot::server {
namespace {

using client::ImportOptions;
using client::MatrixLayout;
using client::WeightSetFormat;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using testing_images::MakePng;

std::unique_ptr<Client> ClientOf(RunningServer& running) {
  return *Client::Connect(absl::StrCat("127.0.0.1:", running.server().port()));
}

std::string Export(Client& client, const std::string& id,
                   client::ExportOptions options = {}) {
  std::string file;
  const absl::Status status =
      client.Export(id, options, [&](absl::string_view piece) {
        file.append(piece.data(), piece.size());
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok()) << status;
  return file;
}

// A .npy of `count` classes of the fake model's 64 dimensions.
std::string Npy(int count) {
  std::string header = absl::StrCat(
      "{'descr': '<f4', 'fortran_order': False, 'shape': (", count, ", 64), }");
  std::vector<float> rows(count * 64);
  for (int c = 0; c < count; ++c) rows[c * 64 + c % 64] = c % 2 == 0 ? 1 : -1;
  return absl::StrCat(
      absl::string_view("\x93NUMPY\x01\x00", 8),
      std::string{static_cast<char>(header.size()), 0}, header,
      absl::string_view(reinterpret_cast<const char*>(rows.data()),
                        rows.size() * sizeof(float)));
}

std::vector<std::string> Names(int count) {
  std::vector<std::string> names;
  for (int c = 0; c < count; ++c) names.push_back(absl::StrCat("class ", c));
  return names;
}

TEST(TransfersTest, AnExportedSetAnswersAlikeWhereItIsImported) {
  RunningServer here, there;
  const auto from = ClientOf(here), to = ClientOf(there);
  const std::string id = here.Build(BuildRequest({"cat", "dog", "owl"}));
  const auto expected =
      from->Classify(MakePng(1), id, {.return_probabilities = true});
  ASSERT_TRUE(expected.ok()) << expected.status();
  const std::string npy = Export(
      *from, id, {v1::WEIGHT_SET_FORMAT_NPY, v1::MATRIX_LAYOUT_CLASS_COLUMNS});
  EXPECT_THAT(npy, HasSubstr("(64, 3)"));
  std::vector<std::string> ids;
  for (const auto& [file, options] :
       std::vector<std::pair<std::string, ImportOptions>>{
           {Export(*from, id), {}},
           {Export(*from, id, {v1::WEIGHT_SET_FORMAT_NPY}),
            {.class_names = {"cat", "dog", "owl"}}},
           {npy, {.class_names = {"cat", "dog", "owl"}}}}) {
    const auto imported = to->Import(file, options);
    ASSERT_TRUE(imported.ok()) << imported.status();
    ids.push_back(imported->weight_set().weight_set_id());
    EXPECT_EQ(imported->weight_set().num_classes(), 3);
    EXPECT_EQ(imported->weight_set().num_prompts(), 0);
    EXPECT_EQ(imported->cached(), ids.size() > 1);
    const auto answer =
        to->Classify(MakePng(1), ids.back(), {.return_probabilities = true});
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->probabilities, expected->probabilities);
    EXPECT_EQ(answer->predictions[0].class_name,
              expected->predictions[0].class_name);
  }
  EXPECT_THAT(ids, ElementsAre(ids[0], ids[0], ids[0]));
  EXPECT_THAT(ids[0], AllOf(StartsWith("imported-"), Not(HasSubstr(id))));
}

TEST(TransfersTest, AFileLargerThanAMessageGoesInPieces) {
  ServerOptions options;
  options.max_request_bytes = 2 << 20;
  options.embedder.max_image_bytes = 1 << 20;
  RunningServer running(options);
  const auto client = ClientOf(running);
  constexpr int kClasses = 30'000;
  const auto imported =
      client->Import(Npy(kClasses), {.class_names = Names(kClasses)});
  ASSERT_TRUE(imported.ok()) << imported.status();
  int pieces = 0;
  size_t bytes = 0;
  ASSERT_TRUE(client
                  ->Export(imported->weight_set().weight_set_id(), {},
                           [&](absl::string_view piece) {
                             ++pieces;
                             bytes += piece.size();
                             return absl::OkStatus();
                           })
                  .ok());
  EXPECT_GT(pieces, 7);
  EXPECT_GT(bytes, kClasses * 64 * 4);
}

TEST(TransfersTest, AnImportedSetIsOneOfTheOthersButSaysThatItIsGone) {
  RunningServer running;
  const auto client = ClientOf(running);
  const std::string built = running.Build(BuildRequest({"cat"}));
  const auto imported = client->Import(Npy(2), {.class_names = {"x", "y"}});
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_THAT(imported->warnings(), ElementsAre(HasSubstr("which model")));
  const std::string id = imported->weight_set().weight_set_id();
  EXPECT_THAT(client->GetWeightSet(id)->class_names(), ElementsAre("x", "y"));
  EXPECT_EQ(client->ListWeightSets()->size(), 2);
  // Its id is a page token too.
  v1::ListWeightSetsRequest page;
  page.set_page_token(id);
  v1::ListWeightSetsResponse rest;
  Context context;
  EXPECT_TRUE(running.stub().ListWeightSets(&context, page, &rest).ok());

  ASSERT_TRUE(client->DeleteWeightSet(id).ok());
  for (const absl::Status& gone :
       {client->Classify(MakePng(1), id).status(),
        client->GetWeightSet(id).status(),
        client->Export(id, {},
                       [](absl::string_view) { return absl::OkStatus(); })}) {
    EXPECT_TRUE(absl::IsNotFound(gone));
    EXPECT_THAT(std::string(gone.message()),
                AllOf(HasSubstr("cannot be built again"), HasSubstr(id)));
  }
  const auto again = client->Import(Npy(2), {.class_names = {"x", "y"}});
  EXPECT_EQ(again->weight_set().weight_set_id(), id);
  EXPECT_FALSE(again->cached());
}

TEST(TransfersTest, AnImportedSetOutlivesTheServerOnDisk) {
  testing::TemporaryFolder folder;
  ServerOptions options;
  options.disk_store = folder.path();
  std::string id;
  {
    RunningServer before(options);
    const auto imported =
        ClientOf(before)->Import(Npy(2), {.class_names = {"x", "y"}});
    ASSERT_TRUE(imported.ok()) << imported.status();
    id = imported->weight_set().weight_set_id();
  }
  RunningServer after(options);
  EXPECT_TRUE(ClientOf(after)->Classify(MakePng(1), id).ok());
}

TEST(TransfersTest, WhatCannotBeImportedIsNamed) {
  ServerOptions options;
  options.max_import_bytes = 10'000;
  RunningServer running(options);
  const auto client = ClientOf(running);
  const auto error = [&](const std::string& file, ImportOptions import = {}) {
    const absl::Status status = client->Import(file, import).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  EXPECT_NE(error(""), "");
  EXPECT_THAT(error("not a file of weights"), HasSubstr("safetensors"));
  EXPECT_THAT(error(Npy(2)), HasSubstr("no class names"));
  EXPECT_THAT(error(Npy(2), {.class_names = {"x"}}), HasSubstr("[1, 64]"));
  EXPECT_THAT(error(Npy(50), {.class_names = Names(50)}),
              HasSubstr("at most 10000 bytes (--max_import_bytes)"));
  EXPECT_THAT(error(Npy(1), {.class_names = {std::string(5000, 'x')}}),
              HasSubstr("2048 are allowed"));
  EXPECT_TRUE(absl::IsFailedPrecondition(
      client
          ->Import(Npy(1), {.class_names = {"x"}, .model_fingerprint = "other"})
          .status()));
  EXPECT_THAT(*client->ListWeightSets(), IsEmpty());
}

TEST(TransfersTest, RefusesRequestsThatMakeNoSense) {
  RunningServer running;
  const std::string id = running.Build(BuildRequest({"cat"}));
  const auto export_error = [&](int format, int layout, const std::string& of) {
    v1::ExportWeightSetRequest request;
    request.set_weight_set_id(of);
    request.set_format(static_cast<v1::WeightSetFormat>(format));
    request.set_layout(static_cast<v1::MatrixLayout>(layout));
    Context context;
    const auto reader = running.stub().ExportWeightSet(&context, request);
    v1::ExportWeightSetResponse piece;
    EXPECT_FALSE(reader->Read(&piece));
    const grpc::Status status = reader->Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    return status.error_message();
  };
  EXPECT_THAT(export_error(7, 0, id), HasSubstr("format is 7"));
  EXPECT_THAT(export_error(0, 7, id), HasSubstr("layout is 7"));
  EXPECT_THAT(export_error(1, 2, id), HasSubstr("NPY only"));
  EXPECT_THAT(export_error(0, 0, ""), HasSubstr("weight_set_id is empty"));

  Context context;
  v1::ImportWeightSetResponse response;
  const auto writer = running.stub().ImportWeightSet(&context, &response);
  v1::ImportWeightSetRequest piece;
  piece.mutable_header()->set_layout(v1::MATRIX_LAYOUT_CLASS_ROWS);
  writer->Write(piece);
  writer->Write(piece);
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(),
              HasSubstr("other fields than class_names"));
}

class ImportMessagesTest : public ::testing::Test {
 protected:
  using Header = v1::ImportWeightSetHeader;
  using Message = v1::ImportWeightSetRequest;

  static Message Of(const Header& header) {
    Message message;
    *message.mutable_header() = header;
    return message;
  }
  static Message Data(const std::string& data) {
    Message message;
    message.set_data(data);
    return message;
  }
  static Header Names(std::initializer_list<const char*> names) {
    Header header;
    for (const char* name : names) header.add_class_names(name);
    return header;
  }

  grpc::Status Send(const std::vector<Message>& messages) {
    Context context;
    const auto writer = running_.stub().ImportWeightSet(&context, &response_);
    for (const Message& message : messages) {
      if (!writer->Write(message)) break;
    }
    writer->WritesDone();
    return writer->Finish();
  }

  // What is wrong with the messages, and with which field.
  std::string Invalid(const std::vector<Message>& messages,
                      const std::string& field) {
    const grpc::Status status = Send(messages);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_details(),
                AllOf(HasSubstr("INVALID_FIELD"), HasSubstr(field)));
    return status.error_message();
  }
  std::string Damaged(const std::vector<Message>& messages) {
    const grpc::Status status = Send(messages);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS);
    EXPECT_THAT(status.error_details(),
                AllOf(HasSubstr("TRANSFER_DAMAGED"), HasSubstr("expected"),
                      HasSubstr("found")));
    return status.error_message();
  }

  static ServerOptions Options() {
    ServerOptions options;
    options.max_import_bytes = 10'000;
    options.build.max_classes = 5;
    return options;
  }

  RunningServer running_{Options()};
  v1::ImportWeightSetResponse response_;
  const std::string file_ = Npy(2);
};

TEST_F(ImportMessagesTest, HeadersThenData) {
  Header first = Names({"x"});
  first.set_total_bytes(static_cast<int64_t>(file_.size()));
  first.set_sha256(
      "abcf043c9399f43b37c73a9af4f732955cd94ca7322d87d88e966ad66e1811c5");
  first.set_display_name("letters");
  const grpc::Status status =
      Send({Of(first), Of(Names({"y"})), Of({}), Data(file_.substr(0, 99)),
            Data(""), Data(file_.substr(99))});
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response_.weight_set().display_name(), "letters");
  EXPECT_THAT(response_.weight_set().first_class_names(),
              ElementsAre("x", "y"));
  // Again, under another name; the digits of a hash may be capitals.
  first.set_display_name("x and y");
  first.set_sha256(absl::AsciiStrToUpper(first.sha256()));
  ASSERT_TRUE(Send({Of(first), Of(Names({"y"})), Data(file_)}).ok());
  EXPECT_TRUE(response_.cached());
  EXPECT_EQ(response_.weight_set().display_name(), "x and y");
  EXPECT_EQ((*ClientOf(running_)->ListWeightSets())[0].display_name(),
            "x and y");
  // Neither size nor hash need be known.
  EXPECT_TRUE(Send({Of(Names({"x", "y"})), Data(file_)}).ok());
}

TEST_F(ImportMessagesTest, OtherBytesThanTheHeaderTellsOfAreDataLoss) {
  Header header = Names({"x", "y"});
  header.set_total_bytes(static_cast<int64_t>(file_.size()));
  const std::string said = absl::StrCat("header.total_bytes is ", file_.size());
  EXPECT_THAT(Damaged({Of(header), Data(file_.substr(1))}),
              AllOf(HasSubstr(said),
                    HasSubstr(absl::StrCat(file_.size() - 1, " bytes"))));
  EXPECT_THAT(Damaged({Of(header), Data(file_), Data("x")}),
              AllOf(HasSubstr(said), HasSubstr("maybe more")));
  EXPECT_THAT(Damaged({Of(header)}), HasSubstr("0 bytes arrived"));
  header.set_sha256(std::string(64, 'a'));
  EXPECT_THAT(Damaged({Of(header), Data(file_)}),
              AllOf(HasSubstr("header.sha256 is aaaa"),
                    HasSubstr("abcf043c9399f43b37c73a9af4f732955cd94ca7322d87d8"
                              "8e966ad66e1811c5")));
  std::string other = file_;
  other.back() ^= 1;
  header.set_sha256(
      "abcf043c9399f43b37c73a9af4f732955cd94ca7322d87d88e966ad66e1811c5");
  Damaged({Of(header), Data(other)});
  EXPECT_THAT(*ClientOf(running_)->ListWeightSets(), IsEmpty());
  EXPECT_TRUE(Send({Of(header), Data(file_)}).ok());
}

TEST_F(ImportMessagesTest, WhatIsNoImportIsToldWhy) {
  EXPECT_THAT(Invalid({}, "header"), HasSubstr("no message"));
  EXPECT_THAT(Invalid({Data(file_)}, "header"),
              HasSubstr("the first message has no header"));
  EXPECT_THAT(Invalid({Message()}, "header"), HasSubstr("no header"));
  EXPECT_THAT(Invalid({Of({}), Message()}, "data"),
              HasSubstr("neither header nor data"));
  EXPECT_THAT(Invalid({Of({}), Data("x"), Of(Names({"x"}))}, "header"),
              HasSubstr("behind data"));
  Header header;
  header.set_total_bytes(-1);
  EXPECT_THAT(Invalid({Of(header)}, "header.total_bytes"), HasSubstr("is -1"));
  // Before a byte of it is sent.
  header.set_total_bytes(10'001);
  EXPECT_THAT(Invalid({Of(header)}, "data"),
              AllOf(HasSubstr("is 10001"), HasSubstr("at most 10000")));
  header.set_total_bytes(0);
  EXPECT_THAT(Invalid({Of(header), Data(std::string(10'001, 'x'))}, "data"),
              HasSubstr("more than 10000 bytes"));
  for (const std::string& hash :
       {std::string("abc"), std::string(64, 'g'), std::string(65, 'a')}) {
    header.set_sha256(hash);
    EXPECT_THAT(Invalid({Of(header)}, "header.sha256"),
                HasSubstr(absl::StrCat(hash.size(), " characters")));
  }
  header.clear_sha256();
  header.set_display_name("two\nlines");
  EXPECT_THAT(Invalid({Of(header)}, "display_name"), HasSubstr("U+000A"));
  EXPECT_THAT(Invalid({Of(Names({"a", "b", "c"})), Of(Names({"d", "e", "f"}))},
                      "header.class_names"),
              HasSubstr("at most 5"));
  EXPECT_THAT(*ClientOf(running_)->ListWeightSets(), IsEmpty());
}

TEST(TransfersTest, ABrokenOffImportLeavesNothing) {
  RunningServer running;
  {
    Context context;
    v1::ImportWeightSetResponse response;
    const auto writer = running.stub().ImportWeightSet(&context, &response);
    v1::ImportWeightSetRequest piece;
    piece.mutable_header()->add_class_names("x");
    piece.mutable_header()->add_class_names("y");
    ASSERT_TRUE(writer->Write(piece));
    piece.set_data(Npy(2));
    ASSERT_TRUE(writer->Write(piece));
    context.TryCancel();
    EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_THAT(*ClientOf(running)->ListWeightSets(), IsEmpty());
}

TEST(TransfersTest, OneTransferTooManyIsRefusedWithARetryDelay) {
  RunningServer running;
  struct Import {
    Context context;
    v1::ImportWeightSetResponse response;
    std::unique_ptr<grpc::ClientWriter<v1::ImportWeightSetRequest>> writer;
  };
  std::vector<std::unique_ptr<Import>> inside;
  v1::ImportWeightSetRequest piece;
  piece.mutable_header()->add_class_names("x");
  for (int i = 0; i < Service::kMaxTransfers; ++i) {
    inside.push_back(std::make_unique<Import>());
    inside[i]->writer = running.stub().ImportWeightSet(&inside[i]->context,
                                                       &inside[i]->response);
    inside[i]->writer->Write(piece);
  }
  // Until they have arrived.
  grpc::Status refused;
  for (int i = 0;
       i < 200 && refused.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED;
       ++i) {
    absl::SleepFor(absl::Milliseconds(50));
    Context context;
    v1::ImportWeightSetResponse response;
    const auto writer = running.stub().ImportWeightSet(&context, &response);
    writer->WritesDone();
    refused = writer->Finish();
  }
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_details(), HasSubstr("google.rpc.RetryInfo"));
  for (auto& import : inside) {
    import->writer->WritesDone();
    EXPECT_EQ(import->writer->Finish().error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
  }
  EXPECT_TRUE(ClientOf(running)->Import(Npy(1), {.class_names = {"x"}}).ok());
}

}  // namespace
}  // namespace zeroshot::server
