#include "server/wire.h"

#include <google/protobuf/timestamp.pb.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/grpc_status.h"
#include "zeroshot/named_sets.h"

namespace zeroshot::server {
namespace {

void ToProto(absl::Time time, google::protobuf::Timestamp* out) {
  const absl::Duration since_epoch = time - absl::UnixEpoch();
  const absl::Duration seconds = absl::Floor(since_epoch, absl::Seconds(1));
  out->set_seconds(absl::ToInt64Seconds(seconds));
  out->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(since_epoch - seconds)));
}

void ToProto(const absl::Status& status, v1::ItemStatus* out) {
  out->set_code(status.raw_code());
  out->set_message(std::string(status.message()));
  if (!status.ok()) *out->mutable_details() = ErrorDetails(status);
}

template <typename Response>
void EmbeddingsToProto(const Embeddings& embeddings, int embedding_dim,
                       Response* out) {
  out->mutable_embeddings()->Add(embeddings.rows.begin(),
                                 embeddings.rows.end());
  out->set_embedding_dim(embedding_dim);
  for (const absl::Status& status : embeddings.statuses) {
    ToProto(status, out->add_statuses());
  }
}

// ClassifyResponse and WeightSetAnswer have these fields alike.
template <typename Response>
void ScoresToProto(const Scores& scores, Response* out) {
  for (const Prediction& prediction : scores.predictions) {
    v1::Prediction* p = out->add_predictions();
    p->set_class_index(prediction.class_index);
    p->set_class_name(prediction.class_name);
    p->set_probability(prediction.probability);
    p->set_logit(prediction.logit);
    p->set_cosine(prediction.cosine);
    p->set_accepted(prediction.accepted);
  }
  for (const GroupScore& group : scores.groups) {
    v1::GroupScore* g = out->add_groups();
    g->set_group(group.group);
    g->set_probability(group.probability);
  }
  out->set_other_probability(scores.other_probability);
  out->mutable_probabilities()->Add(scores.probabilities.begin(),
                                    scores.probabilities.end());
}

// All but the images, which ClassifyRequest and ClassifyBatchRequest have
// alike.
template <typename Request>
ClassifyCall CallFromProto(const Request& request) {
  constexpr int kDefaultTopK = 5;
  ClassifyCall call;
  call.weight_set_id = request.weight_set_id();
  call.more_weight_set_ids = {request.more_weight_set_ids().begin(),
                              request.more_weight_set_ids().end()};
  call.return_probabilities = request.return_probabilities();
  call.top_k =
      request.top_k() == 0 ? kDefaultTopK : static_cast<int>(request.top_k());
  if (request.score_function() == v1::SCORE_FUNCTION_SOFTMAX) {
    call.score_function = clip::ScoreFunction::kSoftmax;
  } else if (request.score_function() == v1::SCORE_FUNCTION_SIGMOID) {
    call.score_function = clip::ScoreFunction::kSigmoid;
  }
  if (request.has_min_probability()) {
    call.min_probability = request.min_probability();
  }
  return call;
}

// Of the first weight set.
const std::string& IdOf(const ClassifyCall& call) {
  return call.set != nullptr ? call.set->id : call.weight_set_id;
}

void ToProto(const ServerOptions& options, v1::Limits* out) {
  out->set_max_image_bytes(options.embedder.max_image_bytes);
  out->set_max_image_pixels(options.embedder.decode.max_pixels);
  out->set_max_classes(options.build.max_classes);
  out->set_max_templates(options.build.max_templates);
  out->set_max_prompts(options.build.max_prompts);
  out->set_max_text_bytes(options.build.max_text_bytes);
  out->set_max_batch_items(options.max_batch_items);
  out->set_max_inflight(options.max_inflight);
  out->set_max_builds(options.max_builds);
  out->set_max_request_bytes(options.max_request_bytes);
  out->set_max_weight_sets(options.max_weight_sets);
  out->set_max_import_bytes(options.max_import_bytes);
  out->set_max_top_k(options.max_top_k);
  out->set_max_answer_bytes(options.max_answer_bytes);
  out->set_max_inline_prompts(options.max_inline_prompts);
  out->set_max_examples(options.build.max_examples);
}

}  // namespace

