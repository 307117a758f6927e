// By what a request is found again, in our log and in those of others: an id
// and the W3C trace that it is part of (w3.org/TR/trace-context).
//
// Thread rule: plain value and a free function.
#ifndef ZEROSHOT_SERVER_REQUEST_TAG_H_
#define ZEROSHOT_SERVER_REQUEST_TAG_H_

#include <grpcpp/support/string_ref.h>

#include <map>
#include <string>

namespace zeroshot::server {

struct RequestTag {
  // The caller's x-request-id if it is one (1 to 64 of A-Z a-z 0-9 . _ -),
  // else made up here.
  std::string id;
  // The caller's traceparent if it is well formed, else empty.
  std::string traceparent;
};

// `metadata` is what the caller sent besides the request.
RequestTag TagOf(
    const std::multimap<grpc::string_ref, grpc::string_ref>& metadata);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_REQUEST_TAG_H_
