#include "server/request_limits.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "base/in_background.h"
#include "inference/inference.pb.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::server {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// How often each list's items occur; null: fields that are not known here.
using Counts = std::map<const FieldDescriptor*, int64_t>;

const FieldDescriptor* Field(const Descriptor* type, const char* name) {
  return type->FindFieldByName(name);
}

// Whether a list has its items in one piece on the wire, in a byte or more
// each, and in more bytes than that in memory.
bool Grows(const FieldDescriptor* field) {
  if (field == nullptr || !field->is_packable()) return false;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_BOOL:
      return false;
    default:
      return true;
  }
}

// The texts of a message, read one after the other.
class Texts {
 public:
  // False: the bytes end before the text does.
  bool Read(CodedInputStream* in, int size) {
    if (!in->ReadString(&text_, size)) return false;
    all_good_ = all_good_ && IsUtf8();
    return true;
  }
  // Of the last one.
  bool IsUtf8() const {
    return google::protobuf::internal::IsStructurallyValidUTF8(
        text_.data(), static_cast<int>(text_.size()));
  }
  bool all_good() const { return all_good_; }

 private:
  std::string text_;
  bool all_good_ = true;
};

// Counts what a message of `type` holds, down to its limit in `in`. False: the
// bytes are none, or hold a group, which no version of the contract has.
bool Count(const Descriptor* type, CodedInputStream* in, Counts* counts,
           Texts* texts) {
  const FieldDescriptor* last = nullptr;
  int64_t* count = nullptr;  // of last
  while (const uint32_t tag = in->ReadTag()) {
    const FieldDescriptor* const field =
        type->FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
    if (field == nullptr || field->is_repeated()) {
      // Most items of a list stand one after the other.
      if (count == nullptr || field != last) count = &(*counts)[field];
      last = field;
      ++*count;
    }
    switch (WireFormatLite::GetTagWireType(tag)) {
      case WireFormatLite::WIRETYPE_LENGTH_DELIMITED: {
        uint32_t size = 0;
        if (!in->ReadVarint32(&size)) return false;
        if (Grows(field)) *count += size;  // at most
        if (field != nullptr && field->type() == FieldDescriptor::TYPE_STRING) {
          if (!texts->Read(in, static_cast<int>(size))) return false;
          break;
        }
        if (field == nullptr ||
            field->type() != FieldDescriptor::TYPE_MESSAGE) {
          if (!in->Skip(static_cast<int>(size))) return false;
          break;
        }
        const auto [outer, depth] =
            in->IncrementRecursionDepthAndPushLimit(static_cast<int>(size));
        if (depth < 0 || !Count(field->message_type(), in, counts, texts) ||
            !in->DecrementRecursionDepthAndPopLimit(outer)) {
          return false;
        }
        break;
      }
      case WireFormatLite::WIRETYPE_START_GROUP:
      case WireFormatLite::WIRETYPE_END_GROUP:
        return false;
      default:
        if (!WireFormatLite::SkipField(in, tag)) return false;
    }
  }
  return in->ConsumedEntireMessage();
}

// The first text in a message of `type` that is not UTF-8, such as
// "classes[3].name"; empty if there is none. REQUIRES: Count took the message.
std::string BadText(const Descriptor* type, CodedInputStream* in) {
  std::map<const FieldDescriptor*, int64_t> seen;
  while (const uint32_t tag = in->ReadTag()) {
    const FieldDescriptor* const field =
        type->FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
    if (field == nullptr || WireFormatLite::GetTagWireType(tag) !=
                                WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      WireFormatLite::SkipField(in, tag);
      continue;
    }
    std::string name = field->name();
    if (field->is_repeated()) absl::StrAppend(&name, "[", seen[field]++, "]");
    uint32_t size = 0;
    in->ReadVarint32(&size);
    if (field->type() == FieldDescriptor::TYPE_MESSAGE) {
      const auto outer = in->PushLimit(static_cast<int>(size));
      const std::string inner = BadText(field->message_type(), in);
      if (!inner.empty()) return absl::StrCat(name, ".", inner);
      in->PopLimit(outer);
    } else if (field->type() == FieldDescriptor::TYPE_STRING) {
      Texts text;
      text.Read(in, static_cast<int>(size));
      if (!text.all_good()) return name;
    } else {
      in->Skip(static_cast<int>(size));
    }
  }
  return "";
}

}  // namespace

