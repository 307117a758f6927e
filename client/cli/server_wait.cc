#include "client/cli/server_wait.h"

#include <algorithm>
#include <ostream>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/error_info.h"

namespace zeroshot::client {
namespace {

constexpr char kNotTriedUrl[] = "zeroshot/not-tried";
constexpr char kFlag[] = "wait_for_server";
constexpr absl::Duration kDefaultWait = absl::Seconds(30);

// A server that is away for less is not worth a word.
constexpr absl::Duration kPatience = absl::Milliseconds(500);

// So many calls in a row that fail as if there were no server.
constexpr int kLostInARow = 3;

// The server may be away, or not have been able to say that it stops.
bool MayBeAway(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsCancelled(status) ||
         absl::IsDeadlineExceeded(status);
}

bool IsAway(const absl::Status& health) {
  return absl::IsUnavailable(health) || absl::IsDeadlineExceeded(health);
}

bool ConcernsEveryCall(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsFailedPrecondition(status) ||
         absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status) ||
         absl::IsUnimplemented(status);
}

}  // namespace

FlagDefinition WaitForServerFlag() {
  return {
      kFlag, "TIME",
      "how long to wait for a server that goes away (default: 30s; 0: stop)"};
}

absl::Status ServerWait::Begin() {
  const Arguments& arguments = run_.arguments;
  const bool is_zero =
      arguments.Text(kFlag) == "0" || arguments.Text(kFlag) == "0s";
  wait_ = is_zero ? absl::ZeroDuration() : kDefaultWait;
  if (is_zero || !arguments.Has(kFlag)) return absl::OkStatus();
  const auto wait = arguments.Time(kFlag);
  if (!wait.ok()) return wait.status();
  wait_ = **wait;
  const absl::Status status = WaitForIt(absl::OkStatus());
  return IsAway(status) ? status : absl::OkStatus();
}

absl::Status ServerWait::NotTried() {
  absl::Status status = absl::AbortedError("not tried");
  status.SetPayload(kNotTriedUrl, absl::Cord());
  return status;
}

bool ServerWait::WasNotTried(const absl::Status& status) {
  return status.GetPayload(kNotTriedUrl).has_value();
}

bool ServerWait::MayBegin() {
  std::unique_lock<std::mutex> lock(mu_);
  changed_.wait(lock, [this] { return !waiting_; });
  return stopped_.ok();
}

bool ServerWait::ShouldRepeat(const absl::Status& status, int tries) {
  if (!MayBeAway(status)) {
    if (ConcernsEveryCall(status)) Stop(status);
    std::lock_guard<std::mutex> lock(mu_);
    if (stopped_.ok()) lost_in_a_row_ = 0;
    return false;
  }
  if (!Returned(status)) return false;
  // Slow, but it answers: once more, as a weight set may have been built again.
  if (absl::IsDeadlineExceeded(status)) {
    return tries == 1 && on_return_ != nullptr;
  }
  if (tries < kTries) return true;
  bool too_many = false;
  {
    std::lock_guard<std::mutex> lock(mu_);
    too_many = ++lost_in_a_row_ >= kLostInARow;
  }
  if (too_many) Stop(status);
  return false;
}

bool ServerWait::Returned(const absl::Status& lost) {
  std::unique_lock<std::mutex> lock(mu_);
  if (waiting_) {
    changed_.wait(lock, [this] { return !waiting_; });
    return stopped_.ok();
  }
  if (!stopped_.ok()) return false;
  waiting_ = true;
  lock.unlock();
  const absl::Time until = absl::Now() + wait_;
  absl::Status status;
  do {
    status = WaitForIt(lost);
    if (IsAway(status)) break;
    status = on_return_ == nullptr ? absl::OkStatus() : on_return_();
    // It may have gone again meanwhile.
  } while (absl::IsUnavailable(status) && absl::Now() < until);
  // What takes too long does not concern every call.
  if (absl::IsDeadlineExceeded(status) && !IsAway(run_.client->Health())) {
    status = absl::OkStatus();
  }
  lock.lock();
  waiting_ = false;
  if (!status.ok() && stopped_.ok()) stopped_ = status;
  changed_.notify_all();
  return status.ok();
}

