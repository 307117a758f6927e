#include "server/http/infer_body.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "base/json_reader.h"
#include "base/quoted.h"
#include "server/http/image_text.h"
#include "server/inference/models.h"
#include "server/inference/parameters.h"
#include "server/inference/tensors.h"
#include "server/request_limits.h"

namespace zeroshot::server::http {
namespace {

using inference::InferParameter;
using inference::InferTensorContents;
using inference::ModelInferRequest;

// Lists within `data`: rows of [n, 1].
constexpr int kMaxNested = 8;

// Reads a body's JSON. Each Take reads one value.
class Parser {
 public:
  Parser(absl::string_view json, const MostItems& most_items, InferForm* form)
      : reader_(json, most_items),
        most_bytes_(
            most_items(InferTensorContents::descriptor()->FindFieldByName(
                "bytes_contents"))),
        form_(*form) {}

  absl::Status Parse() {
    return reader_.ReadObject(
        [this](const std::string& key) -> absl::StatusOr<bool> {
          if (reader_.TakeNull()) return true;
          if (key == "model_name") {
            return Known(TakeText(key, Request().mutable_model_name()));
          }
          if (key == "model_version") {
            return Known(TakeText(key, Request().mutable_model_version()));
          }
          if (key == "id") return Known(TakeText(key, Request().mutable_id()));
          if (key == "inputs") return Known(TakeInputs());
          if (key == "outputs") return Known(TakeOutputs());
          if (key != "parameters") return false;
          return Known(TakeParameters(key, Request().mutable_parameters()));
        });
  }

  absl::Status TakeBinaryOutput() {
    const auto flag =
        TakeFlag("binary_data_output", Request().mutable_parameters(), false);
    if (flag.ok()) form_.binary_output = *flag;
    return flag.status();
  }

  // Bytes of each input's binary data; -1: it has none.
  const std::vector<int64_t>& binary_sizes() const { return binary_sizes_; }

 private:
  static absl::StatusOr<bool> Known(absl::Status status) {
    if (!status.ok()) return status;
    return true;
  }

  ModelInferRequest& Request() { return form_.request; }

  absl::Status TakeText(absl::string_view path, std::string* out) {
    absl::StatusOr<std::string> text = reader_.TakeText(path);
    if (!text.ok()) return text.status();
    *out = *std::move(text);
    return absl::OkStatus();
  }

  absl::Status TakeParameters(const std::string& path, InferParameters* out) {
    return reader_.TakeObject(
        path, [&, this](const std::string& key) -> absl::StatusOr<bool> {
          if (out->size() >= RequestLimits::kMaxTensorItems) {
            return base::InvalidField(
                path, absl::StrCat(path, " has more than ",
                                   RequestLimits::kMaxTensorItems,
                                   " items, which are allowed"));
          }
          const std::string name = absl::StrCat(path, ".", key);
          const auto raw = reader_.TakeScalar(name);
          if (!raw.ok()) return raw.status();
          if (*raw == "null") return true;
          InferParameter& parameter = (*out)[key];
          int64_t whole = 0;
          double number = 0;
          if (absl::StartsWith(*raw, "\"")) {
            parameter.set_string_param(
                base::JsonUnescape(raw->substr(1, raw->size() - 2)));
          } else if (*raw == "true" || *raw == "false") {
            parameter.set_bool_param(*raw == "true");
          } else if (absl::SimpleAtoi(*raw, &whole)) {
            parameter.set_int64_param(whole);
          } else if (absl::SimpleAtod(*raw, &number) && std::isfinite(number)) {
            parameter.set_double_param(number);
          } else {
            return base::InvalidField(
                name, absl::StrCat(base::Quoted(name), " must be a number"));
          }
          return true;
        });
  }

  // Takes a parameter that is this layer's own out of them.
  static absl::StatusOr<bool> TakeFlag(const std::string& name,
                                       InferParameters* parameters,
                                       bool otherwise) {
    const auto found = parameters->find(name);
    if (found == parameters->end()) return otherwise;
    if (found->second.parameter_choice_case() != InferParameter::kBoolParam) {
      return base::InvalidField(
          name, absl::StrCat("the parameter ", name, " must be true or false"));
    }
    const bool flag = found->second.bool_param();
    parameters->erase(found);
    return flag;
  }

  absl::Status TakeInputs() {
    return reader_.TakeList(
        "inputs", RequestLimits::kMaxTensorItems,
        [this](int i) { return TakeInput(absl::StrCat("inputs[", i, "]")); });
  }

