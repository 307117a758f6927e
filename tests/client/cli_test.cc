// zeroshot_client's commands, run in this process against a real server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/run.h"
#include "tests/client/fake_server.h"
#include "tests/client/run_cli.h"
#include "tests/testing/free_port.h"

namespace zeroshot::client {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

using Result = CliResult;

class CliTest : public ::testing::Test {
 protected:
  CliTest() : fake_(&server_) {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              absl::StrCat("zeroshot-cli-", getpid());
    std::filesystem::create_directories(folder_);
  }
  ~CliTest() override { std::filesystem::remove_all(folder_); }

  // Runs a command against the server, with nothing on stdin but `in`.
  Result Run(std::vector<std::string> args, Console console = {},
             const std::string& in = "") {
    return RunCli(std::move(args), server_.target(), in, console);
  }

  // Writes a file and returns its path.
  std::string File(const std::string& name, const std::string& content) {
    const std::string path = folder_ / name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  FakeServer server_;
  FakeClassifiers fake_;
  std::filesystem::path folder_;
};

TEST_F(CliTest, BuildPrintsTheIdAloneOnStdout) {
  const Result result = Run({"build", "--classes=cat, dog"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "id-cat-dog\n");
  EXPECT_THAT(result.err, HasSubstr("2 classes"));
}

TEST_F(CliTest, BuildReadsClassesAndTemplatesFromFiles) {
  Shared<v1::BuildClassifierRequest> shared;
  server_.build = [&](const auto& request, auto* response) {
    shared.Set(request);
    response->set_weight_set_id("x");
    return grpc::Status::OK;
  };
  const std::string classes = File("classes", "cat\r\n\n  great dane \nrat");
  const std::string templates = File("templates", "a {}, a pet.\nthe {}\n");
  const Result result = Run({"build", "--classes_file", classes,
                             absl::StrCat("--templates_file=", templates)});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const v1::BuildClassifierRequest seen = shared.Get();
  ASSERT_EQ(seen.classes_size(), 3);
  EXPECT_EQ(seen.classes(1).name(), "great dane");
  EXPECT_EQ(seen.classes(2).name(), "rat");
  EXPECT_THAT(seen.templates(),
              ::testing::ElementsAre("a {}, a pet.", "the {}"));
}

TEST_F(CliTest, BuildReportsProgressOnlyWhereItIsWanted) {
  server_.build_stream = [](const auto&, const auto& write) {
    v1::BuildClassifierStreamResponse event;
    event.mutable_progress()->set_prompts_total(1200);
    event.mutable_progress()->set_prompts_done(600);
    event.mutable_progress()->set_num_tokens_encoded(4500);
    event.mutable_progress()->mutable_time_left()->set_seconds(3);
    write(event);
    event.mutable_result()->set_weight_set_id("abc");
    write(event);
    return grpc::Status::OK;
  };
  const std::vector<std::string> args = {"build", "--classes=cat"};
  EXPECT_THAT(Run(args).err, Not(HasSubstr("600")));

  const Result lines = Run({"build", "--classes=cat", "--stream"});
  EXPECT_EQ(lines.out, "abc\n");
  EXPECT_THAT(lines.err, StartsWith("building: 50 %, 600 of 1,200 prompts, "
                                    "3.00 s left\n"));

  const Result bar = Run(args, {.err_is_terminal = true});
  EXPECT_EQ(bar.out, "abc\n");
  EXPECT_THAT(bar.err, AllOf(HasSubstr("█"), HasSubstr("50.0 %")));

  EXPECT_THAT(Run({"build", "--classes=cat", "--stream", "--json"}).out,
              StartsWith("{\"progress\":{\"prompts_done\":600,"
                         "\"prompts_total\":1200,\"num_tokens_encoded\":4500,"
                         "\"time_left_ms\":3000}}\n"
                         "{\"weight_set_id\":\"abc\","));
}

TEST_F(CliTest, ClassifyPrintsOneLineAImageInColumns) {
  ASSERT_EQ(Run({"build", "--classes=cat,horse"}).exit_code, 0);
  const Result result =
      Run({"classify", "--weight_set=id-cat-horse", "--top_k=2",
           File("a.png", "horse"), File("longer.png", "cat")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out,
            "a.png       horse  75.0 %  cat    25.0 %\n"
            "longer.png  cat    75.0 %  horse  25.0 %\n");
  EXPECT_THAT(result.err, IsEmpty());
}

TEST_F(CliTest, OneImageAndItsClassifierAreOneCall) {
  server_.build = nullptr;
  server_.get = nullptr;
  const Result result = Run(
      {"classify", "--classes=cat,horse", "--top_k=2", File("a.png", "horse")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "a.png  horse  75.0 %  cat  25.0 %\n");
  EXPECT_EQ(fake_.builds(), 1);
  EXPECT_THAT(
      Run({"classify", "--classes=cat,horse", "--json", File("a.png", "cat")})
          .out,
      HasSubstr(R"("weight_set_id":"id-cat-horse")"));
}

TEST_F(CliTest, AClassifierThatIsTooMuchForOneCallIsBuilt) {
  const auto answer = server_.classify.Get();
  server_.classify = [&](const auto& request, auto* response) {
    if (!request.has_classifier()) return answer(request, response);
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                        "classifier has 80000 prompts");
  };
  // Standard input can be read once only.
  const Result result =
      Run({"classify", "--classes=cat,dog", "--top_k=1", "-"}, {}, "dog");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "stdin  dog  75.0 %\n");
  EXPECT_EQ(fake_.builds(), 1);
}

TEST_F(CliTest, ClassifyShowsALineAWeightSet) {
  ASSERT_EQ(Run({"build", "--classes=cat,horse"}).exit_code, 0);
  ASSERT_EQ(Run({"build", "--classes=cat,tom"}).exit_code, 0);
  std::vector<std::string> args = {"classify", "--weight_set=id-cat-horse",
                                   "--weight_set=id-cat-tom", "--top_k=1",
                                   File("a.png", "cat")};
  const Result result = Run(args);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out,
            "a.png  id-cat-horse  cat    75.0 %\n"
            "       id-cat-tom    cat    75.0 %\n");
  args.push_back("--json");
  EXPECT_THAT(
      Run(args).out,
      AllOf(HasSubstr("\"weight_set_id\":\"id-cat-horse\",\"predictions\":["),
            HasSubstr("\"embedding_cached\":false,\"more\":[{"
                      "\"weight_set_id\":\"id-cat-tom\",\"predictions\":[{")));
  args.push_back("--weight_set=id-unknown");
  const Result unknown = Run(args);
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.out, HasSubstr("id-unknown"));
}

TEST_F(CliTest, BarsAndColourAreForTerminals) {
  const std::string image = File("a.png", "cat");
  const std::vector<std::string> args = {"classify", "--classes=cat,dog",
                                         image};
  EXPECT_THAT(Run(args, {.colour = true}).out,
              AllOf(Not(HasSubstr("█")), Not(HasSubstr("\033"))));
  EXPECT_THAT(Run(args, {.out_is_terminal = true}).out,
              AllOf(HasSubstr("███████████████ "), Not(HasSubstr("\033"))));
  EXPECT_THAT(Run(args, {.out_is_terminal = true, .colour = true}).out,
              AllOf(HasSubstr("█"), HasSubstr("\033[32m")));
}

TEST_F(CliTest, ABadFileIsReportedAndTheOthersGoOn) {
  const Result result =
      Run({"classify", "--classes=cat,dog", "--top_k=1", File("1", "cat"),
           File("2", "a cow"), folder_ / "missing", folder_, File("3", "dog")});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("cat  75.0 %\n"), HasSubstr("dog  75.0 %\n")));
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("2: not an image (INVALID_ARGUMENT)"),
                    HasSubstr("missing: No such file or directory"),
                    HasSubstr("a folder in which no file has the name of an "
                              "image; --recursive looks into subfolders"),
                    HasSubstr("2 of 5 answered, 3 failed, 0 not tried\n")));
}

