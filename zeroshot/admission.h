// Admission: at most `capacity` places are taken at once; a call that finds
// none is refused before any work is done for it, as ResourceExhausted with a
// retry delay.
#ifndef ZEROSHOT_ZEROSHOT_ADMISSION_H_
#define ZEROSHOT_ZEROSHOT_ADMISSION_H_

#include <atomic>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace zeroshot {

// Thread rule: every method may be called from many threads at once.
class Admission {
 public:
  // One call's places, given back when destroyed. Must not outlive the
  // admission.
  class Place {
   public:
    Place(Admission* admission, int places)
        : admission_(admission), places_(places) {}
    Place(Place&& other) noexcept
        : admission_(std::exchange(other.admission_, nullptr)),
          places_(other.places_) {}
    Place& operator=(Place&& other) noexcept {
      std::swap(admission_, other.admission_);
      std::swap(places_, other.places_);
      return *this;
    }
    ~Place() {
      if (admission_ != nullptr) admission_->inside_.fetch_sub(places_);
    }

   private:
    Admission* admission_;
    int places_;
  };

  // `what` names in the refusal what takes places, such as "builds".
  Admission(std::string what, int capacity)
      : what_(std::move(what)), capacity_(capacity) {}

  // Takes `places`, or all of them if there are fewer.
  absl::StatusOr<Place> Enter(int places = 1);

  // Places taken.
  int inside() const { return inside_.load(); }

 private:
  const std::string what_;
  const int capacity_;
  std::atomic<int> inside_{0};
};

// The payload by which a status carries how long to wait before trying again
// (the server turns it into google.rpc.RetryInfo).
void SetRetryDelay(absl::Status& status, absl::Duration delay);
absl::Duration RetryDelay(const absl::Status& status);  // zero if none

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_ADMISSION_H_