  absl::Status TakeInput(const std::string& path) {
    ModelInferRequest::InferInputTensor* const input = Request().add_inputs();
    bool has_data = false;
    absl::Status taken = reader_.TakeObject(
        path, [&, this](const std::string& key) -> absl::StatusOr<bool> {
          const std::string name = absl::StrCat(path, ".", key);
          if (key == "name")
            return Known(TakeText(name, input->mutable_name()));
          if (key == "datatype") {
            return Known(TakeText(name, input->mutable_datatype()));
          }
          if (key == "shape") {
            return Known(reader_.TakeField(
                input, input->GetDescriptor()->FindFieldByName(key), name));
          }
          if (key == "parameters") {
            if (reader_.TakeNull()) return true;
            return Known(TakeParameters(name, input->mutable_parameters()));
          }
          if (key != "data") return false;
          if (reader_.TakeNull()) return true;
          has_data = true;
          return Known(TakeData(name, input->mutable_contents(), 0));
        });
    if (!taken.ok()) return taken;
    return TakeBinarySize(path, has_data, input->mutable_parameters());
  }

  absl::Status TakeBinarySize(const std::string& path, bool has_data,
                              InferParameters* parameters) {
    const auto size = parameters->find("binary_data_size");
    if ((size != parameters->end()) == has_data) {
      return base::InvalidField(
          path, absl::StrCat(path, has_data ? " has both" : " has neither",
                             " `data` and the parameter binary_data_size; its "
                             "elements are in one of both places"));
    }
    if (has_data) {
      binary_sizes_.push_back(-1);
      return absl::OkStatus();
    }
    if (size->second.parameter_choice_case() != InferParameter::kInt64Param ||
        size->second.int64_param() < 0) {
      return base::InvalidField(
          path, absl::StrCat(path,
                             ".parameters.binary_data_size must be a whole "
                             "number from 0"));
    }
    binary_sizes_.push_back(size->second.int64_param());
    parameters->erase(size);
    return absl::OkStatus();
  }

  // Texts, in lists of lists or not.
  absl::Status TakeData(const std::string& path, InferTensorContents* contents,
                        int nested) {
    return reader_.TakeList(
        path, most_bytes_, [&, this](int i) -> absl::Status {
          const std::string name = absl::StrCat(path, "[", i, "]");
          if (reader_.AtList() && nested < kMaxNested) {
            return TakeData(name, contents, nested + 1);
          }
          if (contents->bytes_contents_size() >= most_bytes_) {
            return base::InvalidField(
                path, absl::StrCat(path, " has more than ", most_bytes_,
                                   " items, which are allowed"));
          }
          return TakeText(name, contents->add_bytes_contents());
        });
  }

  absl::Status TakeOutputs() {
    return reader_.TakeList(
        "outputs", RequestLimits::kMaxTensorItems,
        [this](int i) { return TakeOutput(absl::StrCat("outputs[", i, "]")); });
  }

  absl::Status TakeOutput(const std::string& path) {
    auto* const output = Request().add_outputs();
    absl::Status taken = reader_.TakeObject(
        path, [&, this](const std::string& key) -> absl::StatusOr<bool> {
          const std::string name = absl::StrCat(path, ".", key);
          if (key == "name") {
            return Known(TakeText(name, output->mutable_name()));
          }
          if (key != "parameters") return false;
          if (reader_.TakeNull()) return true;
          return Known(TakeParameters(name, output->mutable_parameters()));
        });
    if (!taken.ok()) return taken;
    if (output->parameters().contains("binary_data")) {
      const auto flag =
          TakeFlag("binary_data", output->mutable_parameters(), false);
      if (!flag.ok()) return flag.status();
      form_.binary[output->name()] = *flag;
    }
    return absl::OkStatus();
  }

