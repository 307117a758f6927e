#include "server/http/embeddings.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "base/json_reader.h"
#include "server/grpc_status.h"
#include "server/http/errors.h"
#include "server/http/image_text.h"
#include "server/http/json_message.h"
#include "server/http/rpc_exchange.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::server::http {
namespace {

using Input = EmbeddingsRequest::Input;

const MostItems& NoLists() {
  static const auto* const none = new MostItems(
      [](const google::protobuf::FieldDescriptor*) { return int64_t{0}; });
  return *none;
}

// Reads a request. Each Take reads one value.
class Parser {
 public:
  Parser(absl::string_view json, int most_inputs)
      : reader_(json, NoLists()), most_(most_inputs) {}

  absl::StatusOr<EmbeddingsRequest> Parse() {
    absl::Status read = reader_.ReadObject(
        [this](const std::string& key) -> absl::StatusOr<bool> {
          if (reader_.TakeNull()) return true;
          const absl::StatusOr<bool> known = TakeKey(key);
          return known;
        });
    if (!read.ok()) return read;
    if (out_.inputs.empty()) {
      return base::InvalidField("input",
                                "there is no `input`; it is a text or a list");
    }
    return std::move(out_);
  }

 private:
  static absl::StatusOr<bool> Known(absl::Status status) {
    if (!status.ok()) return status;
    return true;
  }

  absl::StatusOr<bool> TakeKey(const std::string& key) {
    if (key == "input") return Known(TakeInput());
    if (key == "messages") return Known(TakeMessages());
    if (key == "model") return Known(TakeText(key, &out_.model));
    if (key == "user") return Known(reader_.Skip());
    if (key == "encoding_format") {
      std::string format;
      absl::Status taken = TakeText(key, &format);
      if (!taken.ok()) return taken;
      if (format != "float" && format != "base64") {
        return base::InvalidField(
            key, "encoding_format must be \"float\" or \"base64\"");
      }
      out_.base64 = format == "base64";
      return true;
    }
    if (key == "dimensions") {
      const absl::StatusOr<int64_t> number = reader_.TakeInteger(key);
      if (!number.ok()) return number.status();
      if (*number < 1 || *number > (1 << 20)) {
        return base::InvalidField(
            key, "dimensions must be the length of the model's vectors");
      }
      out_.dimensions = static_cast<int>(*number);
      return true;
    }
    return false;
  }

  absl::Status TakeText(absl::string_view path, std::string* out) {
    absl::StatusOr<std::string> text = reader_.TakeText(path);
    if (!text.ok()) return text.status();
    *out = *std::move(text);
    return absl::OkStatus();
  }

  absl::Status Add(bool is_image, std::string content, std::string name) {
    if (static_cast<int>(out_.inputs.size()) >= most_) {
      return base::InvalidField(
          "input", absl::StrCat("the request has too many inputs; at most ",
                                most_, " are allowed (--max_batch_items)"));
    }
    out_.inputs.push_back({is_image, std::move(content), std::move(name)});
    return absl::OkStatus();
  }

  absl::Status AddImage(absl::string_view text, const std::string& name) {
    absl::StatusOr<std::string> image = DecodeImageText(text, name);
    if (!image.ok()) return image.status();
    return Add(true, *std::move(image), name);
  }

  absl::Status TakeInput() {
    if (!reader_.AtList()) return TakeItem("input");
    return reader_.TakeList("input", most_, [this](int i) {
      return TakeItem(absl::StrCat("input[", i, "]"));
    });
  }

  // A text, a data URI of an image, {"text": ...} or {"image": ...}.
  absl::Status TakeItem(const std::string& name) {
    std::string text;
    if (!reader_.AtObject()) {
      const absl::StatusOr<std::string> taken = reader_.TakeText(name);
      if (!taken.ok()) {
        return base::InvalidField(
            name, absl::StrCat(name,
                               " must be a text or a data URI of an image; "
                               "tokens are not taken"));
      }
      if (absl::StartsWithIgnoreCase(*taken, "data:image/")) {
        return AddImage(*taken, name);
      }
      return Add(false, *taken, name);
    }
    return reader_.TakeObject(
        name, [&](const std::string& key) -> absl::StatusOr<bool> {
          if (key != "text" && key != "image") return false;
          absl::Status taken = TakeText(absl::StrCat(name, ".", key), &text);
          if (!taken.ok()) return taken;
          return Known(key == "text" ? Add(false, text, name)
                                     : AddImage(text, name));
        });
  }

