#include "server/inference/tensors.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/error_info.h"
#include "base/little_endian.h"
#include "base/quoted.h"
#include "server/grpc_status.h"
#include "server/inference/parameters.h"

namespace zeroshot::server {
namespace {

using inference::InferTensorContents;
using inference::ModelInferRequest;
using inference::ModelInferResponse;

// Of an element of BYTES.
constexpr size_t kLengthBytes = 4;

std::string LengthOf(size_t size) {
  std::string bytes(kLengthBytes, '\0');
  for (size_t i = 0; i < kLengthBytes; ++i) {
    bytes[i] = static_cast<char>(size >> (8 * i) & 0xff);
  }
  return bytes;
}

absl::StatusOr<int64_t> CheckShape(
    const Tensor& input, int most,
    const ModelInferRequest::InferInputTensor& tensor) {
  const auto& shape = tensor.shape();
  const bool good = (shape.size() == 1 || (shape.size() == 2 && shape[1] == 1));
  if (!good || shape[0] < 1 || shape[0] > most) {
    return base::InvalidField(
        input.name,
        absl::StrCat(input.name, " has the shape [", absl::StrJoin(shape, ", "),
                     "]; [n] and [n, 1] are allowed, n from 1 to ", most,
                     " (--max_batch_items)"));
  }
  return shape[0];
}

// [LENGTH BYTES]... of `count` elements.
absl::StatusOr<std::vector<std::string>> SplitRaw(absl::string_view name,
                                                  int64_t count,
                                                  std::string raw) {
  const auto wrong = [&](int64_t i, absl::string_view what) {
    const std::string field = absl::StrCat(name, "[", i, "]");
    return base::InvalidField(field, absl::StrCat(field, " ", what));
  };
  std::vector<std::string> elements;
  elements.reserve(count);
  absl::string_view left = raw;
  for (int64_t i = 0; i < count; ++i) {
    if (left.size() < kLengthBytes) {
      return wrong(i,
                   absl::StrCat("is not there: its length takes 4 bytes, and ",
                                left.size(), " are left of the raw bytes"));
    }
    const uint64_t size = base::LittleEndian(left.substr(0, kLengthBytes));
    left.remove_prefix(kLengthBytes);
    if (size > left.size()) {
      return wrong(i, absl::StrCat("has ", size, " bytes, says its length; ",
                                   left.size(), " are left of the raw bytes"));
    }
    if (count == 1 && size == left.size()) {
      raw.erase(0, kLengthBytes);  // without a copy beside it
      elements.push_back(std::move(raw));
      return elements;
    }
    elements.emplace_back(left.substr(0, size));
    left.remove_prefix(size);
  }
  if (left.empty()) return elements;
  return base::InvalidField(
      name, absl::StrCat("the raw bytes of ", name, " have ", left.size(),
                         " more than the ", count,
                         " elements that its shape "
                         "says"));
}

// Which kind of elements there are beside bytes_contents, or null.
const char* OtherContents(const InferTensorContents& contents) {
  if (contents.bool_contents_size() > 0) return "bool_contents";
  if (contents.int_contents_size() > 0) return "int_contents";
  if (contents.int64_contents_size() > 0) return "int64_contents";
  if (contents.uint_contents_size() > 0) return "uint_contents";
  if (contents.uint64_contents_size() > 0) return "uint64_contents";
  if (contents.fp32_contents_size() > 0) return "fp32_contents";
  if (contents.fp64_contents_size() > 0) return "fp64_contents";
  return nullptr;
}

// KServe's client says of raw bytes how many there are.
absl::Status CheckInputParameters(const Tensor& input,
                                  const ModelInferRequest& request) {
  const std::string whose = absl::StrCat("the input '", input.name, "'");
  for (const auto& [name, parameter] : request.inputs(0).parameters()) {
    if (name != "binary_data_size") return UnknownParameter(name, whose, "");
    const int64_t size =
        request.raw_input_contents_size() == 0
            ? 0
            : static_cast<int64_t>(request.raw_input_contents(0).size());
    if (parameter.int64_param() != size) {
      return base::InvalidField(
          "binary_data_size",
          absl::StrCat("the parameter binary_data_size of ", whose, " is ",
                       parameter.int64_param(), "; raw_input_contents has ",
                       size, " bytes"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckInputs(const Tensor& input,
                         const ModelInferRequest& request) {
  for (const auto& tensor : request.inputs()) {
    if (tensor.name() == input.name) continue;
    return base::InvalidField(
        "inputs",
        absl::StrCat("there is no input ", base::Quoted(tensor.name()),
                     "; the model's input is '", input.name, "'"));
  }
  if (request.inputs_size() != 1) {
    return base::InvalidField(
        "inputs",
        absl::StrCat("there are ", request.inputs_size(),
                     " inputs; the model has one, '", input.name, "'"));
  }
  const auto& tensor = request.inputs(0);
  if (tensor.datatype() != input.datatype) {
    return base::InvalidField(
        input.name,
        absl::StrCat(input.name, " has the datatype ",
                     base::Quoted(tensor.datatype()), "; it must be ",
                     input.datatype,
                     input.name == absl::string_view("image")
                         ? ": each element is a file, such as a JPEG's bytes"
                         : ": each element is a text in UTF-8"));
  }
  return CheckInputParameters(input, request);
}

std::string NamesOf(const std::vector<Tensor>& tensors) {
  return absl::StrJoin(tensors, ", ", [](std::string* out, const Tensor& t) {
    absl::StrAppend(out, "'", t.name, "'");
  });
}

}  // namespace

absl::StatusOr<std::vector<std::string>> TakeElements(
    const Tensor& input, int most, ModelInferRequest* request) {
  absl::Status good = CheckInputs(input, *request);
  if (!good.ok()) return good;
  const absl::StatusOr<int64_t> count =
      CheckShape(input, most, request->inputs(0));
  if (!count.ok()) return count.status();
  InferTensorContents* const contents =
      request->mutable_inputs(0)->mutable_contents();
  if (const char* const other = OtherContents(*contents)) {
    return base::InvalidField(
        input.name,
        absl::StrCat(input.name, " has ", other, "; BYTES are bytes_contents"));
  }
  if (request->raw_input_contents_size() == 0) {
    auto* const bytes = contents->mutable_bytes_contents();
    if (bytes->size() != *count) {
      return base::InvalidField(
          input.name,
          absl::StrCat(input.name, " has ", bytes->size(),
                       " elements in bytes_contents; its shape says ", *count));
    }
    return std::vector<std::string>(std::make_move_iterator(bytes->begin()),
                                    std::make_move_iterator(bytes->end()));
  }
  if (request->raw_input_contents_size() > 1 ||
      contents->bytes_contents_size() > 0) {
    return base::InvalidField(
        "raw_input_contents",
        absl::StrCat("raw_input_contents has ",
                     request->raw_input_contents_size(), " items beside ",
                     contents->bytes_contents_size(),
                     " of bytes_contents; the one input has its elements in "
                     "one place"));
  }
  return SplitRaw(input.name, *count,
                  std::move(*request->mutable_raw_input_contents(0)));
}

absl::StatusOr<std::vector<int>> WantedOutputs(
    const std::vector<Tensor>& offered, const ModelInferRequest& request) {
  std::vector<int> wanted;
  if (request.outputs_size() == 0) {
    for (size_t i = 0; i < offered.size(); ++i) {
      wanted.push_back(static_cast<int>(i));
    }
    return wanted;
  }
  for (const auto& output : request.outputs()) {
    const auto found = std::find_if(
        offered.begin(), offered.end(),
        [&](const Tensor& tensor) { return tensor.name == output.name(); });
    if (found == offered.end()) {
      return base::InvalidField(
          "outputs",
          absl::StrCat("there is no output ", base::Quoted(output.name()),
                       "; there are ", NamesOf(offered)));
    }
    absl::Status none = CheckNoneOf(
        output.parameters(), absl::StrCat("the output '", output.name(), "'"));
    if (!none.ok()) return none;
    const int place = static_cast<int>(found - offered.begin());
    if (std::find(wanted.begin(), wanted.end(), place) != wanted.end()) {
      return base::InvalidField(
          "outputs",
          absl::StrCat("the output '", output.name(), "' is asked for twice"));
    }
    wanted.push_back(place);
  }
  return wanted;
}

absl::Status ClassesToTensors(const v1::ClassifyBatchResponse& classes,
                              const std::vector<Tensor>& offered,
                              const std::vector<int>& wanted,
                              ModelInferResponse* response) {
  for (int i = 0; i < classes.items_size(); ++i) {
    const absl::Status status = FromItemStatus(classes.items(i).status());
    if (!status.ok()) {
      return base::WithPrefix(absl::StrCat("image[", i, "]: "), status);
    }
  }
  const int images = classes.items_size();
  const int columns = classes.items(0).answer().predictions_size();
  for (const int place : wanted) {
    const Tensor& tensor = offered[place];
    auto* const output = response->add_outputs();
    output->set_name(std::string(tensor.name));
    output->set_datatype(std::string(tensor.datatype));
    output->add_shape(images);
    InferTensorContents* const contents = output->mutable_contents();
    if (tensor.columns == 1) {
      output->add_shape(1);
      for (const v1::ClassifyBatchItem& item : classes.items()) {
        contents->add_fp32_contents(item.answer().other_probability());
      }
      continue;
    }
    output->add_shape(columns);
    for (const v1::ClassifyBatchItem& item : classes.items()) {
      for (const v1::Prediction& prediction : item.answer().predictions()) {
        if (tensor.datatype == kBytes) {
          contents->add_bytes_contents(prediction.class_name());
        } else if (tensor.datatype == kInt32) {
          contents->add_int_contents(prediction.class_index());
        } else if (tensor.datatype == kBool) {
          contents->add_bool_contents(prediction.accepted());
        } else {
          contents->add_fp32_contents(prediction.probability());
        }
      }
    }
  }
  return absl::OkStatus();
}

template <typename Embedded>
absl::Status VectorsToTensor(const Tensor& input, Embedded* embedded,
                             ModelInferResponse* response) {
  for (int i = 0; i < embedded->statuses_size(); ++i) {
    const absl::Status status = FromItemStatus(embedded->statuses(i));
    if (!status.ok()) {
      return base::WithPrefix(absl::StrCat(input.name, "[", i, "]: "), status);
    }
  }
  auto* const output = response->add_outputs();
  output->set_name("embedding");
  output->set_datatype(kFp32);
  output->add_shape(embedded->statuses_size());
  output->add_shape(embedded->embedding_dim());
  output->mutable_contents()->mutable_fp32_contents()->Swap(
      embedded->mutable_embeddings());
  return absl::OkStatus();
}

template absl::Status VectorsToTensor(const Tensor&, v1::EmbedImagesResponse*,
                                      ModelInferResponse*);
template absl::Status VectorsToTensor(const Tensor&, v1::EmbedTextsResponse*,
                                      ModelInferResponse*);

// Numbers in memory are little-endian on all machines that this runs on.
std::string RawOf(absl::string_view datatype,
                  const InferTensorContents& contents) {
  const auto bytes_of = [](const auto& list) {
    return std::string(reinterpret_cast<const char*>(list.data()),
                       list.size() * sizeof(list[0]));
  };
  if (datatype == kFp32) return bytes_of(contents.fp32_contents());
  if (datatype == kInt32) return bytes_of(contents.int_contents());
  std::string raw;
  if (datatype == kBool) {
    for (const bool value : contents.bool_contents()) {
      raw.push_back(value ? 1 : 0);
    }
    return raw;
  }
  for (const std::string& element : contents.bytes_contents()) {
    raw += LengthOf(element.size());
    raw += element;
  }
  return raw;
}

bool FromRaw(absl::string_view datatype, absl::string_view raw,
             InferTensorContents* contents) {
  const auto copy = [raw](auto* list) {
    using Number = std::decay_t<decltype(list->Get(0))>;
    if (raw.size() % sizeof(Number) != 0) return false;
    list->Resize(static_cast<int>(raw.size() / sizeof(Number)), Number());
    if (!raw.empty()) std::memcpy(list->mutable_data(), raw.data(), raw.size());
    return true;
  };
  if (datatype == kFp32) return copy(contents->mutable_fp32_contents());
  if (datatype == kInt32) return copy(contents->mutable_int_contents());
  if (datatype == kBool) {
    for (const char value : raw) contents->add_bool_contents(value != 0);
    return true;
  }
  while (!raw.empty()) {
    if (raw.size() < kLengthBytes) return false;
    const uint64_t size = base::LittleEndian(raw.substr(0, kLengthBytes));
    raw.remove_prefix(kLengthBytes);
    if (size > raw.size()) return false;
    contents->add_bytes_contents(std::string(raw.substr(0, size)));
    raw.remove_prefix(size);
  }
  return true;
}

void MakeRaw(ModelInferResponse* response) {
  for (auto& output : *response->mutable_outputs()) {
    response->add_raw_output_contents(
        RawOf(output.datatype(), output.contents()));
    output.clear_contents();
  }
}

}  // namespace zeroshot::server
