// Spans as a collector gets them: a real OTLP receiver over gRPC in this
// process, and a server that sends to it.
#include "server/tracing.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/monotonic.h"
#include "base/mutex.h"
#include "server/log.h"
#include "tests/server/running_server.h"
#include "tests/testing/make_png.h"

namespace zeroshot::server {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;
using testing_images::MakePng;

constexpr char kTrace[] = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr char kParent[] = "00f067aa0ba902b7";

std::string Traceparent(const char* flags) {
  return absl::StrCat("00-", kTrace, "-", kParent, "-", flags);
}

struct Span {
  std::string name, kind, trace, id, parent, status;
  int64_t start = 0, end = 0;
  std::map<std::string, std::string> attributes;
};

// Takes what OTLP's TraceService/Export brings. The messages are known by the
// descriptors in OpenTelemetry's own library.
class Collector : public grpc::CallbackGenericService {
 public:
  Collector() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
  }
  ~Collector() override { server_->Shutdown(); }

  std::string endpoint() const {
    return absl::StrCat("http://127.0.0.1:", port_);
  }

  // Those received so far.
  std::vector<Span> spans() {
    base::MutexLock lock(&mu_);
    return spans_;
  }

  // What all spans and their resource say, as JSON.
  std::string words() {
    base::MutexLock lock(&mu_);
    return words_;
  }

 private:
  class Export : public grpc::ServerGenericBidiReactor {
   public:
    explicit Export(Collector* collector) : collector_(collector) {
      StartRead(&request_);
    }
    void OnReadDone(bool ok) override {
      if (ok) collector_->Take(request_);
      const grpc::Slice empty;
      answer_ = grpc::ByteBuffer(&empty, 1);
      StartWriteAndFinish(&answer_, {}, grpc::Status::OK);
    }
    void OnDone() override { delete this; }

   private:
    Collector* const collector_;
    grpc::ByteBuffer request_, answer_;
  };

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    EXPECT_EQ(context->method(),
              "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    return new Export(this);
  }

  void Take(const grpc::ByteBuffer& bytes) {
    grpc::Slice slice;
    ASSERT_TRUE(bytes.DumpToSingleSlice(&slice).ok());
    const auto* const type = google::protobuf::DescriptorPool::generated_pool()
                                 ->FindMessageTypeByName(
                                     "opentelemetry.proto.collector.trace.v1."
                                     "ExportTraceServiceRequest");
    ASSERT_NE(type, nullptr);
    const std::unique_ptr<google::protobuf::Message> message(
        google::protobuf::MessageFactory::generated_factory()
            ->GetPrototype(type)
            ->New());
    ASSERT_TRUE(
        message->ParseFromArray(slice.begin(), static_cast<int>(slice.size())));
    std::string text;
    ASSERT_TRUE(
        google::protobuf::util::MessageToJsonString(*message, &text).ok());
    base::MutexLock lock(&mu_);
    words_ += text;
    const nlohmann::json all = nlohmann::json::parse(text);
    for (const auto& of_resource : all["resourceSpans"]) {
      for (const auto& of_scope : of_resource["scopeSpans"]) {
        for (const auto& span : of_scope["spans"]) {
          spans_.push_back(SpanOf(span));
        }
      }
    }
  }

  static std::string Hex(const nlohmann::json& span, const char* name) {
    std::string bytes;
    if (span.contains(name)) {
      absl::Base64Unescape(span[name].get<std::string>(), &bytes);
    }
    return absl::BytesToHexString(bytes);
  }

  static Span SpanOf(const nlohmann::json& json) {
    Span span{json["name"],
              json.value("kind", ""),
              Hex(json, "traceId"),
              Hex(json, "spanId"),
              Hex(json, "parentSpanId"),
              json.contains("status") ? json["status"].dump() : "",
              std::stoll(json["startTimeUnixNano"].get<std::string>()),
              std::stoll(json["endTimeUnixNano"].get<std::string>()),
              {}};
    if (!json.contains("attributes")) return span;
    for (const auto& attribute : json["attributes"]) {
      const auto& value = attribute["value"];
      span.attributes[attribute["key"]] = value.contains("stringValue")
                                              ? value["stringValue"]
                                              : value["intValue"];
    }
    return span;
  }

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  base::Mutex mu_;
  std::vector<Span> spans_ ABSL_GUARDED_BY(mu_);
  std::string words_ ABSL_GUARDED_BY(mu_);
};

ServerOptions Traced(const std::string& endpoint, double ratio = 1) {
  ServerOptions options;
  options.tracing = {endpoint, ratio};
  return options;
}

