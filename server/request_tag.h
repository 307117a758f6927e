// By what a request is found again, in our log and in those of others: an id
// and the W3C trace that it is part of (w3.org/TR/trace-context).
#ifndef ZEROSHOT_SERVER_REQUEST_TAG_H_
#define ZEROSHOT_SERVER_REQUEST_TAG_H_

#include <grpcpp/support/string_ref.h>

#include <map>
#include <string>

#include "absl/strings/string_view.h"

namespace zeroshot::server {

// A span and the trace that it is in, as lower-case hexadecimal digits; both
// empty: there is none.
struct TraceIds {
  std::string trace;  // 32 digits
  std::string span;   // 16 digits
};

struct RequestTag {
  // The caller's x-request-id if it is one (1 to 64 of A-Z a-z 0-9 . _ -),
  // else made up here.
  std::string id;
  // The caller's traceparent if it is well formed, else empty.
  std::string traceparent;

  // What the traceparent says: the caller's span, and whether it is kept.
  TraceIds trace() const;
  bool sampled() const;
};

// `metadata` is what the caller sent besides the request.
RequestTag TagOf(
    const std::multimap<grpc::string_ref, grpc::string_ref>& metadata);

// The same of what the caller's headers x-request-id and traceparent say.
RequestTag TagOf(absl::string_view request_id, absl::string_view traceparent);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_REQUEST_TAG_H_
