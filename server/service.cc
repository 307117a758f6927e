#include "server/service.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "base/monotonic.h"
#include "server/request_checks.h"
#include "server/transfers.h"
#include "server/wire.h"

namespace zeroshot::server {
namespace {

constexpr int kMaxPageSize = 1000;
constexpr absl::Duration kProgressInterval = absl::Milliseconds(100);

// `cause` says in the metrics what was full.
absl::Status Overloaded(const absl::Status& refusal, const char* cause) {
  return base::WithReason(refusal, base::kOverloaded, {{"cause", cause}});
}

absl::Status Stopping(absl::string_view what_next) {
  return base::WithReason(absl::UnavailableError(absl::StrCat(
                              "the server is stopping: ", what_next)),
                          base::kStopping, {{"cause", "stopping"}});
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
      door_("images and EmbedTexts calls", options.max_inflight),
      build_door_("BuildClassifier calls",
                  options.max_builds + kMaxWaitingBuilds),
      transfer_door_("ExportWeightSet and ImportWeightSet calls",
                     kMaxTransfers),
      admin_door_("calls about the model or stored weight sets",
                  kMaxAdminCalls),
      limits_(options),
      memory_(RequestMemory::HalfOf(options)),
      answers_(options.max_answer_bytes) {
  AddMethods();
}

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
    readings.decodes = engine->embedder.decodes();
    readings.pending = engine->embedder.pending();
    readings.tiers = engine->store.stats();
    readings.image_cache = engine->embedder.image_cache();
    readings.vectors = engine->builder.vector_cache_stats();
  }
  return readings;
}

absl::Status Service::BuildClassifier(const Call& call,
                                      const v1::BuildClassifierRequest& request,
                                      v1::BuildClassifierResponse* response) {
  return Build(call, request, nullptr, response);
}

absl::Status Service::BuildClassifierStream(
    const Call& call, const v1::BuildClassifierRequest& request,
    grpc::ServerWriter<v1::BuildClassifierStreamResponse>* writer) {
  absl::Time next_event = absl::InfinitePast();
  const auto on_progress = [&](const BuildProgress& progress) {
    const absl::Time now = base::MonotonicNow();
    if (now < next_event) return;
    next_event = now + kProgressInterval;
    v1::BuildClassifierStreamResponse event;
    ToProto(progress, event.mutable_progress());
    // A client that has left is noticed by the caller's `gone`.
    const StalledCalls::Wait wait(calls_->stalled(), &call.context);
    writer->Write(event);
  };
  v1::BuildClassifierStreamResponse last;
  const absl::Status status =
      Build(call, request, on_progress, last.mutable_result());
  const StalledCalls::Wait wait(calls_->stalled(), &call.context);
  if (status.ok()) writer->Write(last);
  return status;
}

absl::StatusOr<Door::Place> Service::AdmitAdmin() {
  absl::StatusOr<Door::Place> place = admin_door_.Enter();
  if (!place.ok()) return Overloaded(place.status(), "admin_calls");
  return place;
}

absl::StatusOr<Door::Place> Service::Admit(const Call& call, int images) {
  absl::StatusOr<Door::Place> place = door_.Enter(images);
  if (!place.ok()) return Overloaded(place.status(), "inflight");
  Embedder& embedder = call.engine.embedder;
  const int ahead = embedder.pending();
  const absl::Duration wait = embedder.TimeToStart();
  const absl::Duration left = call.caller.deadline - base::MonotonicNow();
  if (wait <= left) return place;
  absl::Status refusal = absl::ResourceExhaustedError(absl::StrCat(
      "the deadline is in ",
      absl::FormatDuration(absl::Trunc(left, absl::Milliseconds(1))),
      " and the ", ahead, " images ahead will take about ",
      absl::FormatDuration(absl::Trunc(wait, absl::Milliseconds(1))),
      "; try again later"));
  SetRetryDelay(refusal, wait);
  return base::WithReason(refusal, base::kDeadlineTooShort,
                          {{"cause", "deadline"}});
}

absl::Status Service::Build(const Call& call,
                            const v1::BuildClassifierRequest& request,
                            const WeightSetBuilder::OnProgress& on_progress,
                            v1::BuildClassifierResponse* response) {
  const absl::StatusOr<Door::Place> place = build_door_.Enter();
  if (!place.ok()) {
    return base::WithReason(place.status(), base::kTooManyBuilds,
                            {{"cause", "build_calls"}});
  }
  // A build may take longer than a server that stops has left.
  base::Caller caller = call.caller;
  caller.gone = [&] { return calls_->closed() || call.caller.gone(); };
  const absl::StatusOr<BuildResult> result =
      call.engine.builder.Build(FromProto(request), caller, on_progress);
  if (absl::IsCancelled(result.status()) && calls_->closed()) {
    return Stopping("ask for the build again");
  }
  // Only a builder that is full says when to return.
  if (RetryDelay(result.status()) > absl::ZeroDuration()) {
    return base::WithReason(result.status(), base::kTooManyBuilds,
                            {{"cause", "builds"}});
  }
  if (!result.ok()) return result.status();
  metrics_->BuildEnded(*result);
  ToProto(*result, base::MonotonicNow() - call.start, response);
  return absl::OkStatus();
}

absl::Status Service::Classify(const Call& call,
                               const v1::ClassifyRequest& request,
                               v1::ClassifyResponse* response) {
  const absl::StatusOr<Door::Place> place = Admit(call, 1);
  if (!place.ok()) return place.status();
  absl::Status named = CheckWeightSetIds(request, options_.max_weight_sets);
  if (!named.ok()) return named;
  absl::Status top_k = CheckTopK(request.top_k(), options_.max_top_k);
  if (!top_k.ok()) return top_k;
  ClassifyCall classify = FromProto(request);
  absl::Status admitted;
  classify.admit_answer = [&](int64_t bytes) {
    return admitted = answers_.Take(bytes);
  };
  const absl::StatusOr<zeroshot::Answer> answer =
      call.engine.classifier.Classify(classify, call.caller);
  if (!admitted.ok()) return admitted;
  if (!answer.ok()) return answer.status();
  if (!answer->embedding_cached) metrics_->PicturesTimed(answer->timing);
  ToProto(classify, *answer, base::MonotonicNow() - call.start, response);
  return absl::OkStatus();
}

absl::Status Service::GetWeightSet(const Call& call,
                                   const v1::GetWeightSetRequest& request,
                                   v1::GetWeightSetResponse* response) {
  const absl::StatusOr<Door::Place> place = AdmitAdmin();
  if (!place.ok()) return place.status();
  absl::Status named = RequireWeightSetId(request.weight_set_id());
  if (!named.ok()) return named;
  const auto set = call.engine.store.GetHeader(request.weight_set_id());
  if (!set.ok()) return set.status();
  absl::Status fits = answers_.Take(DescriptionBytes(**set));
  if (!fits.ok()) return fits;
  ToProto(stores::SummaryOf(**set), response->mutable_weight_set());
  response->mutable_class_names()->Assign((*set)->class_names.begin(),
                                          (*set)->class_names.end());
  return absl::OkStatus();
}

absl::Status Service::ListWeightSets(const Call& call,
                                     const v1::ListWeightSetsRequest& request,
                                     v1::ListWeightSetsResponse* response) {
  const absl::StatusOr<Door::Place> place = AdmitAdmin();
  if (!place.ok()) return place.status();
  absl::Status page = CheckPage(request);
  if (!page.ok()) return page;
  const int size = request.page_size() == 0
                       ? kDefaultPageSize
                       : std::min(request.page_size(), kMaxPageSize);
  // One more than asked for tells whether there is a next page.
  const auto sets = call.engine.store.List(request.page_token(), size + 1);
  if (!sets.ok()) return sets.status();
  const int count = std::min<int>(size, sets->size());
  for (int i = 0; i < count; ++i) {
    ToProto((*sets)[i], response->add_weight_sets());
  }
  if (count < sets->size()) {
    response->set_next_page_token((*sets)[count - 1].id);
  }
  return absl::OkStatus();
}

absl::Status Service::DeleteWeightSet(const Call& call,
                                      const v1::DeleteWeightSetRequest& request,
                                      v1::DeleteWeightSetResponse*) {
  const absl::StatusOr<Door::Place> place = AdmitAdmin();
  if (!place.ok()) return place.status();
  absl::Status named = RequireWeightSetId(request.weight_set_id());
  if (!named.ok()) return named;
  return call.engine.store.Delete(request.weight_set_id());
}

absl::Status Service::ExportWeightSet(
    const Call& call, const v1::ExportWeightSetRequest& request,
    grpc::ServerWriter<v1::ExportWeightSetResponse>* writer) {
  const absl::StatusOr<Door::Place> place = transfer_door_.Enter();
  if (!place.ok()) return Overloaded(place.status(), "transfers");
  absl::Status named = RequireWeightSetId(request.weight_set_id());
  if (!named.ok()) return named;
  absl::Status stalled;
  const absl::Status exported = server::ExportWeightSet(
      call, options_, request, [&](const v1::ExportWeightSetResponse& piece) {
        const StalledCalls::Wait wait(calls_->stalled(), &call.context,
                                      StalledCalls::Holds::kPlace);
        const bool taken = writer->Write(piece);
        stalled = wait.ended();
        return taken;
      });
  return stalled.ok() ? exported : stalled;
}

absl::Status Service::ImportWeightSet(
    const Call& call, grpc::ServerReader<grpc::ByteBuffer>* reader,
    v1::ImportWeightSetResponse* response) {
  const absl::StatusOr<Door::Place> place = transfer_door_.Enter();
  if (!place.ok()) return Overloaded(place.status(), "transfers");
  absl::Status stalled;
  const absl::Status imported = server::ImportWeightSet(
      call, options_,
      [&](v1::ImportWeightSetRequest* piece) -> absl::StatusOr<bool> {
        grpc::ByteBuffer bytes;
        {
          const StalledCalls::Wait wait(calls_->stalled(), &call.context,
                                        StalledCalls::Holds::kPlace);
          const bool sent = reader->Read(&bytes);
          stalled = wait.ended();
          if (!sent) return false;
        }
        absl::Status parsed = limits_.Parse(&bytes, piece);
        if (!parsed.ok()) return parsed;
        return true;
      },
      [&]() -> absl::Status {
        if (!calls_->closed()) return absl::OkStatus();
        return Stopping("import the file again");
      },
      response);
  return stalled.ok() ? imported : stalled;
}

absl::Status Service::EmbedImages(const Call& call,
                                  const v1::EmbedImagesRequest& request,
                                  v1::EmbedImagesResponse* response) {
  const absl::StatusOr<Door::Place> place = Admit(call, request.images_size());
  if (!place.ok()) return place.status();
  const clip::ModelInfo& model = call.engine.model->info();
  absl::Status batch =
      CheckBatch("images", request.images_size(), options_, model);
  if (!batch.ok()) return batch;
  const absl::StatusOr<Embeddings> embeddings =
      call.engine.embedder.EmbedImages(Views(request.images()), call.caller);
  if (!embeddings.ok()) return embeddings.status();
  if (embeddings->num_cached < request.images_size()) {
    metrics_->PicturesTimed(embeddings->timing);
  }
  ToProto(*embeddings, model.embedding_dim, response);
  return absl::OkStatus();
}

absl::Status Service::EmbedTexts(const Call& call,
                                 const v1::EmbedTextsRequest& request,
                                 v1::EmbedTextsResponse* response) {
  const absl::StatusOr<Door::Place> place = door_.Enter();
  if (!place.ok()) return Overloaded(place.status(), "inflight");
  const clip::ModelInfo& model = call.engine.model->info();
  absl::Status batch =
      CheckBatch("texts", request.texts_size(), options_, model);
  if (!batch.ok()) return batch;
  const absl::StatusOr<Embeddings> embeddings =
      call.engine.embedder.EmbedTexts(Views(request.texts()), call.caller);
  if (!embeddings.ok()) return embeddings.status();
  ToProto(*embeddings, model.embedding_dim, response);
  return absl::OkStatus();
}

absl::Status Service::GetModel(const Call& call, const v1::GetModelRequest&,
                               v1::GetModelResponse* response) {
  const absl::StatusOr<Door::Place> place = AdmitAdmin();
  if (!place.ok()) return place.status();
  ToProto(call.engine.model->info(), options_, response);
  return absl::OkStatus();
}

}  // namespace zeroshot::server
