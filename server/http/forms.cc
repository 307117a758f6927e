#include "server/http/forms.h"

#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "server/http/image_text.h"

namespace zeroshot::server::http {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// The field of that name that a client sets by itself; null: there is none.
const FieldDescriptor* FieldOf(const Message& message,
                               const std::string& name) {
  const FieldDescriptor* const field =
      message.GetDescriptor()->FindFieldByName(name);
  const bool bytes =
      field != nullptr && field->type() == FieldDescriptor::TYPE_BYTES;
  return bytes ? nullptr : field;
}

}  // namespace

absl::Status ClassifyForm::AddImage() {
  if (static_cast<int>(images_.size()) >= most_images_) {
    return base::InvalidField(
        "images",
        absl::StrCat("the request has too many images; at most ", most_images_,
                     " are allowed (--max_batch_items)"));
  }
  images_.emplace_back();
  return absl::OkStatus();
}

absl::Status ClassifyForm::TakeFile(const std::string& name) {
  is_batch_ = is_batch_ || name == "images";
  return AddImage();
}

absl::Status ClassifyForm::TakeBytes(absl::string_view bytes) {
  if (images_.empty()) images_.emplace_back();  // the body is the image
  images_.back().append(bytes.data(), bytes.size());
  return absl::OkStatus();
}

absl::Status ClassifyForm::TakeField(const std::string& name,
                                     absl::string_view text) {
  if (name == "request") return TakeJson(text);
  if (const FieldDescriptor* const field = FieldOf(request_, name)) {
    return SetFromText(&request_, field, text, most_items_);
  }
  v1::BuildClassifierRequest* const classifier = request_.mutable_classifier();
  if (const FieldDescriptor* const field = FieldOf(*classifier, name)) {
    return SetFromText(classifier, field, text, most_items_);
  }
  return UnknownField(name);
}

absl::Status ClassifyForm::TakeJson(absl::string_view text) {
  JsonMessageReader reader(text, most_items_);
  const auto take_image = [&](const std::string& path) -> absl::Status {
    absl::Status added = AddImage();
    if (!added.ok()) return added;
    absl::StatusOr<std::string> encoded = reader.TakeText(path);
    if (!encoded.ok()) return encoded.status();
    absl::StatusOr<std::string> image = DecodeImageText(*encoded, path);
    if (!image.ok()) return image.status();
    images_.back() = *std::move(image);
    return absl::OkStatus();
  };
  return reader.Read(
      &request_, [&](const std::string& key) -> absl::StatusOr<bool> {
        absl::Status taken;
        if (key == "image") {
          taken = take_image(key);
        } else if (key == "images") {
          is_batch_ = true;
          taken = reader.TakeList(key, most_images_, [&](int i) {
            return take_image(absl::StrCat("images[", i, "]"));
          });
        } else {
          v1::BuildClassifierRequest* const classifier =
              request_.mutable_classifier();
          const FieldDescriptor* const field = FieldOf(*classifier, key);
          if (field == nullptr) return false;
          taken = reader.TakeField(classifier, field, key);
        }
        if (!taken.ok()) return taken;
        return true;
      });
}

absl::Status ClassifyForm::Check() const {
  if (!images_.empty() || is_batch()) return absl::OkStatus();
  return base::InvalidField(
      "image",
      "there is no image; send it as the part `image` of a form (curl -F "
      "image=@FILE), as the body, or as `image` in JSON");
}

absl::Status MessageForm::TakeField(const std::string& name,
                                    absl::string_view text) {
  const FieldDescriptor* const field = FieldOf(*message_, name);
  if (field == nullptr) return UnknownField(name);
  return SetFromText(message_, field, text, most_items_);
}

absl::Status MessageForm::TakeJson(absl::string_view text) {
  JsonMessageReader reader(text, most_items_);
  return reader.Read(message_);
}

}  // namespace zeroshot::server::http
