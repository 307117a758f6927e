#include "server/service.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "clip/monotonic.h"
#include "server/wire.h"

namespace zeroshot::server {
namespace {

constexpr int kDefaultTopK = 5;
constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;
constexpr absl::Duration kProgressInterval = absl::Milliseconds(100);

absl::Status RequireWeightSetId(absl::string_view id) {
  if (!id.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "weight_set_id is empty; expected the id that BuildClassifier returned");
}

absl::Status CheckBatch(absl::string_view field, int items, int max_items) {
  if (items <= max_items) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      field, " has ", items, " items; allowed are at most ", max_items));
}

// A page token is the last id of the page before: ids are what lists are
// ordered by, so that a token stays good when sets come and go.
absl::Status CheckPage(const v1::ListWeightSetsRequest& request) {
  if (request.page_size() < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "page_size is ", request.page_size(), "; allowed are 0 (meaning ",
        kDefaultPageSize, ") and more"));
  }
  const std::string& token = request.page_token();
  const bool is_id =
      token.size() == 64 &&
      std::all_of(token.begin(), token.end(), absl::ascii_isxdigit);
  if (token.empty() || is_id) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "page_token of ", token.size(),
      " bytes is none that this server gave; expected a next_page_token"));
}

std::vector<absl::string_view> Views(
    const google::protobuf::RepeatedPtrField<std::string>& strings) {
  return {strings.begin(), strings.end()};
}

}  // namespace

Service::Service(const ServerOptions& options, Calls* calls, Metrics* metrics)
    : options_(options),
      calls_(calls),
      metrics_(metrics),
      door_("Classify and Embed calls", options.max_inflight),
      build_door_("BuildClassifier calls",
                  options.max_builds + kMaxWaitingBuilds) {}

Readings Service::Read() {
  Readings readings;
  readings.inflight = door_.inside();
  readings.max_inflight = options_.max_inflight;
  readings.build_calls = build_door_.inside();
  if (Engine* engine = calls_->engine()) {
    readings.model = engine->model->info();
    readings.queued = engine->embedder.queued();
    readings.tiers = engine->store.stats();
  }
  return readings;
}

grpc::Status Service::BuildClassifier(grpc::ServerContext* context,
                                      const v1::BuildClassifierRequest* request,
                                      v1::BuildClassifierResponse* response) {
  return calls_->Answer("BuildClassifier", Permission::kBuild, context,
                        [&](const Call& call) {
                          return Build(call, *request, nullptr, response);
                        });
}

grpc::Status Service::BuildClassifierStream(
    grpc::ServerContext* context, const v1::BuildClassifierRequest* request,
    grpc::ServerWriter<v1::BuildClassifierStreamResponse>* writer) {
  return calls_->Answer(
      "BuildClassifierStream", Permission::kBuild, context,
      [&](const Call& call) {
        absl::Time next_event = absl::InfinitePast();
        const auto on_progress = [&](const BuildProgress& progress) {
          const absl::Time now = clip::MonotonicNow();
          if (now < next_event) return;
          next_event = now + kProgressInterval;
          v1::BuildClassifierStreamResponse event;
          ToProto(progress, event.mutable_progress());
          // A client that has left is noticed by the caller's `gone`.
          writer->Write(event);
        };
        v1::BuildClassifierStreamResponse last;
        const absl::Status status =
            Build(call, *request, on_progress, last.mutable_result());
        if (status.ok()) writer->Write(last);
        return status;
      });
}

absl::StatusOr<Door::Place> Service::Admit(const Call& call) {
  absl::StatusOr<Door::Place> place = door_.Enter();
  if (!place.ok()) return Because("inflight", place.status());
  Embedder& embedder = call.engine.embedder;
  // Each call inside has a picture at least, in the queue or on its way there.
  const int ahead = std::max(door_.inside() - 1, embedder.queued());
  const absl::Duration wait = embedder.pace().TimeFor(ahead);
  const absl::Duration left = call.caller.deadline - clip::MonotonicNow();
  if (wait <= left) return place;
  absl::Status refusal = absl::ResourceExhaustedError(absl::StrCat(
      "the deadline is in ",
      absl::FormatDuration(absl::Trunc(left, absl::Milliseconds(1))),
      " and the ", ahead, " pictures ahead will take about ",
      absl::FormatDuration(absl::Trunc(wait, absl::Milliseconds(1))),
      "; try again later"));
  SetRetryDelay(refusal, wait);
  return Because("deadline", refusal);
}

absl::Status Service::Build(const Call& call,
                            const v1::BuildClassifierRequest& request,
                            const WeightSetBuilder::OnProgress& on_progress,
                            v1::BuildClassifierResponse* response) {
  const absl::StatusOr<Door::Place> place = build_door_.Enter();
  if (!place.ok()) return Because("build_calls", place.status());
  // A build may take longer than a server that stops has left.
  Caller caller = call.caller;
  caller.gone = [&] { return calls_->closed() || call.caller.gone(); };
  const absl::StatusOr<BuildResult> result =
      call.engine.builder.Build(FromProto(request), caller, on_progress);
  if (absl::IsCancelled(result.status()) && calls_->closed()) {
    return Because("stopping",
                   absl::UnavailableError(
                       "the server is stopping: ask for the build again"));
  }
  if (!result.ok()) {
    // The builder's own door is the only one inside that says when to return.
    return RetryDelay(result.status()) > absl::ZeroDuration()
               ? Because("builds", result.status())
               : result.status();
  }
  metrics_->BuildEnded(*result);
  ToProto(*result, clip::MonotonicNow() - call.start, response);
  return absl::OkStatus();
}