TEST_F(CliTest, ManyImagesKeepTheirOrder) {
  std::vector<std::string> args = {"classify", "--classes=cat,dog", "--top_k=1",
                                   "--parallel=5"};
  std::string expected;
  for (int i = 100; i < 160; ++i) {
    const std::string name = i % 3 == 0 ? "cat" : "dog";
    args.push_back(File(absl::StrCat(i), name));
    absl::StrAppend(&expected, i, "  ", name, "  75.0 %\n");
  }
  EXPECT_EQ(Run(args).out, expected);
}

TEST_F(CliTest, ClassifyReadsAImageFromStdin) {
  const Result result =
      Run({"classify", "--classes=cat,dog", "--top_k=1", "-"}, {}, "dog");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "stdin  dog  75.0 %\n");
}

TEST_F(CliTest, ClassifyByIdOfAForgottenSetSaysSoOnce) {
  const Result result = Run(
      {"classify", "--weight_set=gone", File("1", "cat"), File("2", "cat")});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, StartsWith("zeroshot_client classify: no weight set "
                                     "gone (NOT_FOUND)\n"));
  EXPECT_THAT(result.err, HasSubstr("`zeroshot_client build`"));
}

TEST_F(CliTest, ClassifyStopsWhenTheServerIsGone) {
  ASSERT_EQ(Run({"build", "--classes=cat,dog"}).exit_code, 0);
  std::vector<std::string> args = {
      "classify",  "--weight_set=id-cat-dog", "--json",        "--parallel=2",
      "--top_k=1", "--wait_for_server=0",     folder_ / "none"};
  for (int i = 0; i < 100; ++i) args.push_back(File(absl::StrCat(i), "cat"));
  server_.SetServing(false);
  server_.classify = [](const auto&, auto*) {
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping");
  };
  const Result result = Run(args);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, StartsWith("0 of 101 answered, "));
  EXPECT_THAT(result.err,
              ::testing::ContainsRegex(
                  "[234] failed, 9[789] not tried; stopped because"));
  EXPECT_THAT(result.err, HasSubstr("(UNAVAILABLE)\n"));
  // A line for each that was tried.
  EXPECT_LE(std::count(result.out.begin(), result.out.end(), '\n'), 4);
}

TEST_F(CliTest, ClassifyWaitsForAServerThatIsAwayAndLosesNothing) {
  std::atomic<int> calls{0};
  const auto answer = server_.classify.Get();
  server_.classify = [&](const auto& request, auto* response) {
    if (++calls == 5) {
      server_.SetServing(false);
      fake_.Forget();
    }
    if (calls >= 5 && calls < 5 + 3 * 5) {
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping");
    }
    return answer(request, response);
  };
  std::thread returning([&] {
    while (calls < 10) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    server_.SetServing(true);
  });
  std::vector<std::string> args = {"classify", "--classes=cat,dog", "--top_k=1",
                                   "--parallel=2"};
  std::string expected;
  for (int i = 100; i < 130; ++i) {
    args.push_back(File(absl::StrCat(i), "dog"));
    absl::StrAppend(&expected, i, "  dog  75.0 %\n");
  }
  const Result result = Run(args);
  returning.join();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, expected);
}

TEST_F(CliTest, AnInputThatEndsTheServerEachTimeDoesNotStopTheOthers) {
  const auto answer = server_.classify.Get();
  server_.classify = [&](const auto& request, auto* response) {
    if (request.image() != "poison") return answer(request, response);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "crashed");
  };
  const Result result =
      Run({"classify", "--classes=cat,dog", "--top_k=1", "--parallel=1",
           File("1", "cat"), File("2", "poison"), File("3", "dog")});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "1  cat  75.0 %\n3  dog  75.0 %\n");
  EXPECT_THAT(result.err, AllOf(HasSubstr("2: crashed (UNAVAILABLE)"),
                                HasSubstr("2 of 3 answered, 1 failed, 0 not")));
}

TEST_F(CliTest, ClassifyStopsWhenEveryOtherCallWouldFailTheSameWay) {
  ASSERT_EQ(Run({"build", "--classes=cat,dog"}).exit_code, 0);
  std::atomic<int> calls{0};
  const auto answer = server_.classify.Get();
  server_.classify = [&](const auto& request, auto* response) {
    if (++calls == 4) fake_.Forget();
    return answer(request, response);
  };
  std::vector<std::string> args = {"classify", "--weight_set=id-cat-dog",
                                   "--parallel=1"};
  for (int i = 0; i < 50; ++i) args.push_back(File(absl::StrCat(i), "cat"));
  const Result result = Run(args);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err,
              HasSubstr("3 of 50 answered, 1 failed, 46 not tried; stopped "
                        "because: no weight set id-cat-dog (NOT_FOUND)"));
}