v1::ClassifyRequest Request(const std::string& image, const std::string& id) {
  v1::ClassifyRequest request;
  request.set_image(image);
  request.set_weight_set_id(id);
  return request;
}

// One Classify call, from within the trace if there is a traceparent.
grpc::Status Classify(RunningServer* running, const std::string& id,
                      const std::string& traceparent = "",
                      const std::string& image = MakePng(1)) {
  Context context;
  context.AddMetadata("x-request-id", "order-7");
  if (!traceparent.empty()) context.AddMetadata("traceparent", traceparent);
  v1::ClassifyResponse response;
  return running->stub().Classify(&context, Request(image, id), &response);
}

std::vector<Span> Named(const std::vector<Span>& spans,
                        const std::string& name) {
  std::vector<Span> found;
  for (const Span& span : spans) {
    if (span.name == name) found.push_back(span);
  }
  return found;
}

// The only one of that name.
Span TheOne(const std::vector<Span>& spans, const std::string& name) {
  const std::vector<Span> found = Named(spans, name);
  EXPECT_THAT(found, SizeIs(1)) << name;
  return found.empty() ? Span() : found.front();
}

constexpr char kClassify[] = "zeroshot.v1.ZeroShot/Classify";
constexpr char kBuild[] = "zeroshot.v1.ZeroShot/BuildClassifier";

// Ends the server, which hands on what is left.
std::vector<Span> SpansOf(Collector* collector,
                          std::unique_ptr<RunningServer> running) {
  running.reset();
  return collector->spans();
}

TEST(TracingTest, ACallIsASpanBelowItsCallersWithItsStepsBelowIt) {
  Collector collector;
  auto running = std::make_unique<RunningServer>(Traced(collector.endpoint()));
  const std::string id = running->Build(BuildRequest({"cat", "dog"}));
  ASSERT_TRUE(Classify(running.get(), id, Traceparent("01")).ok());
  const auto spans = SpansOf(&collector, std::move(running));

  const Span call = TheOne(spans, kClassify);
  EXPECT_EQ(call.kind, "SPAN_KIND_SERVER");
  EXPECT_EQ(call.trace, kTrace);
  EXPECT_EQ(call.parent, kParent);
  EXPECT_THAT(call.attributes,
              ElementsAre(Pair("rpc.grpc.status_code", "0"),
                          Pair("rpc.method", "Classify"),
                          Pair("rpc.service", "zeroshot.v1.ZeroShot"),
                          Pair("rpc.system", "grpc"),
                          Pair("zeroshot.request_id", "order-7")));
  for (const char* name :
       {"find_weight_sets", "decode", "queue", "batch", "score"}) {
    const Span step = TheOne(spans, name);
    EXPECT_EQ(step.trace, kTrace) << name;
    EXPECT_EQ(step.parent, call.id) << name;
    EXPECT_LE(call.start, step.start) << name;
    EXPECT_LE(step.start, step.end) << name;
    EXPECT_LE(step.end, call.end) << name;
  }
  EXPECT_THAT(TheOne(spans, "batch").attributes,
              ElementsAre(Pair("zeroshot.batch_images", "1"),
                          Pair("zeroshot.images", "1")));
  EXPECT_LE(TheOne(spans, "decode").end, TheOne(spans, "queue").start);
  EXPECT_EQ(TheOne(spans, "queue").end, TheOne(spans, "batch").start);
  EXPECT_LE(TheOne(spans, "batch").end, TheOne(spans, "score").start);
}

TEST(TracingTest, ABuildHasItsSteps) {
  Collector collector;
  auto running = std::make_unique<RunningServer>(Traced(collector.endpoint()));
  running->Build(BuildRequest({"cat", "dog"}, {"a {}", "the {}"}));
  const auto spans = SpansOf(&collector, std::move(running));
  const Span call = TheOne(spans, kBuild);
  const Span build = TheOne(spans, "build");
  EXPECT_EQ(call.parent, "");  // a trace of its own
  EXPECT_EQ(build.parent, call.id);
  EXPECT_THAT(build.attributes, ElementsAre(Pair("zeroshot.prompts", "4")));
  for (const char* name : {"tokenize", "encode", "finish"}) {
    EXPECT_EQ(TheOne(spans, name).parent, build.id) << name;
    EXPECT_EQ(TheOne(spans, name).trace, call.trace) << name;
  }
  EXPECT_THAT(TheOne(spans, "encode").attributes,
              AllOf(Contains(Pair("zeroshot.prompts", "4")),
                    Contains(Key("zeroshot.tokens"))));
}