ClassifierSpec FromProto(const v1::BuildClassifierRequest& request) {
  ClassifierSpec spec;
  spec.classes.reserve(request.classes_size());
  for (const v1::ClassDefinition& definition : request.classes()) {
    ClassDefinition& added = spec.classes.emplace_back();
    added.name = definition.name();
    added.prompts = {definition.prompts().begin(), definition.prompts().end()};
    if (definition.has_min_probability()) {
      added.min_probability = definition.min_probability();
    }
    added.group = definition.group();
    added.examples.images = {definition.example_images().begin(),
                             definition.example_images().end()};
    added.examples.embeddings = definition.example_embeddings();
    if (definition.has_example_weight()) {
      added.examples.weight = definition.example_weight();
    }
  }
  spec.class_set = request.class_set();
  spec.templates.assign(request.templates().begin(), request.templates().end());
  spec.template_set = request.template_set();
  if (request.has_temperature()) spec.temperature = request.temperature();
  spec.background = {request.background().begin(), request.background().end()};
  spec.display_name = request.display_name();
  return spec;
}

void ToProto(const BuildResult& result, absl::Duration total,
             v1::BuildClassifierResponse* out) {
  const stores::WeightSet& set = *result.set;
  out->set_weight_set_id(set.id);
  out->set_num_classes(set.num_classes());
  out->set_embedding_dim(set.embedding_dim);
  out->set_cached(result.cached);
  out->set_num_prompts(set.num_prompts);
  out->set_num_tokens(set.num_tokens);
  out->set_num_tokens_encoded(result.num_tokens_encoded);
  out->set_num_background(set.num_background());
  out->set_num_examples(static_cast<int32_t>(set.num_examples()));
  out->mutable_warnings()->Assign(result.warnings.begin(),
                                  result.warnings.end());
  v1::BuildTiming* timing = out->mutable_timing();
  ToProto(result.timing.queue, timing->mutable_queue());
  ToProto(result.timing.tokenize, timing->mutable_tokenize());
  ToProto(result.timing.encode, timing->mutable_encode());
  ToProto(result.timing.finish, timing->mutable_finish());
  ToProto(total, timing->mutable_total());
}

void ToProto(const BuildProgress& progress, v1::BuildProgress* out) {
  out->set_prompts_done(progress.prompts_done);
  out->set_prompts_total(progress.prompts_total);
  out->set_num_tokens_encoded(progress.num_tokens_encoded);
  if (progress.time_left != absl::InfiniteDuration()) {
    ToProto(progress.time_left, out->mutable_time_left());
  }
}

ClassifyCall FromProto(const v1::ClassifyRequest& request) {
  ClassifyCall call = CallFromProto(request);
  call.images = {request.image()};
  return call;
}

ClassifyCall FromProto(const v1::ClassifyBatchRequest& request) {
  ClassifyCall call = CallFromProto(request);
  call.images = {request.images().begin(), request.images().end()};
  call.embeddings = request.embeddings();
  return call;
}

void ToProto(const ClassifyCall& call,
             const std::vector<absl::StatusOr<Answer>>& answers,
             absl::Duration total, v1::ClassifyBatchResponse* out) {
  for (const absl::StatusOr<Answer>& answer : answers) {
    v1::ClassifyBatchItem* const item = out->add_items();
    ToProto(answer.status(), item->mutable_status());
    if (answer.ok()) ToProto(call, *answer, total, item->mutable_answer());
  }
  out->set_weight_set_id(IdOf(call));
}

void ToProto(const ClassifyCall& call, const Answer& answer,
             absl::Duration total, v1::ClassifyResponse* out) {
  ScoresToProto(answer, out);
  for (size_t i = 0; i < answer.more.size(); ++i) {
    v1::WeightSetAnswer* more = out->add_more();
    more->set_weight_set_id(call.more_weight_set_ids[i]);
    ScoresToProto(answer.more[i], more);
  }
  out->set_weight_set_id(IdOf(call));
  out->set_embedding_cached(answer.embedding_cached);
  v1::ClassifyTiming* timing = out->mutable_timing();
  ToProto(answer.timing.decode, timing->mutable_decode());
  ToProto(answer.timing.preprocess, timing->mutable_preprocess());
  ToProto(answer.timing.queue, timing->mutable_queue());
  ToProto(answer.timing.compute, timing->mutable_compute());
  ToProto(total, timing->mutable_total());
}

