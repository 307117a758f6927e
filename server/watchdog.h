// Checks that the server still works: a canary, an image and a text, goes
// through the real towers now and then and must come back right and in time,
// and the server's own port must answer.
#ifndef ZEROSHOT_SERVER_WATCHDOG_H_
#define ZEROSHOT_SERVER_WATCHDOG_H_

#include <cstdint>
#include <functional>
#include <future>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "zeroshot/embedder.h"

namespace zeroshot::server {

// Thread rule: created and destroyed by one thread; the functions are called
// on a thread of its own.
class Watchdog {
 public:
  struct Options {
    // How long the devices may go without finishing anything while the canary
    // waits, or one of them with one batch; a batch that takes long by nature
    // stretches it.
    absl::Duration timeout = absl::Seconds(30);
    absl::Duration interval = absl::Seconds(5);  // between two looks
    // How long the first canary may take: nothing is known of the device yet.
    absl::Duration first_timeout = absl::Minutes(5);
  };

  // Runs the first canary, whose row those after it must come close to.
  // Borrows embedder. `is_served` says whether the own port answers.
  // `on_verdict` is called at each change: OK, or what is wrong with the tower.
  // `on_deaf` is told once that the port was silent several times in a row.
  Watchdog(Embedder* embedder, const Options& options,
           std::function<bool()> is_served,
           std::function<void(const absl::Status&)> on_verdict,
           std::function<void()> on_deaf);

  // Waits for the canary on its way.
  ~Watchdog();

  // False: the first canary did not come back in time, so that the device hangs
  // and the destructor may too.
  bool first_came_back() const { return first_came_back_; }

 private:
  using Row = std::vector<float>;
  struct Rows {
    Row image, text;
  };

  // What both towers make of the canary, an image and a text. DeadlineExceeded:
  // it did not come back in time.
  absl::StatusOr<Rows> RunCanary(absl::Duration patience);

  // Starts a canary when it is time, and judges the one that is on its way.
  void LookAtTower();
  void Judge(const absl::StatusOr<Rows>& rows);
  absl::Duration Patience();
  // Of several devices one may never end its batch while the canary and all
  // else goes through the others.
  void LookForStuckBatch(absl::Time now);
  void ReportStuck(absl::Duration since);
  void Report(const absl::Status& verdict);  // if it is a new one
  void LookAtPort();
  void Loop();

  Embedder* const embedder_;
  const Options options_;
  const std::function<bool()> is_served_;
  const std::function<void(const absl::Status&)> on_verdict_;
  const std::function<void()> on_deaf_;
  Rows expected_;  // the first that came back
  bool first_came_back_ = true;

  // Of the thread alone:
  absl::Status verdict_;
  bool stuck_ = false;                        // a batch is
  std::future<absl::StatusOr<Rows>> canary_;  // valid: on its way
  absl::Time canary_began_ = absl::InfinitePast();
  absl::Duration patience_;     // with it
  int64_t batches_before_ = 0;  // it was started
  int silences_ = 0;            // of the port, in a row

  base::Mutex mu_;
  base::CondVar ending_;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;  // last: starts when all else stands
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_WATCHDOG_H_