TEST(TracingTest, CallersDecideAndElseTheRatioDoes) {
  Collector collector;
  auto running =
      std::make_unique<RunningServer>(Traced(collector.endpoint(), 0));
  const std::string id = running->Build(BuildRequest({"cat", "dog"}));
  EXPECT_TRUE(Classify(running.get(), id).ok());
  EXPECT_TRUE(Classify(running.get(), id, Traceparent("00")).ok());
  EXPECT_TRUE(Classify(running.get(), id, Traceparent("01")).ok());
  const auto spans = SpansOf(&collector, std::move(running));
  EXPECT_EQ(TheOne(spans, kClassify).parent, kParent);
  EXPECT_THAT(Named(spans, kBuild), IsEmpty());

  auto always = std::make_unique<RunningServer>(Traced(collector.endpoint()));
  always->Build(BuildRequest({"cat"}));
  EXPECT_FALSE(Classify(always.get(), id, Traceparent("00")).ok());
  EXPECT_THAT(Named(SpansOf(&collector, std::move(always)), kClassify),
              SizeIs(1));  // that from before
}

TEST(TracingTest, FailuresTellTheirCodeAndNoWords) {
  Collector collector;
  auto running = std::make_unique<RunningServer>(Traced(collector.endpoint()));
  const std::string id = running->Build(BuildRequest({"secret walrus"}));
  EXPECT_EQ(
      Classify(running.get(), id, Traceparent("01"), "no image").error_code(),
      grpc::StatusCode::INVALID_ARGUMENT);
  const auto spans = SpansOf(&collector, std::move(running));
  const Span call = TheOne(spans, kClassify);
  EXPECT_THAT(call.attributes, Contains(Pair("rpc.grpc.status_code", "3")));
  EXPECT_THAT(call.status, Not(HasSubstr("ERROR")));  // the caller's own
  EXPECT_THAT(collector.words(),
              AllOf(HasSubstr("zeroshot"), Not(HasSubstr("walrus")),
                    Not(HasSubstr("no image")), Not(HasSubstr("ipv4"))));
}

TEST(TracingTest, TheServersOwnFailuresAreErrors) {
  Collector collector;
  auto running =
      std::make_unique<RunningServer>(Traced(collector.endpoint()), false);
  EXPECT_EQ(Classify(running.get(), "id", Traceparent("01")).error_code(),
            grpc::StatusCode::UNAVAILABLE);  // it loads
  EXPECT_THAT(TheOne(SpansOf(&collector, std::move(running)), kClassify).status,
              HasSubstr("ERROR"));
}

TEST(TracingTest, TheLogHasTheSpansIds) {
  Collector collector;
  ::testing::internal::CaptureStderr();
  StartLog(LogFormat::kText, LogLevel::kInfo);
  auto running = std::make_unique<RunningServer>(Traced(collector.endpoint()));
  running->Build(BuildRequest({"cat"}));
  const Span call = TheOne(SpansOf(&collector, std::move(running)), kBuild);
  FlushLog();
  EXPECT_THAT(
      ::testing::internal::GetCapturedStderr(),
      HasSubstr(absl::StrCat(" trace=", call.trace, " span=", call.id)));
}

// Calls do not wait, the server ends, and the log says little.
TEST(TracingTest, ACollectorThatIsAwayCostsSpansOnly) {
  // One that refuses connections, and one that takes them and is silent.
  const int silent = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(
      bind(silent, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  socklen_t size = sizeof(address);
  getsockname(silent, reinterpret_cast<sockaddr*>(&address), &size);
  const std::string endpoint =
      absl::StrCat("http://127.0.0.1:", ntohs(address.sin_port));
  for (const bool listens : {false, true}) {
    if (listens) {
      ASSERT_EQ(listen(silent, 8), 0);
    }
    ::testing::internal::CaptureStderr();
    StartLog(LogFormat::kText, LogLevel::kWarn);
    {
      RunningServer running(Traced(endpoint));
      const std::string id = running.Build(BuildRequest({"cat", "dog"}));
      // More spans than wait at most.
      for (int i = 0; i < 500; ++i) {
        ASSERT_TRUE(Classify(&running, id).ok());
      }
    }
    FlushLog();
    const std::string log = ::testing::internal::GetCapturedStderr();
    int lines = 0;
    for (absl::string_view line : absl::StrSplit(log, '\n')) {
      lines += absl::StrContains(line, "tracing: ") ? 1 : 0;
    }
    EXPECT_GE(lines, 1) << log;
    // One in 30 s, and the test may take some minutes on a busy machine.
    EXPECT_LE(lines, 20) << log;
  }
  close(silent);
}

}  // namespace
}  // namespace zeroshot::server