TEST_F(CliTest, WaitForServerGivenWaitsForOneThatStarts) {
  std::atomic<bool> serving{false};
  std::atomic<int> early{0};
  const auto build = server_.build.Get();
  server_.build = [&](const auto& request, auto* response) {
    early += !serving;
    return build(request, response);
  };
  server_.SetServing(false);
  std::thread starting([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(800));
    serving = true;
    server_.SetServing(true);
  });
  const Result result = Run({"classify", "--classes=cat,dog", "--top_k=1",
                             "--wait_for_server=600s", File("1", "cat")});
  starting.join();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(early, 0);
  EXPECT_EQ(Run({"classify", "--classes=cat", "--wait_for_server=soon", "x"})
                .exit_code,
            2);
}

TEST_F(CliTest, JsonIsOneObjectALine) {
  const std::string good = File("good", "cat");
  const std::string bad = File("bad", "a cow");
  const Result result =
      Run({"classify", "--classes=cat,dog", "--top_k=1", "--json", good, bad});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out,
            absl::StrCat("{\"file\":\"", good,
                         "\",\"weight_set_id\":\"id-cat-dog\",\"predictions\":"
                         "[{\"class_index\":0,\"class_name\":\"cat\","
                         "\"probability\":0.75,\"logit\":0,\"cosine\":0,"
                         "\"accepted\":true}],\"groups\":[],"
                         "\"other_probability\":0,\"timing_ms\":"
                         "{\"decode\":0,\"preprocess\":0,\"queue\":0,"
                         "\"compute\":0,\"total\":0},"
                         "\"embedding_cached\":false}\n{\"file\":\"",
                         bad,
                         "\",\"error\":{\"code\":\"INVALID_ARGUMENT\","
                         "\"message\":\"not an image\"}}\n"));
  EXPECT_EQ(Run({"delete", "x", "--json"}).out,
            "{\"weight_set_id\":\"x\",\"deleted\":false,\"error\":{\"code\":"
            "\"UNIMPLEMENTED\",\"message\":\"not set\"}}\n");
}

