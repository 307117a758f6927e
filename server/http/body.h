// The forms in which a request's body may come, read as it arrives.
#ifndef ZEROSHOT_SERVER_HTTP_BODY_H_
#define ZEROSHOT_SERVER_HTTP_BODY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/http/message.h"
#include "server/http/multipart.h"

namespace zeroshot::server::http {

enum class BodyType {
  kNone,
  kJson,        // application/json
  kUrlEncoded,  // application/x-www-form-urlencoded
  kMultipart,   // multipart/form-data
  kBytes,       // application/octet-stream, image/*
  kOther,
};

BodyType TypeOfBody(const Request& request);

// InvalidArgument: the Content-Type is none that the route takes, which are
// `allowed`.
absl::Status ContentTypeNotSupported(const Request& request,
                                     absl::string_view allowed);

// What is made of a body. Thread rule: one thread.
class Form {
 public:
  virtual ~Form() = default;

  // A field of a form or of the query.
  virtual absl::Status TakeField(const std::string& name,
                                 absl::string_view text) = 0;
  // Whether the field of that name is a file: its bytes are handed on as they
  // come, after TakeFile.
  virtual bool IsFile(absl::string_view name) const = 0;
  virtual absl::Status TakeFile(const std::string& name) = 0;
  virtual absl::Status TakeBytes(absl::string_view bytes) = 0;
  // The whole body, of JSON.
  virtual absl::Status TakeJson(absl::string_view text) = 0;
};

// Fields of one request.
inline constexpr int kMaxFields = 1000;

// The fields of the request's query.
absl::Status TakeQuery(const Request& request, Form* form);

// Thread rule: one thread.
class BodyReader {
 public:
  // Borrows the form. `type` is the request's. InvalidArgument: a multipart
  // body without a boundary.
  static absl::StatusOr<std::unique_ptr<BodyReader>> Make(
      const Request& request, BodyType type, Form* form);

  absl::Status Take(absl::string_view bytes);
  absl::Status End();

 private:
  BodyReader(BodyType type, Form* form) : type_(type), form_(form) {}

  const BodyType type_;
  Form* const form_;
  std::string text_;  // of a whole body, or of a field of a multipart one
  std::string field_;
  bool in_file_ = false;
  std::unique_ptr<MultipartReader> parts_;
};

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_BODY_H_
