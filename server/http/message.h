// A request and an answer of HTTP, as plain values.
#ifndef ZEROSHOT_SERVER_HTTP_MESSAGE_H_
#define ZEROSHOT_SERVER_HTTP_MESSAGE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "server/request_tag.h"

namespace zeroshot::server::http {

// The first line and the headers.
struct Request {
  std::string method;  // "GET"
  std::string target;  // "/v1/classify?top_k=3", as it was sent
  std::vector<std::pair<std::string, std::string>> headers;
  std::string peer;         // "ipv4:192.0.2.1:50000", as gRPC writes it
  std::string certificate;  // whom the caller's certificate names; may be empty
  RequestTag tag;
  bool has_body = false;
  int64_t content_length = -1;  // -1: not said

  // The first header of that name, whatever its case; empty if there is none.
  absl::string_view Header(absl::string_view name) const;
};

struct Response {
  int code = 200;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;  // further ones
  std::string body;
};

// "Not Found" of 404.
absl::string_view PhraseOf(int code);

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_MESSAGE_H_