RequestLimits::RequestLimits(const ServerOptions& options) {
  const Descriptor* const build = v1::BuildClassifierRequest::descriptor();
  const BuildLimits& builds = options.build;
  limits_[Field(build, "classes")] = {builds.max_classes, "max_classes"};
  limits_[Field(build, "templates")] = {builds.max_templates, "max_templates"};
  limits_[Field(build, "background")] = {builds.max_classes, "max_classes"};
  limits_[Field(v1::ClassDefinition::descriptor(), "prompts")] = {
      builds.max_prompts, "max_prompts"};
  limits_[Field(v1::ClassDefinition::descriptor(), "example_images")] = {
      builds.max_examples, "max_examples"};
  const Limit batch = {options.max_batch_items, "max_batch_items"};
  limits_[Field(v1::ClassifyBatchRequest::descriptor(), "images")] = batch;
  for (const Descriptor* const classify :
       {v1::ClassifyRequest::descriptor(),
        v1::ClassifyBatchRequest::descriptor()}) {
    // One set is named by weight_set_id.
    limits_[Field(classify, "more_weight_set_ids")] = {
        options.max_weight_sets - 1,
        "max_weight_sets, weight_set_id being one"};
  }
  // Numbers are as large in memory as on the wire: their message is the limit.
  // (JSON's are counted while they are read.)
  const Limit floats = {options.max_request_bytes / int64_t{sizeof(float)},
                        "max_request_bytes"};
  limits_[Field(v1::ClassDefinition::descriptor(), "example_embeddings")] =
      floats;
  limits_[Field(v1::ClassifyBatchRequest::descriptor(), "embeddings")] = floats;
  limits_[Field(v1::EmbedImagesRequest::descriptor(), "images")] = batch;
  limits_[Field(v1::EmbedTextsRequest::descriptor(), "texts")] = batch;
  LimitTensors(batch);
  limits_[Field(v1::ImportWeightSetHeader::descriptor(), "class_names")] = {
      builds.max_classes, "max_classes"};
  // Each class has a prompt, or an example.
  for (const FieldDescriptor* const field :
       {Field(build, "classes"), Field(build, "background"),
        Field(v1::ClassDefinition::descriptor(), "prompts"),
        Field(v1::ClassDefinition::descriptor(), "example_images")}) {
    if (limits_[field].most > options.max_inline_prompts) {
      inline_limits_[field] = {options.max_inline_prompts,
                               "max_inline_prompts"};
    }
  }
}

void RequestLimits::LimitTensors(const Limit& batch) {
  using inference::ModelInferRequest;
  const Descriptor* const infer = ModelInferRequest::descriptor();
  const Descriptor* const input =
      ModelInferRequest::InferInputTensor::descriptor();
  const Descriptor* const output =
      ModelInferRequest::InferRequestedOutputTensor::descriptor();
  const Descriptor* const contents =
      inference::InferTensorContents::descriptor();
  for (const FieldDescriptor* const field :
       {Field(infer, "inputs"), Field(infer, "outputs"),
        Field(infer, "raw_input_contents"), Field(infer, "parameters"),
        Field(input, "parameters"), Field(output, "parameters"),
        Field(input, "shape")}) {
    limits_[field] = {kMaxTensorItems, ""};
  }
  // No model takes them, which is better said than that they are many.
  for (const char* const name :
       {"int_contents", "int64_contents", "uint_contents", "uint64_contents"}) {
    limits_[Field(contents, name)] = {kMaxNumbers, ""};
  }
  limits_[Field(contents, "bytes_contents")] = batch;
}

int64_t RequestLimits::MostItems(const FieldDescriptor* field) const {
  const auto it = limits_.find(field);
  return it == limits_.end() ? kMaxUnknownFields : it->second.most;
}

absl::Status RequestLimits::Parse(grpc::ByteBuffer* bytes,
                                  google::protobuf::Message* request) const {
  if (bytes->Length() <= kMostBytesInPlace) return ParseHere(bytes, request);
  return base::InBackground([&] { return ParseHere(bytes, request); });
}

absl::Status RequestLimits::ParseHere(
    grpc::ByteBuffer* bytes, google::protobuf::Message* request) const {
  const Descriptor* const type = request->GetDescriptor();
  bool plain = true;
  for (int i = 0; i < type->field_count(); ++i) {
    plain = plain && !type->field(i)->is_repeated() &&
            type->field(i)->type() != FieldDescriptor::TYPE_BYTES;
  }
  if (plain && static_cast<int64_t>(bytes->Length()) > kMaxPlainBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ", type->name(), " has ", bytes->Length(),
                     " bytes; at most ", kMaxPlainBytes, " are allowed"));
  }
  Counts counts;
  Texts texts;
  bool good = true;
  {
    grpc::ProtoBufferReader reader(bytes);
    CodedInputStream in(&reader);
    good = Count(type, &in, &counts, &texts);
  }
  const bool builds = type == v1::BuildClassifierRequest::descriptor();
  for (const auto& [field, count] : counts) {
    const auto plain_limit = limits_.find(field);
    const auto inline_limit = inline_limits_.find(field);
    const bool within = !builds && inline_limit != inline_limits_.end();
    if (!within && plain_limit == limits_.end()) {
      if (field != nullptr || count <= kMaxUnknownFields) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("the ", type->name(), " has ", count,
                       " fields that are not known here; at most ",
                       kMaxUnknownFields, " are allowed"));
    }
    const Limit& limit = within ? inline_limit->second : plain_limit->second;
    if (count > limit.most) {
      const std::string name =
          absl::StrCat(within ? "classifier." : "", field->name());
      return base::InvalidField(
          name,
          absl::StrCat(
              name, " has ", count, " items; at most ", limit.most,
              " are allowed",
              limit.flag.empty() ? "" : absl::StrCat(" (--", limit.flag, ")")));
    }
  }
  if (good && !texts.all_good()) {
    grpc::ProtoBufferReader reader(bytes);
    CodedInputStream in(&reader);
    const std::string bad = BadText(type, &in);
    return base::InvalidField(bad, absl::StrCat(bad, " is not UTF-8"));
  }
  good =
      good && grpc::SerializationTraits<google::protobuf::Message>::Deserialize(
                  bytes, request)
                  .ok();
  bytes->Clear();
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the request is damaged: its bytes are no ", type->full_name()));
}

}  // namespace zeroshot::server
