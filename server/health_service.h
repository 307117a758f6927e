// grpc.health.v1.Health, which needs no token: gRPC's own reads and parses
// requests of any size, from anybody, and lets one connection watch as often
// as it likes.
#ifndef ZEROSHOT_SERVER_HEALTH_SERVICE_H_
#define ZEROSHOT_SERVER_HEALTH_SERVICE_H_

#include <grpcpp/impl/service_type.h>

#include <map>
#include <set>
#include <string>

#include "base/mutex.h"

namespace zeroshot::server {

// Says of "" and of "zeroshot.v1.ZeroShot" whether calls should be sent here.
// No call holds a thread.
//
// Thread rule: every method may be called from many threads at once. Must
// outlive the gRPC server that it is registered with.
class HealthService final : public grpc::Service {
 public:
  // Calls inside, of one connection and of all; one more is ResourceExhausted.
  static constexpr int kMaxCallsOfOne = 8;
  static constexpr int kMaxCalls = 8'192;

  // Requests that are read at once: a stranger's may be large, or never end.
  // Meanwhile other calls get what holds for both names, whatever they ask for.
  static constexpr int kMaxReads = 2;

  HealthService();
  ~HealthService() override;

  // Reported to all watches.
  void Set(bool serving);

 private:
  class Call;

  // False: there are too many.
  bool Enter(const std::string& peer);
  void Leave(Call* call, const std::string& peer);
  // False: there are too many.
  bool BeginRead();
  void EndRead();
  bool serving();
  // Reports to `call`, now and when it changes.
  void Watch(Call* call);

  base::Mutex mu_;
  bool serving_ ABSL_GUARDED_BY(mu_) = false;
  int calls_ ABSL_GUARDED_BY(mu_) = 0;
  int reads_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, int> calls_of_ ABSL_GUARDED_BY(mu_);  // by peer
  std::set<Call*> watches_ ABSL_GUARDED_BY(mu_);
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_HEALTH_SERVICE_H_