TEST_F(CliTest, NamesOfOthersCannotSteerTheTerminal) {
  const Result result = Run({"classify", "--classes=\033[2Jcat,dog",
                             "--top_k=1", File("a", "\033[2Jcat")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "a  \ufffd[2Jcat  75.0 %\n");
}

TEST_F(CliTest, EmbedsTextsAndImagesInOrder) {
  const auto answer = [](float first) {
    return [=](const auto&, auto* response) {
      response->set_embedding_dim(2);
      response->add_embeddings(first);
      response->add_embeddings(0.8f);
      response->add_statuses();
      return grpc::Status::OK;
    };
  };
  server_.embed_texts = answer(0.6f);
  server_.embed_images = answer(-0.6f);
  const std::string image = File("a.png", "cat");
  EXPECT_EQ(Run({"embed", image, "--text=a cat"}).out,
            "'a cat'  2 floats   0.6000  0.8000\n"
            "a.png    2 floats  -0.6000  0.8000\n");
  EXPECT_EQ(Run({"embed", "--json", "--text", "a cat"}).out,
            "{\"text\":\"a cat\",\"embedding\":[0.6,0.8]}\n");
}

TEST_F(CliTest, ListShowDeleteAndModelSpeakToPeopleAndPrograms) {
  server_.list = [](const auto&, auto* response) {
    v1::WeightSetInfo* info = response->add_weight_sets();
    info->set_weight_set_id("abc");
    info->set_num_classes(1000);
    info->set_size_bytes(2'048'000);
    return grpc::Status::OK;
  };
  server_.remove = [](const auto&, auto*) { return grpc::Status::OK; };
  server_.get_model = [](const auto&, auto* response) {
    response->set_name("demo");
    response->add_template_sets("simple");
    return grpc::Status::OK;
  };
  ASSERT_EQ(Run({"build", "--classes=cat,dog"}).exit_code, 0);
  EXPECT_THAT(Run({"list"}).out,
              AllOf(HasSubstr("abc"), HasSubstr("1,000"), HasSubstr("2.0 MB")));
  EXPECT_THAT(Run({"list", "--json"}).out,
              StartsWith("{\"weight_set_id\":\"abc\",\"num_classes\":1000,"));
  EXPECT_THAT(Run({"show", "id-cat-dog"}).out, HasSubstr("\n\ncat\ndog\n"));
  EXPECT_THAT(Run({"show", "id-cat-dog", "--json"}).out,
              HasSubstr("\"class_names\":[\"cat\",\"dog\"]"));
  EXPECT_EQ(Run({"delete", "abc", "def"}).out, "deleted abc\ndeleted def\n");
  EXPECT_THAT(Run({"model"}).out, HasSubstr("demo"));
  EXPECT_THAT(Run({"model", "--json"}).out,
              AllOf(HasSubstr("\"name\":\"demo\""),
                    HasSubstr("\"template_sets\":[\"simple\"]")));
}

TEST_F(CliTest, ExportWritesAWholeFileOrNone) {
  server_.export_set = [](const auto& request, const auto& write) {
    v1::ExportWeightSetResponse piece;
    piece.set_total_bytes(5);
    piece.set_data("hello");
    write(piece);
    return request.weight_set_id() == "id-cat-dog"
               ? grpc::Status::OK
               : grpc::Status(grpc::StatusCode::NOT_FOUND, "gone");
  };
  ASSERT_EQ(Run({"build", "--classes=cat,dog"}).exit_code, 0);
  const std::string file = folder_ / "set.npy", names = folder_ / "names";
  const auto content = [](const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const Result missing = Run({"export", "unknown", file});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.err, HasSubstr("gone"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
  const Result written = Run({"export", "id-cat-dog", file, "--names", names});
  EXPECT_EQ(written.exit_code, 0) << written.err;
  EXPECT_EQ(content(file), "hello");
  EXPECT_EQ(content(names), "cat\ndog\n");
  const std::vector<std::string> again = {"export", "id-cat-dog", file,
                                          "--json"};
  std::ofstream(file) << "mine";
  EXPECT_THAT(Run(again).out, HasSubstr("ALREADY_EXISTS"));
  EXPECT_EQ(content(file), "mine");
  EXPECT_THAT(
      Run({"export", "id-cat-dog", folder_ / "b.npy", "--names", names}).err,
      HasSubstr("names is there already; --overwrite replaces it"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "b.npy"));
  std::vector<std::string> overwrite = again;
  overwrite.push_back("--overwrite");
  EXPECT_THAT(Run(overwrite).out, HasSubstr("\"bytes\":5"));
  EXPECT_EQ(content(file), "hello");
}

TEST_F(CliTest, NamesAreGivenAndShown) {
  Shared<v1::BuildClassifierRequest> built;
  server_.build = [&](const auto& request, auto* response) {
    built.Set(request);
    response->set_weight_set_id("abc");
    return grpc::Status::OK;
  };
  ASSERT_EQ(Run({"build", "--classes=cat,dog", "--name=my pets"}).exit_code, 0);
  EXPECT_EQ(built.Get().display_name(), "my pets");
  const auto describe = [](v1::WeightSetInfo* info, const std::string& name) {
    info->set_weight_set_id("abc");
    info->set_num_classes(name.empty() ? 3 : 2);
    info->set_display_name(name);
    info->add_first_class_names("cat");
    info->add_first_class_names("dog");
  };
  server_.list = [&](const auto&, auto* response) {
    describe(response->add_weight_sets(), "my pets");
    describe(response->add_weight_sets(), "");
    return grpc::Status::OK;
  };
  server_.get = [&](const auto&, auto* response) {
    describe(response->mutable_weight_set(), "my pets");
    return grpc::Status::OK;
  };
  EXPECT_THAT(Run({"list"}).out, AllOf(HasSubstr("  my pets\n"),
                                       HasSubstr("  (cat, dog, ...)\n")));
  EXPECT_THAT(Run({"list", "--json"}).out,
              HasSubstr("\"display_name\":\"my pets\",\"first_class_names\":"
                        "[\"cat\",\"dog\"]}"));
  EXPECT_THAT(Run({"show", "abc"}).out, HasSubstr("name         my pets\n"));
}

TEST_F(CliTest, TheBeginningOfAnIdIsEnough) {
  const std::string id(64, 'a'), imported = "imported-" + id;
  server_.get = [&](const auto& request, auto* response) {
    const std::string& given = request.weight_set_id();
    for (const std::string& known : {id, imported}) {
      if (absl::StartsWith(known, given)) {
        response->mutable_weight_set()->set_weight_set_id(known);
      }
    }
    return response->has_weight_set()
               ? grpc::Status::OK
               : grpc::Status(grpc::StatusCode::NOT_FOUND, "no such set");
  };
  Shared<std::string> asked;
  server_.classify = [&](const auto& request, auto* response) {
    asked.Set(request.weight_set_id());
    response->add_predictions()->set_class_name("cat");
    return grpc::Status::OK;
  };
  server_.remove = [&](const auto& request, auto*) {
    asked.Set(request.weight_set_id());
    return grpc::Status::OK;
  };
  server_.export_set = [&](const auto& request, const auto&) {
    asked.Set(request.weight_set_id());
    return grpc::Status::OK;
  };
  const std::string file = File("cat", "cat");
  for (const std::string& whole : {id, imported}) {
    const std::string begin = whole.substr(0, whole.size() - 56);
    EXPECT_EQ(Run({"classify", "--weight_set", begin, file}).exit_code, 0);
    EXPECT_EQ(asked.Get(), whole);
    asked.Set("");
    EXPECT_EQ(Run({"delete", begin}).out, "deleted " + whole + "\n");
    EXPECT_EQ(asked.Get(), whole);
    asked.Set("");
    EXPECT_EQ(
        Run({"export", begin, folder_ / "set.npy", "--overwrite"}).exit_code,
        0);
    EXPECT_EQ(asked.Get(), whole);
    EXPECT_THAT(Run({"show", begin}).out, HasSubstr(whole));
  }
  const Result none = Run({"classify", "--weight_set=bbbbbbbb", file});
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.err, HasSubstr("no such set (NOT_FOUND)"));
}

TEST_F(CliTest, SetsListsThemAndWhatOneHolds) {
  server_.template_sets = [](const auto&, auto* response) {
    v1::TemplateSet* set = response->add_template_sets();
    set->set_name("openai-digits");
    set->add_templates("a {}.");
    set->add_templates("the {}.");
    return grpc::Status::OK;
  };
  server_.class_sets = [](const auto&, auto* response) {
    v1::ClassSet* set = response->add_class_sets();
    set->set_name("digits");
    set->set_num_classes(2000);
    set->set_template_set("openai-digits");
    return grpc::Status::OK;
  };
  server_.class_set = [](const auto& request, auto* response) {
    if (request.class_set() != "digits") {
      return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "unknown set");
    }
    // Two pages.
    const bool first = request.page_token().empty();
    response->add_class_names(first ? "zero" : "one");
    if (first) response->set_next_page_token("1");
    return grpc::Status::OK;
  };
  EXPECT_THAT(Run({"sets"}).out,
              AllOf(HasSubstr("digits"), HasSubstr("2,000  openai-digits\n"),
                    HasSubstr("TEMPLATE SET")));
  EXPECT_EQ(Run({"sets", "digits"}).out, "zero\none\n");
  EXPECT_EQ(Run({"sets", "openai-digits"}).out, "a {}.\nthe {}.\n");
  EXPECT_EQ(Run({"sets", "digits", "--json"}).out,
            "{\"name\":\"digits\",\"class_names\":[\"zero\",\"one\"]}\n");
  EXPECT_THAT(Run({"sets", "--json"}).out,
              AllOf(HasSubstr("{\"class_set\":\"digits\",\"num_classes\":2000,"
                              "\"template_set\":\"openai-digits\"}\n"),
                    HasSubstr("\"num_templates\":2}\n")));
  EXPECT_THAT(Run({"sets", "letters"}).err, HasSubstr("unknown set"));
  EXPECT_EQ(Run({"sets", "a", "b"}).exit_code, 2);
}

TEST_F(CliTest, ImportPrintsTheIdAloneOnStdout) {
  Shared<std::vector<v1::ImportWeightSetRequest>> shared;
  server_.import_set = [&](const auto& pieces, auto* response) {
    shared.Set(pieces);
    response->mutable_weight_set()->set_weight_set_id("imported-1");
    response->mutable_weight_set()->set_num_classes(2);
    response->add_warnings("look");
    return grpc::Status::OK;
  };
  const std::string file = File("set.npy", "bytes");
  const Result result = Run(
      {"import", file, "--classes=cat,dog", "--layout=columns", "--name=pets"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "imported-1\n");
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("warning: look"), HasSubstr("2 classes")));
  EXPECT_EQ(shared.Get()[1].data(), "bytes");
  const v1::ImportWeightSetHeader header = shared.Get()[0].header();
  EXPECT_EQ(header.class_names_size(), 2);
  EXPECT_EQ(header.layout(), v1::MATRIX_LAYOUT_CLASS_COLUMNS);
  EXPECT_EQ(header.display_name(), "pets");
  EXPECT_THAT(Run({"import", "-", "--json"}, {}, "bytes").out,
              StartsWith("{\"weight_set_id\":\"imported-1\""));
}

