#include "client/convert.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/grpc_status.h"
#include "client/utf8.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace zeroshot::client {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

absl::Status CheckText(const Message& message, const std::string& prefix) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const bool is_text = field->type() == FieldDescriptor::TYPE_STRING;
    if (!is_text && field->type() != FieldDescriptor::TYPE_MESSAGE) continue;
    const bool repeated = field->is_repeated();
    const int count = repeated ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const std::string name =
          absl::StrCat(prefix, field->name(),
                       repeated ? absl::StrCat("[", i, "]") : std::string());
      if (!is_text) {
        absl::Status inner = CheckText(
            repeated ? reflection.GetRepeatedMessage(message, field, i)
                     : reflection.GetMessage(message, field),
            absl::StrCat(name, "."));
        if (!inner.ok()) return inner;
        continue;
      }
      std::string scratch;
      const std::string& text =
          repeated ? reflection.GetRepeatedStringReference(message, field, i,
                                                           &scratch)
                   : reflection.GetStringReference(message, field, &scratch);
      const int64_t at = FirstInvalidByte(text);
      if (at < 0) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          name, " is not UTF-8: byte ", at, " is 0x",
          absl::Hex(static_cast<uint8_t>(text[at]), absl::kZeroPad2)));
    }
  }
  return absl::OkStatus();
}

ClassifyTiming FromProto(const v1::ClassifyTiming& timing) {
  return {.decode = ToDuration(timing.decode()),
          .preprocess = ToDuration(timing.preprocess()),
          .queue = ToDuration(timing.queue()),
          .compute = ToDuration(timing.compute()),
          .total = ToDuration(timing.total())};
}

// EmbedImagesResponse and EmbedTextsResponse have the same fields.
template <typename Response>
absl::StatusOr<std::vector<absl::StatusOr<Embedding>>> Embeddings(
    const Response& response, int count) {
  const int64_t dim = response.embedding_dim();
  if (response.statuses_size() != count || dim < 0 ||
      response.embeddings_size() != count * dim) {
    return absl::InternalError(
        absl::StrCat("the server answered ", count, " items with ",
                     response.statuses_size(), " statuses and ",
                     response.embeddings_size(), " floats of dimension ", dim));
  }
  std::vector<absl::StatusOr<Embedding>> results;
  results.reserve(count);
  for (int i = 0; i < count; ++i) {
    if (response.statuses(i).code() == 0) {
      const auto begin = response.embeddings().begin() + i * dim;
      results.emplace_back(Embedding(begin, begin + dim));
    } else {
      results.emplace_back(FromItemStatus(response.statuses(i)));
    }
  }
  return results;
}

// ClassifyResponse and WeightSetAnswer have these fields alike.
template <typename Response>
absl::StatusOr<Answer> ScoresFromProto(const Response& response) {
  if (response.predictions().empty()) {
    return absl::InternalError("the server answered without a prediction");
  }
  Answer answer;
  answer.predictions.reserve(response.predictions_size());
  for (const v1::Prediction& prediction : response.predictions()) {
    answer.predictions.push_back({.class_index = prediction.class_index(),
                                  .class_name = prediction.class_name(),
                                  .probability = prediction.probability(),
                                  .logit = prediction.logit(),
                                  .cosine = prediction.cosine(),
                                  .accepted = prediction.accepted()});
  }
  for (const v1::GroupScore& group : response.groups()) {
    answer.groups.push_back(
        {.group = group.group(), .probability = group.probability()});
  }
  answer.other_probability = response.other_probability();
  answer.probabilities.assign(response.probabilities().begin(),
                              response.probabilities().end());
  answer.weight_set_id = response.weight_set_id();
  return answer;
}

}  // namespace

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) +
         absl::Nanoseconds(duration.nanos());
}

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) +
         absl::Nanoseconds(time.nanos());
}

absl::Status CheckText(const Message& message) {
  return CheckText(message, "");
}