  // vLLM: [{"role": "user", "content": [PART, ...]}], of one input.
  absl::Status TakeMessages() {
    absl::Status taken = reader_.TakeList("messages", most_, [this](int i) {
      const std::string path = absl::StrCat("messages[", i, "]");
      return reader_.TakeObject(
          path, [&, this](const std::string& key) -> absl::StatusOr<bool> {
            if (key == "role") return Known(reader_.Skip());
            if (key != "content") return false;
            const std::string content = path + ".content";
            if (!reader_.AtList()) return Known(TakePart(content));
            return Known(reader_.TakeList(content, most_, [&](int part) {
              return TakePart(absl::StrCat(content, "[", part, "]"));
            }));
          });
    });
    if (!taken.ok()) return taken;
    if (out_.inputs.size() == 1) return absl::OkStatus();
    return base::InvalidField(
        "messages",
        absl::StrCat("the messages have ", out_.inputs.size(),
                     " contents; one is allowed: one text or one image "
                     "makes one vector"));
  }

  // "TEXT", {"type": "text", "text": ...} or {"type": "image_url", "image_url":
  // {"url": ...}}.
  absl::Status TakePart(const std::string& name) {
    std::string text;
    if (!reader_.AtObject()) {
      absl::Status taken = TakeText(name, &text);
      return taken.ok() ? Add(false, std::move(text), name) : taken;
    }
    return reader_.TakeObject(
        name, [&](const std::string& key) -> absl::StatusOr<bool> {
          const std::string path = absl::StrCat(name, ".", key);
          if (key == "type") return Known(reader_.Skip());
          if (key == "text") {
            absl::Status taken = TakeText(path, &text);
            return Known(taken.ok() ? Add(false, text, name) : taken);
          }
          if (key != "image_url") return false;
          if (!reader_.AtObject()) {
            absl::Status taken = TakeText(path, &text);
            return Known(taken.ok() ? AddImage(text, path) : taken);
          }
          return Known(reader_.TakeObject(
              path, [&](const std::string& inner) -> absl::StatusOr<bool> {
                if (inner == "detail") return Known(reader_.Skip());
                if (inner != "url") return false;
                absl::Status taken = TakeText(path + ".url", &text);
                return Known(taken.ok() ? AddImage(text, path + ".url")
                                        : taken);
              }));
        });
  }

  JsonMessageReader reader_;
  const int most_;
  EmbeddingsRequest out_;
};

class EmbedExchange final : public RpcExchange {
 public:
  EmbedExchange(Api* api, const Request& request, Origin origin,
                std::shared_ptr<Responder> responder)
      : RpcExchange(api, MethodNamed("EmbedTexts"), request, std::move(origin),
                    std::move(responder)) {}

  absl::Status Prepare() override {
    if (TypeOfBody(request_) != BodyType::kJson) {
      return ContentTypeNotSupported(request_, "application/json");
    }
    return absl::OkStatus();
  }

  int memory_factor() const override { return 2; }

  int64_t max_body_bytes() const override {
    return MostBytes(api_->options().max_request_bytes / 3 * 4,
                     memory_factor());
  }

  absl::Status Take(absl::string_view bytes) override {
    body_.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }

  absl::Status End() override {
    auto parsed = ParseEmbeddings(body_, api_->options().max_batch_items);
    if (!parsed.ok()) return parsed.status();
    std::string().swap(body_);
    asked_ = *std::move(parsed);
    const clip::ModelInfo& model = api_->model();
    if (!asked_.model.empty() && asked_.model != model.name) {
      return ModelNotFound(asked_.model, model.name);
    }
    dim_ = model.embedding_dim;
    if (asked_.dimensions != 0 && asked_.dimensions != dim_) {
      return base::InvalidField(
          "dimensions", absl::StrCat("dimensions is ", asked_.dimensions,
                                     "; the model's vectors have ", dim_));
    }
    v1::EmbedTextsRequest texts;
    std::vector<std::string> images;
    for (size_t i = 0; i < asked_.inputs.size(); ++i) {
      EmbeddingsRequest::Input& input = asked_.inputs[i];
      if (input.is_image) {
        image_places_.push_back(i);
        images.push_back(std::move(input.content));
      } else {
        text_places_.push_back(i);
        texts.add_texts(std::move(input.content));
      }
    }
    vectors_.resize(asked_.inputs.size() * dim_);
    left_ = (text_places_.empty() ? 0 : 1) + (image_places_.empty() ? 0 : 1);
    if (!text_places_.empty()) {
      Embed<v1::EmbedTextsResponse>("EmbedTexts", texts, {}, &text_places_);
    }
    if (!image_places_.empty()) {
      Embed<v1::EmbedImagesResponse>("EmbedImages", v1::EmbedImagesRequest(),
                                     std::move(images), &image_places_);
    }
    return absl::OkStatus();
  }

