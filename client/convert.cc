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

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) +
         absl::Nanoseconds(duration.nanos());
}

BuildTiming FromProto(const v1::BuildTiming& timing) {
  return {.queue = FromProto(timing.queue()),
          .tokenize = FromProto(timing.tokenize()),
          .encode = FromProto(timing.encode()),
          .finish = FromProto(timing.finish()),
          .total = FromProto(timing.total())};
}

ClassifyTiming FromProto(const v1::ClassifyTiming& timing) {
  return {.decode = FromProto(timing.decode()),
          .preprocess = FromProto(timing.preprocess()),
          .queue = FromProto(timing.queue()),
          .compute = FromProto(timing.compute()),
          .total = FromProto(timing.total())};
}

Limits FromProto(const v1::Limits& limits) {
  return {.max_image_bytes = limits.max_image_bytes(),
          .max_image_pixels = limits.max_image_pixels(),
          .max_classes = limits.max_classes(),
          .max_templates = limits.max_templates(),
          .max_prompts = limits.max_prompts(),
          .max_text_bytes = limits.max_text_bytes(),
          .max_batch_items = limits.max_batch_items(),
          .max_inflight = limits.max_inflight(),
          .max_builds = limits.max_builds(),
          .max_request_bytes = limits.max_request_bytes(),
          .max_weight_sets = limits.max_weight_sets(),
          .max_import_bytes = limits.max_import_bytes(),
          .max_top_k = limits.max_top_k(),
          .max_answer_bytes = limits.max_answer_bytes()};
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
                                  .logit = prediction.logit()});
  }
  answer.probabilities.assign(response.probabilities().begin(),
                              response.probabilities().end());
  return answer;
}

}  // namespace

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
  }
  request.set_class_set(spec.class_set);
  for (const std::string& text : spec.templates) request.add_templates(text);
  request.set_template_set(spec.template_set);
  return request;
}

BuildProgress FromProto(const v1::BuildProgress& progress) {
  BuildProgress result{.prompts_done = progress.prompts_done(),
                       .prompts_total = progress.prompts_total(),
                       .num_tokens_encoded = progress.num_tokens_encoded(),
                       .time_left = std::nullopt};
  if (progress.has_time_left()) {
    result.time_left = FromProto(progress.time_left());
  }
  return result;
}

BuildResult FromProto(const v1::BuildClassifierResponse& response) {
  return {.weight_set_id = response.weight_set_id(),
          .num_classes = response.num_classes(),
          .embedding_dim = response.embedding_dim(),
          .cached = response.cached(),
          .num_prompts = response.num_prompts(),
          .num_tokens = response.num_tokens(),
          .num_tokens_encoded = response.num_tokens_encoded(),
          .warnings = {response.warnings().begin(), response.warnings().end()},
          .timing = FromProto(response.timing())};
}

WeightSetInfo FromProto(const v1::WeightSetInfo& info) {
  return {.weight_set_id = info.weight_set_id(),
          .num_classes = info.num_classes(),
          .embedding_dim = info.embedding_dim(),
          .num_prompts = info.num_prompts(),
          .model_fingerprint = info.model_fingerprint(),
          .precision = info.precision(),
          .size_bytes = info.size_bytes(),
          .create_time = absl::FromUnixSeconds(info.create_time().seconds()) +
                         absl::Nanoseconds(info.create_time().nanos())};
}

ModelInfo FromProto(const v1::GetModelResponse& response) {
  return {.name = response.name(),
          .family = response.family(),
          .fingerprint = response.fingerprint(),
          .precision = response.precision(),
          .device = response.device(),
          .embedding_dim = response.embedding_dim(),
          .image_size = response.image_size(),
          .context_length = response.context_length(),
          .vocab_size = response.vocab_size(),
          .logit_scale = response.logit_scale(),
          .limits = FromProto(response.limits()),
          .template_sets = {response.template_sets().begin(),
                            response.template_sets().end()},
          .class_sets = {response.class_sets().begin(),
                         response.class_sets().end()},
          .server_version = response.server_version(),
          .activation = response.activation(),
          .is_demo = response.is_demo()};
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

absl::StatusOr<std::vector<absl::StatusOr<Embedding>>> FromProto(
    const v1::EmbedImagesResponse& response, int count) {
  return Embeddings(response, count);
}

absl::StatusOr<std::vector<absl::StatusOr<Embedding>>> FromProto(
    const v1::EmbedTextsResponse& response, int count) {
  return Embeddings(response, count);
}

}  // namespace zeroshot::client
