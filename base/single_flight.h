// One piece of work for all callers that want the same thing at the same time,
// by its key. The first caller leads: the work is done on its thread. Callers
// that come meanwhile wait for its result.
#ifndef ZEROSHOT_BASE_SINGLE_FLIGHT_H_
#define ZEROSHOT_BASE_SINGLE_FLIGHT_H_

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/monotonic.h"
#include "base/mutex.h"
#include "base/no_throw.h"

namespace base {

// Thread rule: every method may be called from many threads at once.
template <typename T>
class SingleFlight {
 public:
  // The leader's view of its own.
  class Flight {
   public:
    Flight(SingleFlight* all, const std::string& key) : all_(*all), key_(key) {}

    // For a leader whose own caller has gone. True: nobody else waits, so the
    // work may stop; whoever asks from now on leads another flight.
    bool Abandon() {
      MutexLock lock(&all_.mu_);
      if (waiting_ > 0) return false;
      all_.Forget(*this);
      return true;
    }

   private:
    friend class SingleFlight;

    SingleFlight& all_;
    const std::string key_;
    // Guarded by all_.mu_.
    int waiting_ = 0;  // callers besides the leader
    std::optional<absl::StatusOr<T>> result_;
    CondVar landed_;
  };

  // Leads the flight of `key` or joins it. `still_waiting` is asked of those
  // who joined every 50 ms, on their own threads; an error ends their wait with
  // it. What `lead` throws is an error of `what`, such as "this build".
  // `joined` (may be null) is set before anything else.
  absl::StatusOr<T> Run(const std::string& key, absl::string_view what,
                        absl::FunctionRef<absl::StatusOr<T>(Flight&)> lead,
                        absl::FunctionRef<absl::Status()> still_waiting,
                        bool* joined = nullptr) {
    std::shared_ptr<Flight> flight;
    bool is_leader = false;
    {
      MutexLock lock(&mu_);
      std::shared_ptr<Flight>& under_way = flights_[key];
      is_leader = under_way == nullptr;
      if (is_leader) {
        under_way = std::make_shared<Flight>(this, key);
      } else {
        ++under_way->waiting_;
      }
      flight = under_way;
    }
    if (joined != nullptr) *joined = !is_leader;
    if (!is_leader) return Join(*flight, still_waiting);
    // Whatever happens, the flight must land: others wait for it.
    const absl::StatusOr<T> result =
        NoThrow(what, [&] { return lead(*flight); });
    MutexLock lock(&mu_);
    Forget(*flight);
    flight->result_ = result;
    flight->landed_.NotifyAll();
    return result;
  }

 private:
  absl::StatusOr<T> Join(Flight& flight,
                         absl::FunctionRef<absl::Status()> still_waiting) {
    constexpr absl::Duration kAskAgain = absl::Milliseconds(50);
    while (true) {
      const absl::Status waiting = still_waiting();
      MutexLock lock(&mu_);
      if (flight.result_.has_value() || !waiting.ok()) {
        --flight.waiting_;
        if (!flight.result_.has_value()) return waiting;
        return *flight.result_;
      }
      flight.landed_.WaitUntil(&mu_, MonotonicNow() + kAskAgain);
    }
  }

  void Forget(const Flight& flight) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const auto it = flights_.find(flight.key_);
    if (it != flights_.end() && it->second.get() == &flight) flights_.erase(it);
  }

  Mutex mu_;
  std::map<std::string, std::shared_ptr<Flight>> flights_ ABSL_GUARDED_BY(mu_);
};

}  // namespace base

#endif  // ZEROSHOT_BASE_SINGLE_FLIGHT_H_