TEST_F(CliTest, HealthTellsByItsExitCode) {
  EXPECT_EQ(Run({"health"}).out, server_.target() + " is serving\n");
  server_.SetServing(false);
  EXPECT_EQ(Run({"health"}).exit_code, 1);
  EXPECT_THAT(Run({"health", "--json"}).out, HasSubstr("\"serving\":false"));
}

TEST_F(CliTest, HealthWaitsForAServerThatStarts) {
  server_.SetServing(false);
  std::thread starting([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
    server_.SetServing(true);
  });
  EXPECT_EQ(Run({"health", "--wait=20s"}).exit_code, 0);
  starting.join();
}

TEST_F(CliTest, AnUnreachableServerIsNamedWithAHint) {
  std::ostringstream out;
  std::ostringstream err;
  const int port = testing::FreePort();
  Console console;
  console.out = &out;
  console.err = &err;
  const std::string target = absl::StrCat("127.0.0.1:", port);
  EXPECT_EQ(client::Run({"--target", target, "health"}, console), 1);
  EXPECT_THAT(err.str(),
              AllOf(HasSubstr("UNAVAILABLE"), HasSubstr("ready at " + target)));
}

TEST_F(CliTest, AWrongCommandLineIsExplained) {
  const auto complaint = [&](std::vector<std::string> args) {
    const Result result = Run(std::move(args));
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_THAT(result.err, HasSubstr("--help"));
    return result.err;
  };
  EXPECT_THAT(complaint({}), HasSubstr("no command"));
  EXPECT_THAT(complaint({"clasify"}), HasSubstr("did you mean classify?"));
  EXPECT_THAT(complaint({"quux"}), Not(HasSubstr("did you mean")));
  EXPECT_THAT(complaint({"classify", "--topk=1"}),
              HasSubstr("did you mean --top_k?"));
  EXPECT_THAT(complaint({"classify", "--classes=cat"}),
              HasSubstr("no image; name files"));
  EXPECT_THAT(complaint({"classify", "a.png"}), HasSubstr("--weight_set=ID"));
  EXPECT_THAT(complaint({"classify", "--weight_set=a", "--classes=b", "c"}),
              HasSubstr("either"));
  EXPECT_THAT(complaint({"classify", "--weight_set=a", "-", "-"}),
              HasSubstr("twice"));
  EXPECT_THAT(complaint({"classify", "--weight_set=a", "--top_k=0", "c"}),
              HasSubstr("'0'; it should be a number from 1"));
  EXPECT_THAT(complaint({"build"}), HasSubstr("no classes"));
  EXPECT_THAT(complaint({"build", "--classes=a,,b"}), HasSubstr("empty name"));
  EXPECT_THAT(complaint({"build", "--classes=a", "--class_set=b"}),
              HasSubstr("only one"));
  EXPECT_THAT(complaint({"build", "--classes_file=/missing"}),
              HasSubstr("No such file"));
  EXPECT_THAT(complaint({"health", "--timeout=soon"}),
              HasSubstr("'soon'; it should be a time"));
  EXPECT_THAT(complaint({"health", "--json=1"}), HasSubstr("no value"));
  EXPECT_THAT(complaint({"embed"}), HasSubstr("nothing to embed"));
  EXPECT_THAT(complaint({"show"}), HasSubstr("one weight set"));
  EXPECT_THAT(complaint({"delete"}), HasSubstr("needs"));
  EXPECT_THAT(complaint({"export", "x"}), HasSubstr("id and a file"));
  EXPECT_THAT(complaint({"export", "x", "y.pt"}), HasSubstr("'y.pt'"));
  EXPECT_THAT(complaint({"import"}), HasSubstr("one file"));
  EXPECT_THAT(complaint({"import", "x.npy", "--layout=diagonal"}),
              HasSubstr("rows or columns"));
}

TEST_F(CliTest, HalfACertificateAndFilesThatCannotBeReadAreUsageErrors) {
  const auto error = [this](std::vector<std::string> args) {
    args.insert(args.begin(), "model");
    const Result result = Run(args);
    EXPECT_EQ(result.exit_code, kUsage);
    return result.err;
  };
  EXPECT_THAT(error({"--tls_cert=" + File("a.crt", "x")}),
              HasSubstr("--tls_cert and --tls_key go together"));
  EXPECT_THAT(error({"--tls_ca=/no/such/ca.crt"}),
              HasSubstr("--tls_ca=/no/such/ca.crt: cannot be read"));
  EXPECT_THAT(error({"--token_file", File("token", "")}),
              HasSubstr("cannot be read, or is empty"));
  EXPECT_THAT(error({"--token_file", File("token", "two words\n")}),
              HasSubstr("the token has characters"));
}

