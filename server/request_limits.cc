#include "server/request_limits.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include "absl/strings/str_cat.h"
#include "base/error_info.h"
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

// Counts what a message of `type` holds, down to its limit in `in`. False: the
// bytes are none, or hold a group, which no version of the contract has.
bool Count(const Descriptor* type, CodedInputStream* in, Counts* counts) {
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
        if (field == nullptr ||
            field->type() != FieldDescriptor::TYPE_MESSAGE) {
          if (!in->Skip(static_cast<int>(size))) return false;
          break;
        }
        const auto [outer, depth] =
            in->IncrementRecursionDepthAndPushLimit(static_cast<int>(size));
        if (depth < 0 || !Count(field->message_type(), in, counts) ||
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
      std::string text;
      in->ReadString(&text, static_cast<int>(size));
      if (!google::protobuf::internal::IsStructurallyValidUTF8(
              text.data(), static_cast<int>(text.size()))) {
        return name;
      }
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
  limits_[Field(v1::ClassDefinition::descriptor(), "prompts")] = {
      builds.max_prompts, "max_prompts"};
  // One set is named by weight_set_id.
  limits_[Field(v1::ClassifyRequest::descriptor(), "more_weight_set_ids")] = {
      options.max_weight_sets - 1, "max_weight_sets, weight_set_id being one"};
  limits_[Field(v1::EmbedImagesRequest::descriptor(), "images")] = {
      options.max_batch_items, "max_batch_items"};
  limits_[Field(v1::EmbedTextsRequest::descriptor(), "texts")] = {
      options.max_batch_items, "max_batch_items"};
  limits_[Field(v1::ImportWeightSetRequest::descriptor(), "class_names")] = {
      builds.max_classes, "max_classes"};
}

absl::Status RequestLimits::Parse(grpc::ByteBuffer* bytes,
                                  google::protobuf::Message* request) const {
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
  bool good = true;
  {
    grpc::ProtoBufferReader reader(bytes);
    CodedInputStream in(&reader);
    good = Count(type, &in, &counts);
  }
  for (const auto& [field, count] : counts) {
    const auto limit = limits_.find(field);
    if (limit != limits_.end() && count > limit->second.most) {
      return base::InvalidField(
          field->name(),
          absl::StrCat(field->name(), " has ", count, " items; at most ",
                       limit->second.most, " are allowed (--",
                       limit->second.flag, ")"));
    }
    if (field == nullptr && count > kMaxUnknownFields) {
      return absl::InvalidArgumentError(
          absl::StrCat("the ", type->name(), " has ", count,
                       " fields that are not known here; at most ",
                       kMaxUnknownFields, " are allowed"));
    }
  }
  std::string bad_text;
  if (good) {
    const grpc::ByteBuffer kept = *bytes;
    good = grpc::SerializationTraits<google::protobuf::Message>::Deserialize(
               bytes, request)
               .ok();
    if (!good) {
      grpc::ByteBuffer again = kept;
      grpc::ProtoBufferReader reader(&again);
      CodedInputStream in(&reader);
      bad_text = BadText(type, &in);
    }
  }
  bytes->Clear();
  if (good) return absl::OkStatus();
  if (!bad_text.empty()) {
    return base::InvalidField(bad_text,
                              absl::StrCat(bad_text, " is not UTF-8"));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "the request is damaged: its bytes are no ", type->full_name()));
}

}  // namespace zeroshot::server