void Describe(stores::WeightStore* store, const stores::WeightSetSummary& set,
              v1::WeightSetInfo* out) {
  out->set_weight_set_id(set.id);
  out->set_num_classes(set.num_classes);
  out->set_embedding_dim(set.embedding_dim);
  out->set_num_prompts(set.num_prompts);
  out->set_model_fingerprint(set.model_fingerprint);
  out->set_precision(set.precision);
  out->set_size_bytes((int64_t{set.num_classes} + set.num_background) *
                      set.embedding_dim * int64_t{sizeof(float)});
  out->set_num_background(set.num_background);
  out->set_temperature(set.temperature);
  ToProto(set.create_time, out->mutable_create_time());
  out->mutable_first_class_names()->Assign(set.first_class_names.begin(),
                                           set.first_class_names.end());
  if (auto name = store->GetDisplayName(set.id); name.ok()) {
    out->set_display_name(std::move(name->text));
  }
}

void ClassSetToProto(const std::string& name, v1::ClassSet* out) {
  out->set_name(name);
  out->set_num_classes(static_cast<int32_t>(FindClassSet(name)->size()));
  out->set_template_set(TemplateSetFor(name));
}

void RowsToProto(const stores::WeightSet& set, int first, int end,
                 v1::GetWeightSetResponse* out) {
  for (int row = first; row < end; ++row) {
    if (row >= set.num_classes()) {
      out->add_background(set.background[row - set.num_classes()]);
      continue;
    }
    out->add_class_names(set.class_names[row]);
    const std::optional<float> threshold = set.min_probabilities.empty()
                                               ? std::nullopt
                                               : set.min_probabilities[row];
    const absl::string_view group = set.group(row);
    if (!threshold.has_value() && group.empty()) continue;
    v1::ClassDecision* decision = out->add_decisions();
    decision->set_class_index(row);
    if (threshold.has_value()) decision->set_min_probability(*threshold);
    decision->set_group(std::string(group));
  }
}

int64_t DescriptionBytes(const stores::WeightSet& set, int row) {
  constexpr int64_t kNameBytes = 6;       // a name's tag and length
  constexpr int64_t kDecisionBytes = 24;  // tags, lengths and numbers
  if (row >= set.num_classes()) {
    return kNameBytes +
           static_cast<int64_t>(set.background[row - set.num_classes()].size());
  }
  int64_t bytes =
      kNameBytes + static_cast<int64_t>(set.class_names[row].size());
  if (!set.min_probabilities.empty() || !set.group_of.empty()) {
    bytes += kDecisionBytes + static_cast<int64_t>(set.group(row).size());
  }
  return bytes;
}

void ToProto(const Embeddings& embeddings, int embedding_dim,
             v1::EmbedImagesResponse* out) {
  EmbeddingsToProto(embeddings, embedding_dim, out);
  out->set_num_cached(embeddings.num_cached());
}

void ToProto(const Embeddings& embeddings, int embedding_dim,
             v1::EmbedTextsResponse* out) {
  EmbeddingsToProto(embeddings, embedding_dim, out);
}

void ToProto(const clip::ModelInfo& info, const ServerOptions& options,
             v1::GetModelResponse* out) {
  out->set_name(info.name);
  out->set_family(info.family);
  out->set_fingerprint(info.fingerprint);
  out->set_precision(info.precision);
  out->set_device(info.device);
  out->set_embedding_dim(info.embedding_dim);
  out->set_activation(info.activation);
  out->set_image_size(info.preprocessing.crop.side);
  out->set_context_length(info.context_length);
  out->set_vocab_size(info.vocab_size);
  out->set_logit_scale(info.head.scale);
  out->set_logit_bias(info.head.bias);
  out->set_score_function(info.head.score_function ==
                                  clip::ScoreFunction::kSigmoid
                              ? v1::SCORE_FUNCTION_SIGMOID
                              : v1::SCORE_FUNCTION_SOFTMAX);
  ToProto(options, out->mutable_limits());
  for (const std::string& name : TemplateSetNames())
    out->add_template_sets(name);
  for (const std::string& name : ClassSetNames()) out->add_class_sets(name);
  out->set_image_preprocessing(clip::Describe(info.preprocessing));
  out->set_text_preprocessing(absl::StrCat(info.tokenizer->description(),
                                           ", at most ", info.context_length,
                                           " tokens, ", info.text_padding));
  out->set_server_version(ZEROSHOT_VERSION);
  out->set_is_demo(info.is_demo);
}

void ToProto(absl::Duration duration, google::protobuf::Duration* out) {
  absl::Duration rest;
  out->set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
}

}  // namespace zeroshot::server