TEST_F(CliTest, FilesOfWordsMustBeText) {
  const auto error = [this](const std::string& flag, const std::string& bytes) {
    const Result result =
        Run({"build", "--classes=a", flag, File("words", bytes)});
    EXPECT_EQ(result.exit_code, 2);
    return result.err;
  };
  EXPECT_THAT(
      error("--templates_file", "a {}\nein sch\xf6nes {}\n"),
      AllOf(HasSubstr("--templates_file="), HasSubstr("words: line 2, "),
            HasSubstr("byte 8 of it is 0xf6")));
  // The line, however lines end.
  EXPECT_THAT(
      error("--templates_file", "a {}\rb {}\rsch\xf6n {}\r"),
      HasSubstr("words: line 3, 'sch\ufffdn {}', is not UTF-8: byte 4"));
  EXPECT_THAT(error("--templates_file", "a {}\r\n\r\nsch\xf6n {}\r\n"),
              HasSubstr("words: line 3, "));
  EXPECT_THAT(error("--templates_file", std::string("\xff\xfe\0\0a\0\0\0", 8)),
              HasSubstr("looks like UTF-32"));
  EXPECT_THAT(error("--templates_file", std::string("a\0\0b", 4)),
              HasSubstr("holds zero bytes and is no UTF-16"));
  // The second half of a character that takes two units.
  EXPECT_THAT(error("--templates_file", std::string("\xff\xfe"
                                                    "a\0\n\0\0\xdc",
                                                    8)),
              HasSubstr("line 2 holds half a character of UTF-16"));
  EXPECT_THAT(
      Run({"build", "--prompts_file", File("p", "{\"K\xe4se\": \"x\"}")}).err,
      HasSubstr("p: line 1, "));
  const Result latin1 = Run({"build", "--classes_file", File("c", "K\xe4se")});
  EXPECT_EQ(latin1.exit_code, 2);
  EXPECT_THAT(latin1.err, HasSubstr("c: line 1, 'K\ufffdse', is not UTF-8"));
  EXPECT_THAT(Run({"build", "--classes=K\xe4se"}).err,
              HasSubstr("classes[0].name is not UTF-8: byte 1 is 0xe4"));
}

// As UTF-16, in that order of bytes.
std::string Utf16(const std::u16string& text, bool big_endian) {
  std::string bytes;
  for (const char16_t unit : text) {
    const char low = static_cast<char>(unit & 0xff);
    const char high = static_cast<char>(unit >> 8);
    bytes += big_endian ? high : low;
    bytes += big_endian ? low : high;
  }
  return bytes;
}

TEST_F(CliTest, FilesOfWordsMayBeUtf16WithAMarkOrWithout) {
  const auto build = server_.build.Get();
  for (const bool big_endian : {false, true}) {
    for (const char16_t* mark : {u"", u"\ufeff"}) {
      const auto file = [&](const std::u16string& text) {
        return File("words", Utf16(mark + text, big_endian));
      };
      const Result classes =
          Run({"build", "--classes_file", file(u"cat\r\nK\u00e4se\r\n")});
      EXPECT_EQ(classes.out, "id-cat-K\u00e4se\n") << classes.err;
      // Beyond the first 65,536 characters, and none of ASCII but the line end.
      const Result others =
          Run({"build", "--classes_file", file(u"\u732b\n\U0001f438")});
      EXPECT_EQ(others.out, "id-\u732b-\U0001f438\n") << others.err;
      const Result prompts =
          Run({"build", "--prompts_file", file(u"{\"cat\": [\"a \u732b\"]}")});
      EXPECT_EQ(prompts.out, "id-cat\n") << prompts.err;
      Shared<v1::BuildClassifierRequest> shared;
      server_.build = [&](const auto& request, auto* response) {
        shared.Set(request);
        response->set_weight_set_id("x");
        return grpc::Status::OK;
      };
      const Result templates = Run({"build", "--classes=a", "--templates_file",
                                    file(u"ein sch\u00f6nes {}\r")});
      EXPECT_EQ(templates.exit_code, 0) << templates.err;
      EXPECT_EQ(shared.Get().templates(0), "ein sch\u00f6nes {}");
      server_.build = build;
    }
  }
}

TEST_F(CliTest, AByteOrderMarkIsNoPartOfTheFirstName) {
  const Result result = Run({"build", "--classes_file",
                             File("c",
                                  "\xef\xbb\xbf"
                                  "cat\r\ndog\r\n")});
  EXPECT_EQ(result.out, "id-cat-dog\n") << result.err;
}

TEST_F(CliTest, LinesMayEndAsOnOldMacs) {
  const Result result =
      Run({"build", "--classes_file", File("c", "cat\rdog\r")});
  EXPECT_EQ(result.out, "id-cat-dog\n") << result.err;
}

