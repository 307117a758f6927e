#include "tests/e2e/abuse.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "tests/testing/certificates.h"

namespace e2e {
namespace {

namespace v1 = zeroshot::v1;

// printf %s TOKEN | sha256sum.
constexpr char kTokens[] = R"(
shop classify 88cc4600551e64b7cb97dd7f63ebad405255e5d17bdd71ee9fe1ed5cc20d0b3b
trainer classify,build,delete 7913868486a8f53bb47d4c0557d26493dc77536998063d945da4705649deabfc
)";

constexpr int kLeastCalls = 50;

// kB of a line such as "VmHWM:   1234 kB".
int64_t StatusBytes(pid_t pid, absl::string_view name) {
  std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
  for (std::string line; std::getline(status, line);) {
    if (!absl::StartsWith(line, absl::StrCat(name, ":"))) continue;
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    int64_t kilobytes = 0;
    EXPECT_TRUE(absl::SimpleAtoi(words.at(1), &kilobytes)) << line;
    return kilobytes * 1024;
  }
  ADD_FAILURE() << "no " << name << " of process " << pid << ": it has ended";
  return 0;
}

}  // namespace

int64_t PeakBytes(pid_t pid) { return StatusBytes(pid, "VmHWM"); }

void ResetPeak(pid_t pid) {
  std::ofstream refs(absl::StrCat("/proc/", pid, "/clear_refs"));
  refs << "5" << std::flush;
  EXPECT_TRUE(refs.good()) << "clear_refs of " << pid;
}

absl::Duration CpuTime(pid_t pid) {
  std::ifstream stat(absl::StrCat("/proc/", pid, "/stat"));
  std::string line;
  std::getline(stat, line);
  // The program's name, in brackets, may hold spaces.
  const std::vector<std::string> fields = absl::StrSplit(
      line.substr(std::min(line.size(), line.rfind(')') + 2)), ' ');
  int64_t user = 0, system = 0;
  if (fields.size() < 13 || !absl::SimpleAtoi(fields[11], &user) ||
      !absl::SimpleAtoi(fields[12], &system)) {
    ADD_FAILURE() << "no CPU time of process " << pid << ": it has ended";
  }
  return absl::Seconds(1) * (user + system) / sysconf(_SC_CLK_TCK);
}

std::unique_ptr<grpc::ClientContext> ContextWith(const std::string& token,
                                                 absl::Duration timeout) {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  if (!token.empty()) {
    context->AddMetadata("authorization", absl::StrCat("Bearer ", token));
  }
  return context;
}

AbusedServer::AbusedServer(const std::vector<std::string>& flags,
                           bool with_tokens, bool with_tls)
    : folder_(testing_certificates::NewFolder()),
      credentials_(grpc::InsecureChannelCredentials()) {
  std::vector<std::string> all = flags;
  if (with_tokens) {
    std::ofstream(folder_ + "/tokens") << kTokens;
    all.push_back(absl::StrCat("--auth_tokens=", folder_, "/tokens"));
  }
  if (with_tls) {
    const testing_certificates::Authority authority(folder_);
    authority.Sign("server");
    all.push_back(absl::StrCat("--tls_cert=", authority.CertFile("server")));
    all.push_back(absl::StrCat("--tls_key=", authority.KeyFile("server")));
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = testing_certificates::ReadFile(authority.CaFile());
    credentials_ = grpc::SslCredentials(options);
  }
  server_ = std::make_unique<DemoServer>(all);
  image_ =
      testing_certificates::ReadFile(absl::StrCat(kModel, "/images/frog.png"));
  if (address().empty()) {
    ADD_FAILURE() << process().Errors();
    return;
  }
  const auto stub = v1::ZeroShot::NewStub(Connect());
  v1::BuildClassifierRequest request;
  for (const char* name : {"frog", "apple", "car"}) {
    request.add_classes()->set_name(name);
  }
  v1::BuildClassifierResponse response;
  const grpc::Status built = stub->BuildClassifier(
      ContextWith(kTrainerToken).get(), request, &response);
  EXPECT_TRUE(built.ok()) << built.error_message();
  id_ = response.weight_set_id();
}

std::shared_ptr<grpc::Channel> AbusedServer::Connect() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(server_->address(), credentials_, arguments);
}

grpc::Status AbusedServer::Classify(v1::ZeroShot::Stub& stub) const {
  v1::ClassifyRequest request;
  request.set_image(image_);
  request.set_weight_set_id(id_);
  v1::ClassifyResponse response;
  return stub.Classify(ContextWith(kShopToken).get(), request, &response);
}

Outcome AbusedServer::Classifying(const std::function<bool()>& done) const {
  const auto stub = v1::ZeroShot::NewStub(Connect());
  Outcome outcome;
  for (int calls = 0; calls < kLeastCalls || !done(); ++calls) {
    const absl::Time start = absl::Now();
    const grpc::Status status = Classify(*stub);
    outcome.Add(status, absl::Now() - start);
    if (!status.ok()) absl::SleepFor(absl::Milliseconds(10));
  }
  return outcome;
}

absl::Duration AbusedServer::CpuOf(const std::function<void()>& attack) {
  const absl::Duration before = CpuTime(process().pid());
  attack();
  return CpuTime(process().pid()) - before;
}

Cost AbusedServer::Under(const std::function<void()>& attack) {
  const pid_t pid = process().pid();
  const auto at_once = [] { return true; };
  // Twice: buffers and caches fill in the first round.
  Classifying(at_once);
  Outcome quiet = Classifying(at_once);

  Cost cost;
  ResetPeak(pid);
  const int64_t idle = PeakBytes(pid);
  std::atomic<bool> done{false};
  std::thread neighbour(
      [&] { cost.neighbour = Classifying([&done] { return done.load(); }); });
  attack();
  done = true;
  neighbour.join();
  cost.memory = PeakBytes(pid) - idle;
  // The machine may be another one now.
  quiet.Add(Classifying(at_once));
  cost.quiet = Quantile(quiet.ok, 0.99);
  std::printf("%.1f MiB; %d calls beside it, p99 %s (quiet %s)\n",
              static_cast<double>(cost.memory) / kMiB,
              static_cast<int>(cost.neighbour.ok.size()),
              absl::FormatDuration(Quantile(cost.neighbour.ok, 0.99)).c_str(),
              absl::FormatDuration(cost.quiet).c_str());
  return cost;
}

void AbusedServer::ExpectUndisturbed(const Cost& cost,
                                     absl::Duration patience) {
  EXPECT_EQ(cost.neighbour.refused.size(), 0);
  for (const grpc::Status& status : cost.neighbour.failed) {
    ADD_FAILURE() << "the neighbour's call: " << status.error_code() << " "
                  << status.error_message();
  }
  EXPECT_LE(Quantile(cost.neighbour.ok, 0.99),
            std::max(2 * cost.quiet, patience));
}

}  // namespace e2e