v1::BuildClassifierRequest ToProto(const ClassifierSpec& spec) {
  v1::BuildClassifierRequest request;
  for (const ClassDefinition& definition : spec.classes) {
    v1::ClassDefinition* added = request.add_classes();
    added->set_name(definition.name);
    for (const std::string& prompt : definition.prompts) {
      added->add_prompts(prompt);
    }
    if (definition.min_probability.has_value()) {
      added->set_min_probability(*definition.min_probability);
    }
    added->set_group(definition.group);
    for (const std::string& image : definition.example_images) {
      added->add_example_images(image);
    }
    added->mutable_example_embeddings()->Add(
        definition.example_embeddings.begin(),
        definition.example_embeddings.end());
    if (definition.example_weight.has_value()) {
      added->set_example_weight(*definition.example_weight);
    }
  }
  request.set_class_set(spec.class_set);
  for (const std::string& text : spec.templates) request.add_templates(text);
  request.set_template_set(spec.template_set);
  if (spec.temperature.has_value()) request.set_temperature(*spec.temperature);
  for (const std::string& name : spec.background) request.add_background(name);
  request.set_display_name(spec.display_name);
  return request;
}

ClassifierSpec FromProto(const v1::BuildClassifierRequest& request) {
  ClassifierSpec spec;
  for (const v1::ClassDefinition& definition : request.classes()) {
    ClassDefinition& added = spec.classes.emplace_back();
    added.name = definition.name();
    added.prompts = {definition.prompts().begin(), definition.prompts().end()};
    if (definition.has_min_probability()) {
      added.min_probability = definition.min_probability();
    }
    added.group = definition.group();
    added.example_images = {definition.example_images().begin(),
                            definition.example_images().end()};
    added.example_embeddings = {definition.example_embeddings().begin(),
                                definition.example_embeddings().end()};
    if (definition.has_example_weight()) {
      added.example_weight = definition.example_weight();
    }
  }
  spec.class_set = request.class_set();
  spec.templates = {request.templates().begin(), request.templates().end()};
  spec.template_set = request.template_set();
  if (request.has_temperature()) spec.temperature = request.temperature();
  spec.background = {request.background().begin(), request.background().end()};
  spec.display_name = request.display_name();
  return spec;
}

absl::StatusOr<std::vector<Answer>> FromProto(
    const v1::ClassifyResponse& response, int count) {
  if (response.more_size() != count - 1) {
    return absl::InternalError(
        absl::StrCat("the server answered for ", response.more_size() + 1,
                     " weight sets, asked for were ", count));
  }
  std::vector<Answer> answers;
  answers.reserve(count);
  absl::Status status;
  const auto add = [&](const auto& of_one_set) {
    absl::StatusOr<Answer> answer = ScoresFromProto(of_one_set);
    if (!answer.ok()) return status.Update(answer.status());
    answer->timing = FromProto(response.timing());
    answer->embedding_cached = response.embedding_cached();
    answers.push_back(*std::move(answer));
  };
  add(response);
  for (const v1::WeightSetAnswer& more : response.more()) add(more);
  if (!status.ok()) return status;
  return answers;
}

absl::StatusOr<BatchAnswer> FromProto(const v1::ClassifyBatchResponse& response,
                                      int count) {
  if (response.items_size() != count) {
    return absl::InternalError(absl::StrCat("the server answered ", count,
                                            " images with ",
                                            response.items_size(), " items"));
  }
  BatchAnswer batch;
  batch.weight_set_id = response.weight_set_id();
  batch.items.reserve(count);
  for (const v1::ClassifyBatchItem& item : response.items()) {
    if (item.status().code() != 0) {
      batch.items.emplace_back(FromItemStatus(item.status()));
      continue;
    }
    absl::StatusOr<std::vector<Answer>> answers = FromProto(item.answer(), 1);
    if (!answers.ok()) return answers.status();
    batch.items.emplace_back(std::move(answers->front()));
  }
  if (response.has_build()) batch.build = response.build();
  return batch;
}

absl::StatusOr<std::vector<absl::StatusOr<Embedding>>> FromProto(
    const v1::EmbedImagesResponse& response, int count) {
  return Embeddings(response, count);
}

absl::StatusOr<std::vector<absl::StatusOr<Embedding>>> FromProto(
    const v1::EmbedTextsResponse& response, int count) {
  return Embeddings(response, count);
}

}  // namespace zeroshot::client