TEST_F(CliTest, BuildReadsPromptsPerClassInJson) {
  Shared<v1::BuildClassifierRequest> shared;
  server_.build = [&](const auto& request, auto* response) {
    shared.Set(request);
    response->set_weight_set_id("x");
    return grpc::Status::OK;
  };
  const Result result =
      Run({"build", "--prompts_file",
           File("p",
                "\xef\xbb\xbf{\n \"frog\": [\"a green animal\", \"it "
                "\\\"croaks\\\"\"],\r\n \"a caf\\u00e9 \\ud83d\\ude00\": \"one "
                "prompt\"}\n")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const v1::BuildClassifierRequest seen = shared.Get();
  ASSERT_EQ(seen.classes_size(), 2);
  EXPECT_EQ(seen.classes(0).name(), "frog");
  EXPECT_THAT(seen.classes(0).prompts(),
              ::testing::ElementsAre("a green animal", "it \"croaks\""));
  EXPECT_EQ(seen.classes(1).name(), "a caf\xc3\xa9 \xf0\x9f\x98\x80");
  EXPECT_THAT(seen.classes(1).prompts(), ::testing::ElementsAre("one prompt"));
}

TEST_F(CliTest, SaysInWhichLineAFileOfPromptsIsWrong) {
  for (const auto& [json, message] :
       {std::pair("[\"frog\"]", "line 1: expected { and prompts by class"),
        std::pair("{\n\"frog\": [\n1]}", "line 3: expected a prompt"),
        std::pair("{\"frog\": []}", "line 1: expected a prompt"),
        std::pair("{\"frog\": [\"a\"}", "line 1: expected , or ]"),
        std::pair("{\"frog\": [\"a\"]", "expected , or } after"),
        std::pair("{\"frog\": [\"a", "a text has no end"),
        std::pair("{\"frog\": [\"\\ud800\"]}", "half a character"),
        std::pair("{\"frog\": [\"\\q\"]}", "what JSON does not know"),
        std::pair("{}", "no class is there"),
        std::pair("{\"a\": \"b\"} more", "expected the end of the file")}) {
    const Result result = Run({"build", "--prompts_file", File("p", json)});
    EXPECT_EQ(result.exit_code, 2) << json;
    EXPECT_THAT(result.err,
                AllOf(HasSubstr("--prompts_file="), HasSubstr(message)));
  }
  EXPECT_THAT(Run({"build", "--prompts_file=x", "--templates={}"}).err,
              HasSubstr("--templates and --prompts_file are given"));
}

TEST_F(CliTest, BuildReadsAWholeRequestOrPromptsPerClassFromASpec) {
  Shared<v1::BuildClassifierRequest> shared;
  server_.build = [&](const auto& request, auto* response) {
    shared.Set(request);
    response->set_weight_set_id("x");
    return grpc::Status::OK;
  };
  const std::string spec = File("s", R"({
    "classes": [
      {"name": "car", "group": "vehicle", "minProbability": 0.6},
      {"name": "cat", "prompts": ["a cat, purring"]}
    ],
    "template_set": "openai-imagenet-7",
    "background": ["a texture"],
    "temperature": 1.5
  })");
  Result result = Run({"build", "--spec", spec});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  v1::BuildClassifierRequest seen = shared.Get();
  ASSERT_EQ(seen.classes_size(), 2);
  EXPECT_EQ(seen.classes(0).group(), "vehicle");
  EXPECT_FLOAT_EQ(seen.classes(0).min_probability(), 0.6f);
  EXPECT_FALSE(seen.classes(1).has_min_probability());
  EXPECT_THAT(seen.classes(1).prompts(),
              ::testing::ElementsAre("a cat, purring"));
  EXPECT_EQ(seen.template_set(), "openai-imagenet-7");
  EXPECT_THAT(seen.background(), ::testing::ElementsAre("a texture"));
  EXPECT_EQ(seen.temperature(), 1.5f);

  result =
      Run({"build", "--spec", spec, "--temperature=3", "--background=x, y"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  seen = shared.Get();
  EXPECT_EQ(seen.temperature(), 3);
  EXPECT_THAT(seen.background(), ::testing::ElementsAre("x", "y"));
  EXPECT_EQ(seen.classes(0).group(), "vehicle");

  // A class may be called as a field of the request.
  result =
      Run({"build", "--spec",
           File("c", R"({"background": ["a wall"], "classes": ["a room"]})")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  seen = shared.Get();
  ASSERT_EQ(seen.classes_size(), 2);
  EXPECT_EQ(seen.classes(0).name(), "background");
  EXPECT_THAT(seen.classes(1).prompts(), ::testing::ElementsAre("a room"));
}

TEST_F(CliTest, ASpecThatIsWrongNamesFileAndCause) {
  for (const auto& [json, message] :
       {std::pair(R"({"classes": [{"nam": "a"}]})", "nam"),
        std::pair(R"({"class_set": "x", "temprature": 1})", "temprature"),
        std::pair(R"({"classes": [{"name": "a"}], "temperature": "hot"})",
                  "temperature"),
        std::pair(R"({"frog": [1]})", "line 1: expected a prompt"),
        std::pair("[]", "line 1: expected { and prompts by class")}) {
    const Result result = Run({"build", "--spec", File("s", json)});
    EXPECT_EQ(result.exit_code, 2) << json;
    EXPECT_THAT(result.err, AllOf(HasSubstr("--spec="), HasSubstr(message)));
  }
  for (const auto& [flag, message] :
       {std::pair("--temperature=0", "a number over 0"),
        std::pair("--temperature=-1", "it should be a number from 0"),
        std::pair("--temperature=nan", "it should be a number from 0"),
        std::pair("--background=a,,b", "holds an empty name")}) {
    const Result result = Run({"build", "--classes=a,b", flag});
    EXPECT_EQ(result.exit_code, 2) << flag;
    EXPECT_THAT(result.err, HasSubstr(message));
  }
  EXPECT_THAT(Run({"build", "--spec=x", "--classes=a"}).err,
              HasSubstr("--classes and --spec are given"));
}

// What a classifier with background, thresholds and groups answers.
TEST_F(CliTest, ClassifyShowsWhatIsAcceptedOtherAndGroups) {
  Shared<v1::ClassifyRequest> shared;
  server_.get = [](const auto&, auto* response) {
    response->mutable_weight_set()->set_num_background(1);
    response->add_class_names("car");
    response->add_class_names("cat");
    return grpc::Status::OK;
  };
  server_.classify = [&](const auto& request, auto* response) {
    shared.Set(request);
    v1::Prediction* car = response->add_predictions();
    car->set_class_name("car");
    car->set_probability(0.5f);
    car->set_cosine(0.25f);
    car->set_accepted(true);
    v1::Prediction* cat = response->add_predictions();
    cat->set_class_index(1);
    cat->set_class_name("cat");
    cat->set_probability(0.125f);
    response->set_other_probability(0.375f);
    v1::GroupScore* group = response->add_groups();
    group->set_group("vehicle");
    group->set_probability(0.5f);
    return grpc::Status::OK;
  };
  const std::string image = File("a.jpg", "x");
  std::vector<std::string> args = {"classify", "--weight_set=w",
                                   "--min_probability=0.5",
                                   "--score_function=sigmoid", image};
  Result result = Run(args);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out,
            "a.jpg  car  50.0 %  cat (12.5 %)  none of these 37.5 %\n"
            "       groups  vehicle 50.0 %\n");
  EXPECT_EQ(shared.Get().min_probability(), 0.5f);
  EXPECT_EQ(shared.Get().score_function(), v1::SCORE_FUNCTION_SIGMOID);
  args.push_back("--json");
  EXPECT_THAT(Run(args).out,
              AllOf(HasSubstr("\"cosine\":0.25,\"accepted\":true}"),
                    HasSubstr("\"accepted\":false}],\"groups\":[{\"group\":"
                              "\"vehicle\",\"probability\":0.5}],"
                              "\"other_probability\":0.375,\"timing_ms\":")));
  for (const char* wrong :
       {"--min_probability=1.5", "--score_function=softmix"}) {
    EXPECT_EQ(Run({"classify", "--weight_set=w", wrong, image}).exit_code, 2);
  }
}

TEST_F(CliTest, ErrorsNameTheWholePath) {
  const std::string loop = folder_ / "loop";
  std::filesystem::create_symlink(loop, loop);
  const std::string pattern = folder_ / "*.jpg";
  const Result result = Run({"classify", "--classes=cat,dog", loop, pattern});
  EXPECT_THAT(
      result.err,
      AllOf(HasSubstr(loop + ": Too many levels of symbolic links "
                             "(INVALID_ARGUMENT)\n"),
            HasSubstr(pattern + ": No such file or directory "
                                "(NOT_FOUND); the shell found no file")));
}

TEST_F(CliTest, AFileThatLooksLikeAFlagIsRecognised) {
  const auto before = std::filesystem::current_path();
  File("--json.png", "cat");
  std::filesystem::current_path(folder_);
  const Result hint = Run({"classify", "--classes=cat,dog", "--json.png"});
  Console console;
  std::istringstream in;
  std::ostringstream out, err;
  console.in = &in;
  console.out = &out;
  console.err = &err;
  const int after_dashes = client::Run(
      {"classify", "--classes=cat,dog", "--top_k=1",
       absl::StrCat("--target=", server_.target()), "--", "--json.png"},
      console);
  std::filesystem::current_path(before);
  EXPECT_EQ(hint.exit_code, 2);
  EXPECT_THAT(hint.err, HasSubstr("--json.png; a file has that name: put --"));
  EXPECT_EQ(after_dashes, 0) << err.str();
  EXPECT_EQ(out.str(), "--json.png  cat  75.0 %\n");
}

// Sets a variable for as long as it lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    setenv(name, value.c_str(), 1);
  }
  ~Variable() { unsetenv(name_); }

 private:
  const char* const name_;
};

TEST_F(CliTest, AProxyIsNotAskedForThisMachineAndNamedForOthers) {
  for (const char* name : {"grpc_proxy", "https_proxy", "http_proxy"}) {
    const Variable proxy(name, "http://127.0.0.1:1");
    const Result here = Run({"health"});
    EXPECT_EQ(here.exit_code, 0) << here.err;
    // An address that nobody has.
    std::ostringstream out, err;
    Console console;
    console.out = &out;
    console.err = &err;
    EXPECT_EQ(
        client::Run({"model", "--target=192.0.2.1:9", "--timeout=2s"}, console),
        1);
    EXPECT_THAT(err.str(), HasSubstr(absl::StrCat("through the proxy of ", name,
                                                  "; no_proxy=")));
  }
}

TEST_F(CliTest, SharedFlagsComeFromTheEnvironment) {
  const auto run = [](std::vector<std::string> args) {
    std::ostringstream out, err;
    Console console;
    console.out = &out;
    console.err = &err;
    const int code = client::Run(args, console);
    return Result{code, out.str(), err.str()};
  };
  const Variable target("ZEROSHOT_TARGET", server_.target());
  EXPECT_EQ(run({"health"}).out, server_.target() + " is serving\n");
  EXPECT_EQ(run({"health", "--target=127.0.0.1:1"}).exit_code, 1);
  const Variable empty("ZEROSHOT_TLS_CA", "");
  EXPECT_EQ(run({"health"}).exit_code, 0);
  {
    const Variable json("ZEROSHOT_JSON", "true");
    EXPECT_THAT(run({"health"}).out, StartsWith("{\"target\""));
  }
  {
    const Variable json("ZEROSHOT_JSON", "perhaps");
    EXPECT_THAT(run({"health"}).err,
                HasSubstr("ZEROSHOT_JSON is 'perhaps'; it should be 1, true"));
  }
  {
    const Variable timeout("ZEROSHOT_TIMEOUT", "soon");
    EXPECT_EQ(run({"health"}).exit_code, 2);
  }
  const Variable file("ZEROSHOT_TOKEN_FILE", "/no/such/token");
  EXPECT_THAT(run({"health"}).err, HasSubstr("/no/such/token"));
}

TEST_F(CliTest, SaysItsVersion) {
  EXPECT_THAT(Run({"--version"}).out,
              ::testing::MatchesRegex("zeroshot_client [0-9.]+\n"));
}

TEST_F(CliTest, HelpTeachesEveryCommand) {
  EXPECT_EQ(Run({"-h"}).out, Run({"--help"}).out);
  EXPECT_EQ(Run({"help"}).out, Run({"--help"}).out);
  EXPECT_THAT(Run({"--help"}).out,
              AllOf(HasSubstr("dns:///"), HasSubstr("ipv4:A:PORT,B:PORT"),
                    HasSubstr("ZEROSHOT_TARGET")));
  EXPECT_THAT(Run({"help", "clasify"}).err, HasSubstr("did you mean classify"));
  const Result help = Run({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* command :
       {"build", "classify", "embed", "model", "sets", "list", "show", "delete",
        "export", "import", "health", "bench"}) {
    EXPECT_THAT(help.out, HasSubstr(absl::StrCat("\n  ", command, " ")));
    const Result own = Run({command, "--help"});
    EXPECT_EQ(Run({"help", command}).out, own.out);
    EXPECT_EQ(Run({command, "-h"}).out, own.out);
    // A sentence before the examples.
    EXPECT_THAT(own.out,
                ::testing::ContainsRegex("FLAG=VALUE[^\n]*\n\n[A-Z][a-z]+ "));
    EXPECT_EQ(own.exit_code, 0);
    EXPECT_THAT(own.out,
                StartsWith(absl::StrCat("Usage: zeroshot_client ", command)));
    EXPECT_THAT(own.out, HasSubstr("--target=HOST:PORT"));
  }
}

TEST_F(CliTest, TimeoutLimitsEachCall) {
  server_.get_model = [](const auto&, auto*) {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    return grpc::Status::OK;
  };
  const Result result = Run({"model", "--timeout=50ms"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("DEADLINE_EXCEEDED"));
}

}  // namespace
}  // namespace zeroshot::client
