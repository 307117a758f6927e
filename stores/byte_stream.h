// A connection: bytes there and back. A plain socket, or TLS over one
// (OpenSSL).
#ifndef ZEROSHOT_STORES_BYTE_STREAM_H_
#define ZEROSHOT_STORES_BYTE_STREAM_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

struct ssl_ctx_st;

namespace stores {

// How TLS connections check who answers. Thread rule: immutable.
class TlsTrust {
 public:
  // Trusts the authorities in a PEM file; the system's if it is empty.
  // InvalidArgument: no such file, or no certificate in it.
  static absl::StatusOr<std::unique_ptr<TlsTrust>> Load(
      const std::string& ca_file);

  ~TlsTrust();
  TlsTrust(const TlsTrust&) = delete;
  TlsTrust& operator=(const TlsTrust&) = delete;

  ssl_ctx_st* context() const { return context_; }

 private:
  explicit TlsTrust(ssl_ctx_st* context) : context_(context) {}
  ssl_ctx_st* const context_;
};

// Thread rule: one connection, one thread at a time.
class ByteStream {
 public:
  // Connects, and with `trust` (may be null; borrowed) shakes hands and checks
  // that the certificate is `host`'s. DeadlineExceeded, Unavailable: see the
  // message. Resolving a name is waited for until the deadline too.
  static absl::StatusOr<std::unique_ptr<ByteStream>> Dial(
      const std::string& host, int port, const TlsTrust* trust,
      absl::Time deadline);

  virtual ~ByteStream() = default;

  // Sends all. DeadlineExceeded: nothing moved for as long as `patience`.
  // Unavailable: the connection is of no use any more.
  absl::Status Send(absl::string_view bytes, absl::Duration patience);

  // Waits for bytes and returns how many came, 1 to `room`. What was sent and
  // is still on its way counts as moving.
  absl::StatusOr<size_t> Receive(char* out, size_t room,
                                 absl::Duration patience);

 protected:
  // What a step that cannot go on yet waits for.
  enum class Wants { kNothing, kReading, kWriting };

  explicit ByteStream(int fd) : fd_(fd) {}

  // One step without waiting: what it moved, or what it `wants` first.
  virtual absl::StatusOr<size_t> TrySend(absl::string_view bytes,
                                         Wants* wants) = 0;
  virtual absl::StatusOr<size_t> TryReceive(char* out, size_t room,
                                            Wants* wants) = 0;

  absl::Status Await(Wants wants, absl::Time deadline) const;
  // Bytes sent that the other side has not taken yet.
  int Underway() const;

  const int fd_;
};

}  // namespace stores

#endif  // ZEROSHOT_STORES_BYTE_STREAM_H_
