// Classify over HTTP, to be measured beside gRPC.
// Thread rule: every method may be called from many threads at once; each
// thread has a connection of its own, which it keeps.
#ifndef ZEROSHOT_CLIENT_CLI_HTTP_CALL_H_
#define ZEROSHOT_CLIENT_CLI_HTTP_CALL_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/types.h"

namespace zeroshot::client {

class HttpCall {
 public:
  // POST /v1/classify at HOST:PORT, in plain text, with the image as the body.
  // `token`: may be empty.
  HttpCall(std::string host, int port, absl::string_view weight_set_id,
           int top_k, std::string token, absl::Duration timeout);

  // The answer's timing only. An HTTP code that is no 200 is an error of the
  // code that the server names; Unavailable: the server is not reached.
  absl::StatusOr<Answer> Classify(const std::string& image) const;

 private:
  const std::string host_;
  const int port_;
  const std::string target_;
  const std::string token_;
  const absl::Duration timeout_;
};

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_HTTP_CALL_H_
