// One connection to the status page: a request's head on its way in, an answer
// on its way out, and how long both may take. Never blocks.
// Thread rule: one thread.
#ifndef ZEROSHOT_SERVER_STATUS_CONNECTION_H_
#define ZEROSHOT_SERVER_STATUS_CONNECTION_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace zeroshot::server {

class StatusConnection {
 public:
  // Of a request's first line and headers.
  static constexpr size_t kMaxHeadBytes = 8192;

  enum class State {
    kReading,  // the head
    kWaiting,  // for the answer
    kWriting,  // the answer
    kEnding,   // it is written; the peer has yet to close
    kClosed,   // over
  };

  // Owns the socket, which does not block. `peer`: the address it comes from.
  StatusConnection(int fd, std::string peer, absl::Time deadline);
  ~StatusConnection();
  StatusConnection(const StatusConnection&) = delete;
  StatusConnection& operator=(const StatusConnection&) = delete;

  int fd() const { return fd_; }
  State state() const { return state_; }
  const std::string& peer() const { return peer_; }
  absl::Time deadline() const { return deadline_; }
  // What poll should wait for.
  short events() const;

  // Reads what is there. True: the head is whole, `path` is what it asks for
  // (GET or HEAD) and the state is kWaiting. A request that is not good is
  // answered here.
  bool Read(std::string* path);

  // Answers with that status ("200 OK") and text. REQUIRES: not called before.
  void Answer(absl::string_view status, absl::string_view content_type,
              absl::string_view text);

  // Sends what the socket takes of the answer; then ends the sending and throws
  // away what the peer still sends, up to a bound, because closing at once
  // would make the system take the answer back.
  void Write();

  // Which render of /metrics it waits for; 0: none.
  int64_t ticket = 0;

 private:
  void Drain();

  const int fd_;
  const std::string peer_;
  const absl::Time deadline_;
  State state_ = State::kReading;
  bool head_only_ = false;  // HEAD: the answer's text is left out
  std::string in_;
  std::string out_;
  size_t sent_ = 0;
  size_t drained_ = 0;
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_STATUS_CONNECTION_H_
