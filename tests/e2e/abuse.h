// The real server under attack: what an attack costs it, and how a caller with
// a token fares meanwhile. Attacks stand in abuse_*_test.cc, by what they hit.
#ifndef ZEROSHOT_TESTS_E2E_ABUSE_H_
#define ZEROSHOT_TESTS_E2E_ABUSE_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tests/e2e/load.h"
#include "tests/e2e/programs.h"
#include "zeroshot/v1/zeroshot.grpc.pb.h"

namespace e2e {

// May do everything, and may only classify.
inline constexpr char kTrainerToken[] = "trainer-token";
inline constexpr char kShopToken[] = "shop-token";

constexpr int64_t kMiB = int64_t{1} << 20;

// A context with a deadline and, unless it is empty, a token.
std::unique_ptr<grpc::ClientContext> ContextWith(
    const std::string& token, absl::Duration timeout = absl::Seconds(60));

// What an attack cost.
struct Cost {
  int64_t memory = 0;    // bytes: the peak above what was there before
  Outcome neighbour;     // calls of the caller with a token meanwhile
  absl::Duration quiet;  // p99 of such calls while nothing else went on
};

// zeroshot_server with the demo model, tokens and default flags.
// Thread rule: one thread, but stubs and channels are for any.
class AbusedServer {
 public:
  // `flags`: more of them; `with_tokens`: --auth_tokens is one; `with_tls`: it
  // speaks TLS.
  explicit AbusedServer(const std::vector<std::string>& flags = {},
                        bool with_tokens = true, bool with_tls = false);

  // False: it did not start (and the test has failed).
  bool ok() const { return !id_.empty(); }
  const std::string& address() const { return server_->address(); }
  int port() const { return PortOf(server_->address()); }
  Process& process() { return server_->process(); }
  const std::string& weight_set_id() const { return id_; }
  const std::string& image() const { return image_; }

  // A connection of its own.
  std::shared_ptr<grpc::Channel> Connect() const;

  // The server's processor time while `attack` runs and nothing else: what the
  // neighbour's own calls take differs from call to call.
  absl::Duration CpuOf(const std::function<void()>& attack);

  // Runs `attack` while a caller with a token classifies again and again.
  Cost Under(const std::function<void()>& attack);

  // That the neighbour was answered each time, nearly as fast as before: within
  // twice the time, or `patience`: two callers are not served side by side by
  // two busy cores, and what is shorter is not to be told from that.
  static void ExpectUndisturbed(
      const Cost& cost, absl::Duration patience = absl::Milliseconds(500));

 private:
  grpc::Status Classify(zeroshot::v1::ZeroShot::Stub& stub) const;
  // Classify again and again until `done`, and 50 times at least.
  Outcome Classifying(const std::function<bool()>& done) const;

  std::string folder_;
  std::shared_ptr<grpc::ChannelCredentials> credentials_;
  std::unique_ptr<DemoServer> server_;
  std::string image_;
  std::string id_;
};

// Memory and time of a process.
int64_t PeakBytes(pid_t pid);  // since ResetPeak
void ResetPeak(pid_t pid);
absl::Duration CpuTime(pid_t pid);

}  // namespace e2e

#endif  // ZEROSHOT_TESTS_E2E_ABUSE_H_
