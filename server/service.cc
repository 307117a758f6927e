#include "server/service.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "clip/monotonic.h"
#include "server/transfers.h"
#include "server/wire.h"

namespace zeroshot::server {
namespace {

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;
constexpr absl::Duration kProgressInterval = absl::Milliseconds(100);

absl::Status RequireWeightSetId(absl::string_view id,
                                absl::string_view field = "weight_set_id") {
  if (!id.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field,
                   " is empty; expected the id that BuildClassifier or "
                   "ImportWeightSet returned"));
}

// One id, and maybe more for the same picture.
absl::Status CheckWeightSetIds(const v1::ClassifyRequest& request,
                               int max_weight_sets) {
  absl::Status named = RequireWeightSetId(request.weight_set_id());
  if (!named.ok()) return named;
  const int more = request.more_weight_set_ids_size();
  if (more > max_weight_sets - 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("weight_set_id and more_weight_set_ids name ", more + 1,
                     " weight sets; allowed are at most ", max_weight_sets));
  }
  for (int i = 0; i < more; ++i) {
    named = RequireWeightSetId(request.more_weight_set_ids(i),
                               absl::StrCat("more_weight_set_ids[", i, "]"));
    if (!named.ok()) return named;
  }
  return absl::OkStatus();
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
  absl::string_view hash = token;
  absl::ConsumePrefix(&hash, kImportedPrefix);
  const bool is_id = hash.size() == 64 && std::all_of(hash.begin(), hash.end(),
                                                      absl::ascii_isxdigit);
  if (token.empty() || is_id) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "page_token of ", token.size(),
      " bytes is none that this server gave; expected a next_page_token"));
}

// Of what is inside the doors only the builds' own say when to return.
absl::Status BuildFailure(const absl::Status& status) {
  return RetryDelay(status) > absl::ZeroDuration() ? Because("builds", status)
                                                   : status;
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
                  options.max_builds + kMaxWaitingBuilds),
      transfer_door_("ExportWeightSet and ImportWeightSet calls",
                     kMaxTransfers) {}

Readings Service::Read() {
  Readings readings;
  readings.inflight = door_.inside();
  readings.max_inflight = options_.max_inflight;
  readings.build_calls = build_door_.inside();
  if (Engine* engine = calls_->engine()) {
    readings.model = engine->model->info();
    readings.devices_left = engine->model->devices_left();
    readings.gpus = engine->gpus.Read();
    readings.queued = engine->embedder.queued();
    readings.tiers = engine->store.stats();
    readings.image_cache = engine->embedder.image_cache();
    readings.vectors = engine->builder.vector_cache_stats();
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
          const StalledCalls::Wait wait(calls_->stalled(), context);
          writer->Write(event);
        };
        v1::BuildClassifierStreamResponse last;
        const absl::Status status =
            Build(call, *request, on_progress, last.mutable_result());
        const StalledCalls::Wait wait(calls_->stalled(), context);
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
  if (!result.ok()) return BuildFailure(result.status());
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
        absl::Status named =
            CheckWeightSetIds(*request, options_.max_weight_sets);
        if (!named.ok()) return named;
        const ClassifyCall classify = FromProto(*request);
        const absl::StatusOr<zeroshot::Answer> answer =
            call.engine.classifier.Classify(classify, call.caller);
        if (!answer.ok()) return BuildFailure(answer.status());
        if (!answer->embedding_cached) metrics_->PicturesTimed(answer->timing);
        ToProto(classify, *answer, clip::MonotonicNow() - call.start, response);
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
        TieredStore& store = call.engine.store;
        auto set = store.Get(request->weight_set_id());
        // What is asked for outlives the weights.
        if (absl::IsNotFound(set.status())) {
          set = store.GetHeader(request->weight_set_id());
        }
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

// A file has the prompts too, which GetWeightSet does not show: to classify is
// not enough to take a classifier away.
grpc::Status Service::ExportWeightSet(
    grpc::ServerContext* context, const v1::ExportWeightSetRequest* request,
    grpc::ServerWriter<v1::ExportWeightSetResponse>* writer) {
  return calls_->Answer(
      "ExportWeightSet", Permission::kBuild, context,
      [&](const Call& call) -> absl::Status {
        const absl::StatusOr<Door::Place> place = transfer_door_.Enter();
        if (!place.ok()) return Because("transfers", place.status());
        absl::Status named = RequireWeightSetId(request->weight_set_id());
        if (!named.ok()) return named;
        return BuildFailure(server::ExportWeightSet(
            call, *request, [&](const v1::ExportWeightSetResponse& piece) {
              const StalledCalls::Wait wait(calls_->stalled(), context);
              return writer->Write(piece);
            }));
      });
}

grpc::Status Service::ImportWeightSet(
    grpc::ServerContext* context,
    grpc::ServerReader<v1::ImportWeightSetRequest>* reader,
    v1::ImportWeightSetResponse* response) {
  return calls_->Answer(
      "ImportWeightSet", Permission::kBuild, context,
      [&](const Call& call) -> absl::Status {
        const absl::StatusOr<Door::Place> place = transfer_door_.Enter();
        if (!place.ok()) return Because("transfers", place.status());
        return server::ImportWeightSet(
            call, options_,
            [&](v1::ImportWeightSetRequest* piece) {
              const StalledCalls::Wait wait(calls_->stalled(), context);
              return reader->Read(piece);
            },
            [&]() -> absl::Status {
              if (!calls_->closed()) return absl::OkStatus();
              return Because(
                  "stopping",
                  absl::UnavailableError("the server is stopping: import the "
                                         "file again"));
            },
            response);
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
        if (embeddings->num_cached < request->images_size()) {
          metrics_->PicturesTimed(embeddings->timing);
        }
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