 private:
  using Places = std::vector<size_t>;

  template <typename Response>
  void Embed(const char* method, const google::protobuf::Message& request,
             std::vector<std::string> images, const Places* places) {
    Call(MethodNamed(method).path, request, std::move(images),
         [this, places](const absl::Status& status, grpc::ByteBuffer* bytes) {
           Response response;
           absl::Status taken = status;
           if (taken.ok()) {
             taken = FromBytes(bytes, &response)
                         ? TakeVectors(response, *places)
                         : absl::InternalError("the answer is damaged");
           }
           if (!taken.ok()) {
             // The other call's answer is of no use.
             for (const auto& call : calls_) call->Cancel();
             return AnswerError(taken);
           }
           if (--left_ > 0) return;
           http::Response answer;
           answer.body = EmbeddingsJson(api_->model().name, asked_.base64, dim_,
                                        vectors_);
           Answer(std::move(answer));
         });
  }

  template <typename Response>
  absl::Status TakeVectors(const Response& response, const Places& places) {
    if (response.statuses_size() != static_cast<int>(places.size()) ||
        response.embeddings_size() != static_cast<int>(places.size()) * dim_) {
      return absl::InternalError("the answer is of other inputs");
    }
    for (size_t i = 0; i < places.size(); ++i) {
      const std::string& name = asked_.inputs[places[i]].name;
      const absl::Status status =
          FromItemStatus(response.statuses(static_cast<int>(i)));
      if (!status.ok()) return base::WithPrefix(name + ": ", status);
      std::copy_n(response.embeddings().data() + i * dim_, dim_,
                  vectors_.begin() + places[i] * dim_);
    }
    return absl::OkStatus();
  }

  std::string body_;
  EmbeddingsRequest asked_;
  int dim_ = 0;
  Places text_places_, image_places_;
  std::vector<float> vectors_;
  int left_ = 0;  // calls
};

}  // namespace

absl::StatusOr<EmbeddingsRequest> ParseEmbeddings(absl::string_view json,
                                                  int most_inputs) {
  return Parser(json, most_inputs).Parse();
}

std::string EmbeddingsJson(absl::string_view model, bool base64, int dim,
                           absl::Span<const float> vectors) {
  std::string out = "{\"object\": \"list\", \"data\": [";
  for (size_t i = 0; i * dim < vectors.size(); ++i) {
    const absl::Span<const float> vector = vectors.subspan(i * dim, dim);
    absl::StrAppend(&out, i == 0 ? "" : ", ",
                    "{\"object\": \"embedding\", \"index\": ", i,
                    ", \"embedding\": ");
    if (base64) {
      // As on a machine of little-endian floats, which all of ours are.
      absl::StrAppend(&out, "\"",
                      absl::Base64Escape(absl::string_view(
                          reinterpret_cast<const char*>(vector.data()),
                          vector.size() * sizeof(float))),
                      "\"}");
      continue;
    }
    out += '[';
    for (size_t j = 0; j < vector.size(); ++j) {
      if (j > 0) out += ", ";
      AppendNumber(vector[j], &out);
    }
    out += "]}";
  }
  out += "], \"model\": ";
  base::AppendJsonString(model, &out);
  return out + ", \"usage\": {\"prompt_tokens\": 0, \"total_tokens\": 0}}";
}

std::shared_ptr<RpcExchange> MakeEmbed(Api* api, const Request& request,
                                       Origin origin,
                                       std::shared_ptr<Responder> responder) {
  return std::make_shared<EmbedExchange>(api, request, std::move(origin),
                                         std::move(responder));
}

}  // namespace zeroshot::server::http