// The server's health: at once, else after waiting for it and saying so.
absl::Status ServerWait::WaitForIt(const absl::Status& lost) {
  const absl::Status status = run_.client->Health(std::min(kPatience, wait_));
  if (!IsAway(status) || wait_ <= kPatience) return status;
  Say(absl::StrCat("zeroshot_client ", run_.command, ": ",
                   lost.ok() ? "no server at " : "no answer any more from ",
                   run_.target, " (",
                   lost.ok() ? status.message() : lost.message(),
                   "); waiting up to ", HumanDuration(wait_), " for it"));
  return run_.client->Health(wait_);
}

void ServerWait::Stop(const absl::Status& why) {
  std::lock_guard<std::mutex> lock(mu_);
  if (stopped_.ok()) stopped_ = why;
}

bool ServerWait::stopped() {
  std::lock_guard<std::mutex> lock(mu_);
  return !stopped_.ok();
}

void ServerWait::Say(const std::string& line) {
  std::lock_guard<std::mutex> lock(console_);
  *run_.console.err << (std::exchange(line_open_, false) ? "\r\033[K" : "")
                    << Printable(line) << std::endl;
}

void ServerWait::Count(const absl::Status& status) {
  if (status.ok()) {
    ++answered_;
  } else if (!WasNotTried(status)) {
    ++failed_;
    const std::string reason = ReasonOf(status);
    ++failed_by_reason_[reason.empty() ? absl::StatusCodeToString(status.code())
                                       : reason];
  }
  if (shows_progress_) DrawProgress();
}

// "1,204 of 5,000 images, 85/s, 45 s left"
std::string ServerWait::Progress() const {
  const int64_t done = answered_ + failed_;
  const int64_t total = total_;
  const absl::Duration took = absl::Now() - begun_;
  const double rate = done / absl::ToDoubleSeconds(took);
  std::string line = absl::StrCat(
      WithCommas(done), total > 0 ? " of " + WithCommas(total) : "", ", ",
      WithCommas(static_cast<int64_t>(rate + 0.5)), "/s");
  if (failed_ > 0) absl::StrAppend(&line, ", ", WithCommas(failed_), " failed");
  if (total > done && rate > 0) {
    absl::StrAppend(&line, ", ",
                    HumanDuration(absl::Seconds((total - done) / rate)),
                    " left");
  }
  return line;
}

void ServerWait::DrawProgress() {
  constexpr absl::Duration kRedraw = absl::Milliseconds(100);
  constexpr absl::Duration kLine = absl::Seconds(10);
  const bool terminal = run_.console.err_is_terminal;
  const absl::Time now = absl::Now();
  if (now - drawn_ < (terminal ? kRedraw : kLine)) return;
  drawn_ = now;
  if (!terminal) return Say(Progress());
  std::lock_guard<std::mutex> lock(console_);
  *run_.console.err << "\r\033[K" << Progress() << std::flush;
  line_open_ = true;
}

int ServerWait::Finish(int64_t total) {
  const bool all = answered_ == total && !stopped();
  if ((total > 1 && (!all || run_.console.err_is_terminal)) ||
      shows_progress_) {
    std::string line =
        absl::StrCat(WithCommas(answered_), " of ", WithCommas(total),
                     " answered in ", HumanDuration(absl::Now() - begun_));
    if (!all) {
      line =
          absl::StrCat(WithCommas(answered_), " of ", WithCommas(total),
                       " answered, ", WithCommas(failed_), " failed, ",
                       WithCommas(total - answered_ - failed_), " not tried");
    } else if (shows_progress_ && total > 0) {
      absl::StrAppend(
          &line, ", ",
          WithCommas(static_cast<int64_t>(
              answered_ / absl::ToDoubleSeconds(absl::Now() - begun_) + 0.5)),
          "/s");
    }
    if (shows_progress_ && !failed_by_reason_.empty()) {
      const auto add = [](std::string* out, const auto& reason) {
        absl::StrAppend(out, reason.first, " ", WithCommas(reason.second));
      };
      absl::StrAppend(
          &line, "; failed: ", absl::StrJoin(failed_by_reason_, ", ", add));
    }
    if (!stopped_.ok()) {
      absl::StrAppend(&line, "; stopped because: ", HumanError(stopped_));
      if (absl::IsNotFound(stopped_)) {
        absl::StrAppend(&line,
                        "; --classes or --classes_file in place of an id "
                        "build it again by themselves");
      }
    }
    Say(line);
  }
  return all ? kOk : kCallFailed;
}

}  // namespace zeroshot::client
