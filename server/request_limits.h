// What a request may be made of, looked at while it is still bytes.
//
// Two bytes on the wire, an empty item of a list, are up to a hundred in
// memory: a message is counted before it is parsed. So are its texts looked at,
// because protobuf writes a line to standard error for each that is not UTF-8.
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
  // Of the inference protocol: inputs, outputs, parameters and dimensions of
  // one request, of each in all of it; and whole numbers, of which one byte on
  // the wire is up to eight in memory.
  static constexpr int64_t kMaxTensorItems = 64;
  static constexpr int64_t kMaxNumbers = 1 << 20;
  // Larger requests and files are read in the background.
  static constexpr size_t kMostBytesInPlace = 4 << 20;

  explicit RequestLimits(const ServerOptions& options);

  // How many items the list may have, in a message of its own. A list without
  // a limit of its own is short in every request that is meant.
  int64_t MostItems(const google::protobuf::FieldDescriptor* field) const;

  // Parses `bytes`, which are empty afterwards, unless they are over a limit.
  // InvalidArgument: they are, or are no such message.
  absl::Status Parse(grpc::ByteBuffer* bytes,
                     google::protobuf::Message* request) const;

 private:
  absl::Status ParseHere(grpc::ByteBuffer* bytes,
                         google::protobuf::Message* request) const;

  struct Limit {
    int64_t most;
    std::string flag;  // that sets it; empty: none
  };

  // Of inference.ModelInferRequest.
  void LimitTensors(const Limit& batch);

  using Limits = std::map<const google::protobuf::FieldDescriptor*, Limit>;

  Limits limits_;
  // Of a classifier within another request, where they are less.
  Limits inline_limits_;
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_REQUEST_LIMITS_H_