  JsonMessageReader reader_;
  const int64_t most_bytes_;
  InferForm& form_;
  std::vector<int64_t> binary_sizes_;
};

// Cuts the binary data into those of the inputs.
absl::Status TakeBinary(const std::vector<int64_t>& sizes, std::string binary,
                        std::vector<std::string>* raw) {
  size_t at = 0;
  for (const int64_t size : sizes) {
    if (size < 0) continue;
    const uint64_t left = binary.size() - at;
    if (static_cast<uint64_t>(size) > left) {
      return base::InvalidField(
          "binary_data_size",
          absl::StrCat("a binary_data_size is ", size, "; ", left,
                       " bytes of the body are left behind the JSON and the "
                       "inputs before"));
    }
    if (at == 0 && static_cast<size_t>(size) == binary.size()) {
      raw->push_back(std::move(binary));
      return absl::OkStatus();
    }
    raw->push_back(binary.substr(at, static_cast<size_t>(size)));
    at += static_cast<size_t>(size);
  }
  if (at == binary.size()) return absl::OkStatus();
  return base::InvalidField(
      "binary_data_size",
      absl::StrCat("the inputs' binary_data_size add up to ", at,
                   "; the body has ", binary.size(), " bytes behind the JSON (",
                   kInferenceHeader, ")"));
}

// The elements as JSON, row by row.
void AppendData(absl::string_view datatype, const InferTensorContents& contents,
                std::string* out) {
  const auto append = [out](const auto& list, const auto& append_one) {
    out->push_back('[');
    for (int i = 0; i < list.size(); ++i) {
      if (i > 0) out->append(", ");
      append_one(list.Get(i));
    }
    out->push_back(']');
  };
  if (datatype == kFp32) {
    append(contents.fp32_contents(),
           [out](float number) { AppendNumber(number, out); });
  } else if (datatype == kInt32) {
    append(contents.int_contents(),
           [out](int32_t number) { absl::StrAppend(out, number); });
  } else if (datatype == kBool) {
    append(contents.bool_contents(),
           [out](bool value) { out->append(value ? "true" : "false"); });
  } else {
    append(contents.bytes_contents(), [out](const std::string& text) {
      base::AppendJsonString(text, out);
    });
  }
}
}  // namespace

bool InferForm::IsBinary(const std::string& output) const {
  const auto found = binary.find(output);
  return found == binary.end() ? binary_output : found->second;
}

absl::StatusOr<InferForm> ParseInfer(absl::string_view json, std::string binary,
                                     const MostItems& most_items) {
  InferForm form;
  Parser parser(json, most_items, &form);
  absl::Status status = parser.Parse();
  if (status.ok()) status = parser.TakeBinaryOutput();
  if (status.ok()) {
    status = TakeBinary(parser.binary_sizes(), std::move(binary), &form.raw);
  }
  if (!status.ok()) return status;
  for (auto& input : *form.request.mutable_inputs()) {
    if (input.name() != "image") continue;
    auto* const images = input.mutable_contents()->mutable_bytes_contents();
    for (int i = 0; i < images->size(); ++i) {
      absl::StatusOr<std::string> image =
          DecodeImageText(images->Get(i), absl::StrCat("image[", i, "]"));
      if (!image.ok()) return image.status();
      *images->Mutable(i) = *std::move(image);
    }
  }
  return form;
}

absl::StatusOr<Response> InferAnswer(const InferForm& form,
                                     inference::ModelInferResponse* answer) {
  const bool raw = answer->raw_output_contents_size() > 0;
  if (raw && answer->raw_output_contents_size() != answer->outputs_size()) {
    return absl::InternalError("the answer is damaged");
  }
  std::string json = "{", binary;
  bool any_binary = false;
  if (!answer->id().empty()) {
    AppendText("id", answer->id(), &json);
    json += ", ";
  }
  AppendText("model_name", answer->model_name(), &json);
  json += ", ";
  AppendText("model_version", answer->model_version(), &json);
  json += ", \"outputs\": [";
  for (int i = 0; i < answer->outputs_size(); ++i) {
    auto& output = *answer->mutable_outputs(i);
    json += i > 0 ? ", {" : "{";
    AppendText("name", output.name(), &json);
    json += ", ";
    AppendText("datatype", output.datatype(), &json);
    json += ", \"shape\": ";
    AppendShape(output.shape(), &json);
    if (form.IsBinary(output.name())) {
      any_binary = true;
      const std::string bytes =
          raw ? std::move(*answer->mutable_raw_output_contents(i))
              : RawOf(output.datatype(), output.contents());
      absl::StrAppend(&json,
                      ", \"parameters\": {\"binary_data_size\": ", bytes.size(),
                      "}}");
      binary += bytes;
      continue;
    }
    if (raw && !FromRaw(output.datatype(), answer->raw_output_contents(i),
                        output.mutable_contents())) {
      return absl::InternalError("the answer is damaged");
    }
    json += ", \"data\": ";
    AppendData(output.datatype(), output.contents(), &json);
    json += "}";
  }
  json += "]}";
  Response response;
  if (any_binary) {
    response.content_type = "application/octet-stream";
    response.headers.emplace_back(kInferenceHeader, absl::StrCat(json.size()));
  }
  response.body = std::move(json);
  response.body += binary;
  return response;
}

void AppendText(absl::string_view key, absl::string_view text,
                std::string* out) {
  absl::StrAppend(out, "\"", key, "\": ");
  base::AppendJsonString(text, out);
}

}  // namespace zeroshot::server::http
