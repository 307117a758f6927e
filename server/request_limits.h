// What a request may be made of, looked at while it is still bytes.
//
// Two bytes on the wire, an empty item of a list, are up to a hundred in
// memory: a message is counted before it is parsed.
#ifndef ZEROSHOT_SERVER_REQUEST_LIMITS_H_
#define ZEROSHOT_SERVER_REQUEST_LIMITS_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "server/options.h"

namespace zeroshot::server {

// Thread rule: every method may be called from many threads at once.
class RequestLimits {
 public:
  // Bytes of a request that has neither images nor lists nor files.
  static constexpr int64_t kMaxPlainBytes = 64 << 10;
  // Fields of one request that this server does not know: newer clients send a
  // few.
  static constexpr int64_t kMaxUnknownFields = 1'000;

  explicit RequestLimits(const ServerOptions& options);

  // Parses `bytes`, which are empty afterwards, unless they are over a limit.
  // InvalidArgument: they are, or are no such message.
  absl::Status Parse(grpc::ByteBuffer* bytes,
                     google::protobuf::Message* request) const;

 private:
  struct Limit {
    int64_t most;
    std::string flag;  // that sets it
  };

  std::map<const google::protobuf::FieldDescriptor*, Limit> limits_;
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_REQUEST_LIMITS_H_