grpc::Status Service::Classify(grpc::ServerContext* context,
                               const v1::ClassifyRequest* request,
                               v1::ClassifyResponse* response) {
  return calls_->Answer(
      "Classify", Permission::kClassify, context,
      [&](const Call& call) -> absl::Status {
        const absl::StatusOr<Door::Place> place = Admit(call);
        if (!place.ok()) return place.status();
        absl::Status named = RequireWeightSetId(request->weight_set_id());
        if (!named.ok()) return named;
        ClassifyCall classify;
        classify.image = request->image();
        classify.weight_set_id = request->weight_set_id();
        classify.return_probabilities = request->return_probabilities();
        constexpr uint32_t kMaxTopK = std::numeric_limits<int>::max();
        classify.top_k =
            request->top_k() == 0
                ? kDefaultTopK
                : static_cast<int>(std::min(request->top_k(), kMaxTopK));
        const absl::StatusOr<zeroshot::Answer> answer =
            call.engine.classifier.Classify(classify, call.caller);
        if (!answer.ok()) return answer.status();
        metrics_->PicturesTimed(answer->timing);
        ToProto(*answer, clip::MonotonicNow() - call.start, response);
        return absl::OkStatus();
      });
}

grpc::Status Service::GetWeightSet(grpc::ServerContext* context,
                                   const v1::GetWeightSetRequest* request,
                                   v1::GetWeightSetResponse* response) {
  return calls_->Answer(
      "GetWeightSet", Permission::kClassify, context,
      [&](const Call& call) -> absl::Status {
        absl::Status named = RequireWeightSetId(request->weight_set_id());
        if (!named.ok()) return named;
        const auto set = call.engine.store.Get(request->weight_set_id());
        if (!set.ok()) return set.status();
        ToProto(**set, response->mutable_weight_set());
        response->mutable_class_names()->Assign((*set)->class_names.begin(),
                                                (*set)->class_names.end());
        return absl::OkStatus();
      });
}

grpc::Status Service::ListWeightSets(grpc::ServerContext* context,
                                     const v1::ListWeightSetsRequest* request,
                                     v1::ListWeightSetsResponse* response) {
  return calls_->Answer(
      "ListWeightSets", Permission::kClassify, context,
      [&](const Call& call) -> absl::Status {
        absl::Status page = CheckPage(*request);
        if (!page.ok()) return page;
        const int size = request->page_size() == 0
                             ? kDefaultPageSize
                             : std::min(request->page_size(), kMaxPageSize);
        // One more than asked for tells whether there is a next page.
        const auto sets =
            call.engine.store.List(request->page_token(), size + 1);
        if (!sets.ok()) return sets.status();
        const int count = std::min<int>(size, sets->size());
        for (int i = 0; i < count; ++i) {
          ToProto(*(*sets)[i], response->add_weight_sets());
        }
        if (count < sets->size()) {
          response->set_next_page_token((*sets)[count - 1]->id);
        }
        return absl::OkStatus();
      });
}

grpc::Status Service::DeleteWeightSet(grpc::ServerContext* context,
                                      const v1::DeleteWeightSetRequest* request,
                                      v1::DeleteWeightSetResponse*) {
  return calls_->Answer(
      "DeleteWeightSet", Permission::kDelete, context, [&](const Call& call) {
        absl::Status named = RequireWeightSetId(request->weight_set_id());
        if (!named.ok()) return named;
        return call.engine.store.Delete(request->weight_set_id());
      });
}

grpc::Status Service::EmbedImages(grpc::ServerContext* context,
                                  const v1::EmbedImagesRequest* request,
                                  v1::EmbedImagesResponse* response) {
  return calls_->Answer(
      "EmbedImages", Permission::kClassify, context,
      [&](const Call& call) -> absl::Status {
        const absl::StatusOr<Door::Place> place = Admit(call);
        if (!place.ok()) return place.status();
        absl::Status batch = CheckBatch("images", request->images_size(),
                                        options_.max_batch_items);
        if (!batch.ok()) return batch;
        const absl::StatusOr<Embeddings> embeddings =
            call.engine.embedder.EmbedImages(Views(request->images()),
                                             call.caller);
        if (!embeddings.ok()) return embeddings.status();
        metrics_->PicturesTimed(embeddings->timing);
        ToProto(*embeddings, call.engine.model->info().embedding_dim, response);
        return absl::OkStatus();
      });
}

grpc::Status Service::EmbedTexts(grpc::ServerContext* context,
                                 const v1::EmbedTextsRequest* request,
                                 v1::EmbedTextsResponse* response) {
  return calls_->Answer(
      "EmbedTexts", Permission::kClassify, context,
      [&](const Call& call) -> absl::Status {
        const absl::StatusOr<Door::Place> place = door_.Enter();
        if (!place.ok()) return Because("inflight", place.status());
        absl::Status batch = CheckBatch("texts", request->texts_size(),
                                        options_.max_batch_items);
        if (!batch.ok()) return batch;
        const absl::StatusOr<Embeddings> embeddings =
            call.engine.embedder.EmbedTexts(Views(request->texts()),
                                            call.caller);
        if (!embeddings.ok()) return embeddings.status();
        ToProto(*embeddings, call.engine.model->info().embedding_dim, response);
        return absl::OkStatus();
      });
}

grpc::Status Service::GetModel(grpc::ServerContext* context,
                               const v1::GetModelRequest*,
                               v1::GetModelResponse* response) {
  return calls_->Answer(
      "GetModel", Permission::kClassify, context, [&](const Call& call) {
        ToProto(call.engine.model->info(), options_, response);
        return absl::OkStatus();
      });
}

}  // namespace zeroshot::server
