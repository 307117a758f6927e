#include "server/http/body.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "base/quoted.h"
#include "server/http/errors.h"
#include "server/http/url.h"

namespace zeroshot::server::http {

BodyType TypeOfBody(const Request& request) {
  const absl::string_view header = request.Header("content-type");
  const std::string type = absl::AsciiStrToLower(absl::StripAsciiWhitespace(
      header.substr(0, std::min(header.find(';'), header.size()))));
  if (type.empty()) {
    return request.has_body ? BodyType::kOther : BodyType::kNone;
  }
  if (type == "application/json") return BodyType::kJson;
  if (type == "application/x-www-form-urlencoded") return BodyType::kUrlEncoded;
  if (type == "multipart/form-data") return BodyType::kMultipart;
  if (type == "application/octet-stream" || absl::StartsWith(type, "image/")) {
    return BodyType::kBytes;
  }
  return BodyType::kOther;
}

absl::Status ContentTypeNotSupported(const Request& request,
                                     absl::string_view allowed) {
  const absl::string_view type = request.Header("content-type");
  return base::WithReason(
      absl::InvalidArgumentError(absl::StrCat(
          type.empty()
              ? "there is no Content-Type"
              : absl::StrCat("the Content-Type is ", base::Quoted(type)),
          "; this route takes ", allowed)),
      kContentTypeNotSupported);
}

absl::Status TakeQuery(const Request& request, Form* form) {
  const absl::StatusOr<Fields> fields =
      ParseUrlEncoded(SplitTarget(request.target).second, kMaxFields);
  if (!fields.ok()) return fields.status();
  for (const auto& [name, value] : *fields) {
    absl::Status taken = form->TakeField(name, value);
    if (!taken.ok()) return taken;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<BodyReader>> BodyReader::Make(
    const Request& request, BodyType type, Form* form) {
  std::unique_ptr<BodyReader> body(new BodyReader(type, form));
  constexpr int64_t kAtOnce = 1 << 20;
  if (type != BodyType::kMultipart) {
    body->text_.reserve(static_cast<size_t>(
        std::clamp<int64_t>(request.content_length, 0, kAtOnce)));
    return body;
  }
  const absl::StatusOr<std::string> boundary =
      MultipartReader::BoundaryOf(request.Header("content-type"));
  if (!boundary.ok()) return boundary.status();
  BodyReader* const self = body.get();
  body->parts_ = std::make_unique<MultipartReader>(
      *boundary, kMaxFields,
      MultipartReader::Sink{
          .begin =
              [self](const Part& part) {
                self->field_ = part.name;
                self->in_file_ = self->form_->IsFile(part.name);
                self->text_.clear();
                return self->in_file_ ? self->form_->TakeFile(part.name)
                                      : absl::OkStatus();
              },
          .data =
              [self](absl::string_view bytes) {
                if (self->in_file_) return self->form_->TakeBytes(bytes);
                self->text_.append(bytes.data(), bytes.size());
                return absl::OkStatus();
              },
          .end =
              [self] {
                if (self->in_file_) return absl::OkStatus();
                return self->form_->TakeField(self->field_, self->text_);
              }});
  return body;
}

absl::Status BodyReader::Take(absl::string_view bytes) {
  switch (type_) {
    case BodyType::kMultipart:
      return parts_->Feed(bytes);
    case BodyType::kBytes:
      return form_->TakeBytes(bytes);
    default:
      text_.append(bytes.data(), bytes.size());
      return absl::OkStatus();
  }
}

absl::Status BodyReader::End() {
  if (type_ == BodyType::kMultipart) return parts_->Finish();
  if (type_ == BodyType::kJson) return form_->TakeJson(text_);
  if (type_ != BodyType::kUrlEncoded) return absl::OkStatus();
  const absl::StatusOr<Fields> fields = ParseUrlEncoded(text_, kMaxFields);
  if (!fields.ok()) return fields.status();
  for (const auto& [name, value] : *fields) {
    absl::Status taken = form_->TakeField(name, value);
    if (!taken.ok()) return taken;
  }
  return absl::OkStatus();
}

}  // namespace zeroshot::server::http
