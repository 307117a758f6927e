// A client of HTTP/2 that is slow on purpose: it asks for no byte of an answer,
// or sends its request a piece at a time; or hostile. No gRPC library can be
// made to.
#ifndef ZEROSHOT_TESTS_TESTING_SLOW_CLIENT_H_
#define ZEROSHOT_TESTS_TESTING_SLOW_CLIENT_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

// Thread rule: one object, one thread.
class SlowClient {
 public:
  // Connects to a port of 127.0.0.1 that speaks plaintext. The window is zero:
  // the server may send headers, and nothing else.
  explicit SlowClient(int port);
  ~SlowClient();
  SlowClient(const SlowClient&) = delete;
  SlowClient& operator=(const SlowClient&) = delete;

  // Until the server is seen to have closed the connection.
  bool connected() const { return connected_; }

  // Begins a call of `method` of zeroshot.v1.ZeroShot whose request will have
  // `size` bytes, and returns its stream. The deadline is none.
  uint32_t Begin(absl::string_view method, uint32_t size);

  // Begins a call of any method, "/package.Service/Method", with `headers`
  // beside those that gRPC needs, and returns its stream.
  using Headers = std::vector<std::pair<std::string, std::string>>;
  uint32_t Open(absl::string_view path, const Headers& headers = {});

  // Sends `bytes` as fast as the server takes them; `last`: they are the
  // request's end. False: it took no more within `patience`, or ended the call.
  bool SendAll(uint32_t stream, absl::string_view bytes, bool last,
               absl::Duration patience);

  // Waits until the server ended the call. False: it did not in `patience`.
  bool WaitForEnd(uint32_t stream, absl::Duration patience);

  // Waits until the server began its answer, whose headers need no window.
  // False: it did not in `patience`, or it answered with an error.
  bool WaitForAnswer(uint32_t stream, absl::Duration patience);

  // Cancels the call, as RST_STREAM does.
  void Cancel(uint32_t stream);

  // Sends bytes of the request; `last`: they are its end. REQUIRES: no more
  // than the server's window.
  void Send(uint32_t stream, absl::string_view bytes, bool last);

  // Sends `size` bytes of the request, as SendAll does.
  bool Fill(uint32_t stream, int64_t size, absl::Duration patience);

  // A whole call; returns its stream.
  uint32_t Call(absl::string_view method, absl::string_view request);

  // Any frame of HTTP/2.
  void Frame(uint8_t type, uint8_t flags, uint32_t stream,
             absl::string_view payload);

 private:
  // Reads what the server sent; false if nothing comes within `patience`.
  bool ReadFrames(absl::Duration patience);

  const int fd_;
  bool connected_ = false;
  uint32_t next_stream_ = 1;
  std::string received_;  // not yet a whole frame
  // Bytes that may be sent: on each stream, and (0) on all together.
  std::map<uint32_t, int64_t> windows_ = {{0, 65'535}};
  int64_t first_window_ = 65'535;  // of a stream
  std::set<uint32_t> answered_;    // streams whose answer has begun
};

#endif  // ZEROSHOT_TESTS_TESTING_SLOW_CLIENT_H_
