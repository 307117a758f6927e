// Calls in a loop from many threads, and how they went.
#ifndef ZEROSHOT_TESTS_E2E_LOAD_H_
#define ZEROSHOT_TESTS_E2E_LOAD_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/e2e/programs.h"
#include "tests/testing/certificates.h"
#include "zeroshot/v1/zeroshot.grpc.pb.h"

namespace e2e {

// What came of the calls of one kind.
struct Outcome {
  std::vector<absl::Duration> ok, refused;
  std::vector<grpc::Status> failed;

  void Add(const grpc::Status& status, absl::Duration took) {
    if (status.ok()) {
      ok.push_back(took);
    } else if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) {
      refused.push_back(took);
    } else {
      failed.push_back(status);
    }
  }

  void Add(const Outcome& other) {
    ok.insert(ok.end(), other.ok.begin(), other.ok.end());
    refused.insert(refused.end(), other.refused.begin(), other.refused.end());
    failed.insert(failed.end(), other.failed.begin(), other.failed.end());
  }
};

// The p-th part of the times, p from 0 to 1; zero if there are none.
inline absl::Duration Quantile(std::vector<absl::Duration> times, double p) {
  if (times.empty()) return absl::ZeroDuration();
  std::sort(times.begin(), times.end());
  return times[static_cast<size_t>(p * static_cast<double>(times.size() - 1))];
}

// A connection to a server and an image for it.
// Thread rule: every method may be called from many threads at once.
class Caller {
 public:
  explicit Caller(const std::string& address)
      : stub_(zeroshot::v1::ZeroShot::NewStub(
            grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))) {
    request_.set_image(testing_certificates::ReadFile(
        absl::StrCat(kModel, "/images/frog.png")));
    request_.set_top_k(1);
  }

  // Builds what Classify will use.
  grpc::Status Build() {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    // A channel of this process may still back off from a server before this.
    context.set_wait_for_ready(true);
    zeroshot::v1::BuildClassifierRequest request;
    for (const char* name : {"frog", "apple", "car"}) {
      request.add_classes()->set_name(name);
    }
    zeroshot::v1::BuildClassifierResponse response;
    const grpc::Status status =
        stub_->BuildClassifier(&context, request, &response);
    request_.set_weight_set_id(response.weight_set_id());
    return status;
  }

  const std::string& weight_set_id() const { return request_.weight_set_id(); }

  grpc::Status Classify(absl::Duration timeout = absl::Seconds(30)) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    zeroshot::v1::ClassifyResponse response;
    return stub_->Classify(&context, request_, &response);
  }

  // `threads` call Classify for `duration`, each again as soon as it has its
  // answer; after a refusal it waits for `pause`.
  Outcome Load(int threads, absl::Duration duration,
               absl::Duration pause = absl::ZeroDuration()) {
    std::vector<Outcome> outcomes(threads);
    std::vector<std::thread> running;
    const absl::Time end = absl::Now() + duration;
    for (Outcome& outcome : outcomes) {
      running.emplace_back([this, end, pause, &outcome] {
        while (absl::Now() < end) {
          const absl::Time start = absl::Now();
          const grpc::Status status = Classify();
          outcome.Add(status, absl::Now() - start);
          if (!status.ok()) absl::SleepFor(pause);
        }
      });
    }
    for (std::thread& thread : running) thread.join();
    Outcome all;
    for (const Outcome& outcome : outcomes) all.Add(outcome);
    return all;
  }

 private:
  // A connection of its own.
  static grpc::ChannelArguments Unshared() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return arguments;
  }

  const std::unique_ptr<zeroshot::v1::ZeroShot::Stub> stub_;
  zeroshot::v1::ClassifyRequest request_;
};

}  // namespace e2e

#endif  // ZEROSHOT_TESTS_E2E_LOAD_H_
