// What requests to /v1/classify, /v1/classifiers and /v1/classifiers/import
// ask for, in whatever form they come.
#ifndef ZEROSHOT_SERVER_HTTP_FORMS_H_
#define ZEROSHOT_SERVER_HTTP_FORMS_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/http/body.h"
#include "server/http/json_message.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::server::http {

// Thread rule: one thread, for each class.
class ClassifyForm final : public Form {
 public:
  // `most_images` of one request. Borrows the function.
  ClassifyForm(const MostItems& most_items, int most_images)
      : most_items_(most_items), most_images_(most_images) {}

  absl::Status TakeField(const std::string& name,
                         absl::string_view text) override;
  bool IsFile(absl::string_view name) const override {
    return name == "image" || name == "images";
  }
  absl::Status TakeFile(const std::string& name) override;
  absl::Status TakeBytes(absl::string_view bytes) override;
  absl::Status TakeJson(absl::string_view text) override;

  // InvalidArgument: there is neither an image nor an embedding.
  absl::Status Check() const;

  // ClassifyBatch's, or else Classify's: without its images both are the same
  // bytes on the wire.
  bool is_batch() const {
    return is_batch_ || images_.size() > 1 || request_.embeddings_size() > 0;
  }
  const v1::ClassifyBatchRequest& request() const { return request_; }
  std::vector<std::string>& images() { return images_; }

 private:
  absl::Status AddImage();

  const MostItems& most_items_;
  const int most_images_;
  v1::ClassifyBatchRequest request_;
  std::vector<std::string> images_;
  bool is_batch_ = false;
};

// Of a message without images or files.
class MessageForm : public Form {
 public:
  // Borrows both.
  MessageForm(google::protobuf::Message* message, const MostItems& most_items)
      : message_(message), most_items_(most_items) {}

  absl::Status TakeField(const std::string& name,
                         absl::string_view text) override;
  bool IsFile(absl::string_view) const override { return false; }
  absl::Status TakeFile(const std::string&) override {
    return absl::OkStatus();
  }
  absl::Status TakeBytes(absl::string_view) override {
    return absl::OkStatus();
  }
  absl::Status TakeJson(absl::string_view text) override;

 private:
  google::protobuf::Message* const message_;
  const MostItems& most_items_;
};

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_FORMS_H_
