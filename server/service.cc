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
#include "base/quoted.h"
#include "server/name_page.h"
#include "server/request_checks.h"
#include "server/transfers.h"
#include "server/wire.h"
#include "stores/id_prefix.h"
#include "zeroshot/named_sets.h"

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
      admission_("images and EmbedTexts calls", options.max_inflight),
      build_admission_("BuildClassifier calls",
                       options.max_builds + kMaxWaitingBuilds),
      transfer_admission_("ExportWeightSet and ImportWeightSet calls",
                          kMaxTransfers),
      admin_admission_("calls about the model or stored weight sets",
                       kMaxAdminCalls),
      scoring_admission_("ClassifyBatch calls with embeddings",
                         kMaxScoringCalls),
      limits_(options),
      memory_(RequestMemory::HalfOf(options)),
      answers_(options.max_answer_bytes) {
  AddMethods();
}

Readings Service::Read() {
  Readings readings;
  readings.inflight = admission_.inside();
  readings.max_inflight = options_.max_inflight;
  readings.build_calls = build_admission_.inside();
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

absl::StatusOr<Admission::Place> Service::AdmitAdmin() {
  absl::StatusOr<Admission::Place> place = admin_admission_.Enter();
  if (!place.ok()) return Overloaded(place.status(), "admin_calls");
  return place;
}

absl::StatusOr<Admission::Place> Service::Admit(const Call& call, int images) {
  absl::StatusOr<Admission::Place> place = admission_.Enter(images);
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

absl::StatusOr<Admission::Place> Service::Admit(const Call& call,
                                                const ClassifyCall& classify) {
  if (classify.embeddings.empty()) {
    return Admit(call, static_cast<int>(classify.images.size()));
  }
  absl::StatusOr<Admission::Place> place = scoring_admission_.Enter();
  if (!place.ok()) return Overloaded(place.status(), "scoring_calls");
  return place;
}

absl::StatusOr<Admission::Place> Service::AdmitBuild() {
  absl::StatusOr<Admission::Place> place = build_admission_.Enter();
  if (place.ok()) return place;
  return base::WithReason(place.status(), base::kTooManyBuilds,
                          {{"cause", "build_calls"}});
}

absl::Status Service::Build(const Call& call,
                            const v1::BuildClassifierRequest& request,
                            const WeightSetBuilder::OnProgress& on_progress,
                            v1::BuildClassifierResponse* response) {
  const absl::StatusOr<Admission::Place> place = AdmitBuild();
  if (!place.ok()) return place.status();
  const auto named = call.engine.builder.Name(FromProto(request));
  if (!named.ok()) return named.status();
  const absl::StatusOr<BuildResult> result =
      RunBuild(call, *named, on_progress);
  if (!result.ok()) return result.status();
  metrics_->BuildEnded(*result);
  ToProto(*result, base::MonotonicNow() - call.start, response);
  return absl::OkStatus();
}

absl::StatusOr<BuildResult> Service::RunBuild(
    const Call& call, const WeightSetBuilder::Named& named,
    const WeightSetBuilder::OnProgress& on_progress) {
  // A build may take longer than a server that stops has left.
  base::Caller caller = call.caller;
  caller.gone = [&] { return calls_->closed() || call.caller.gone(); };
  // Images of a class wait for places that others take: a build may take long,
  // and what it has encoded by then would be lost.
  const auto embed =
      [&](absl::Span<const absl::string_view> images,
          const base::Caller& all) -> absl::StatusOr<Embeddings> {
    const auto place = admission_.Enter(static_cast<int>(images.size()));
    if (!place.ok()) return place.status();
    return call.engine.embedder.EmbedImages(images, all);
  };
  const absl::StatusOr<BuildResult> result =
      call.engine.builder.Build(named, caller, on_progress, embed);
  if (absl::IsCancelled(result.status()) && calls_->closed()) {
    return Stopping("ask for the build again");
  }
  // Only a builder that is full says when to return.
  if (RetryDelay(result.status()) > absl::ZeroDuration()) {
    return base::WithReason(result.status(), base::kTooManyBuilds,
                            {{"cause", "builds"}});
  }
  return result;
}

absl::Status Service::FindOrBuild(const Call& call,
                                  const v1::BuildClassifierRequest& classifier,
                                  ClassifyCall* classify,
                                  Admission::Place* place,
                                  v1::BuildClassifierResponse* response) {
  absl::Status allowed = calls_->Allows(call, Permission::kBuild);
  if (!allowed.ok()) return allowed;
  const absl::Time start = base::MonotonicNow();
  const auto named = call.engine.builder.Name(FromProto(classifier));
  if (!named.ok()) return base::InField("classifier", named.status());
  const int64_t parts =
      named->spec.total_prompts() + named->spec.total_examples();
  if (parts > options_.max_inline_prompts) {
    return base::InvalidField(
        "classifier",
        absl::StrCat("classifier has ", parts,
                     " prompts (classes x templates) and examples; at most ",
                     options_.max_inline_prompts,
                     " are allowed here (--max_inline_prompts): call "
                     "BuildClassifier and give its weight_set_id"));
  }
  BuildResult result;
  result.cached = true;
  if (auto found = call.engine.builder.Find(*named); found.ok()) {
    result.set = *std::move(found);
  } else {
    // An id that is wrong should not cost a build.
    for (const std::string& id : classify->more_weight_set_ids) {
      absl::Status other = call.engine.classifier.Find(id).status();
      if (!other.ok()) return other;
    }
    *place = Admission::Place(nullptr, 0);
    absl::StatusOr<BuildResult> built = BuildResult();
    {
      const absl::StatusOr<Admission::Place> building = AdmitBuild();
      if (!building.ok()) return building.status();
      built = RunBuild(call, *named, nullptr);
    }
    if (!built.ok()) return base::InField("classifier", built.status());
    absl::StatusOr<Admission::Place> again = Admit(call, *classify);
    if (!again.ok()) return again.status();
    *place = *std::move(again);
    metrics_->BuildEnded(*built);
    result = *std::move(built);
  }
  ToProto(result, base::MonotonicNow() - start, response);
  classify->set = std::move(result.set);
  return absl::OkStatus();
}

template <typename Request, typename Response>
absl::StatusOr<std::vector<absl::StatusOr<Answer>>> Service::ClassifyImages(
    const Call& call, const Request& request, ClassifyCall* classify,
    Response* response) {
  *classify = FromProto(request);
  absl::StatusOr<Admission::Place> place = Admit(call, *classify);
  if (!place.ok()) return place.status();
  absl::Status named = CheckWeightSetIds(request, options_.max_weight_sets);
  if (!named.ok()) return named;
  absl::Status top_k = CheckTopK(request.top_k(), options_.max_top_k);
  if (!top_k.ok()) return top_k;
  absl::Status decisions = CheckDecisions(request);
  if (!decisions.ok()) return decisions;
  if (!classify->embeddings.empty()) {
    absl::Status good =
        CheckEmbeddings(*classify, options_, call.engine.model->info());
    if (!good.ok()) return good;
  }
  if (request.has_classifier()) {
    absl::Status found = FindOrBuild(call, request.classifier(), classify,
                                     &*place, response->mutable_build());
    if (!found.ok()) return found;
  }
  absl::Status admitted;
  classify->admit_answer = [&](int64_t bytes) {
    return admitted = answers_.Take(bytes);
  };
  absl::StatusOr<std::vector<absl::StatusOr<Answer>>> answers =
      call.engine.classifier.Classify(*classify, call.caller);
  if (!admitted.ok()) return admitted;
  return answers;
}

absl::Status Service::Classify(const Call& call,
                               const v1::ClassifyRequest& request,
                               v1::ClassifyResponse* response) {
  ClassifyCall classify;
  const auto answers = ClassifyImages(call, request, &classify, response);
  if (!answers.ok()) return answers.status();
  const absl::StatusOr<Answer>& answer = answers->front();
  if (!answer.ok()) return answer.status();
  if (!answer->embedding_cached) metrics_->ImagesTimed(answer->timing);
  ToProto(classify, *answer, base::MonotonicNow() - call.start, response);
  return absl::OkStatus();
}

absl::Status Service::ClassifyBatch(const Call& call,
                                    const v1::ClassifyBatchRequest& request,
                                    v1::ClassifyBatchResponse* response) {
  ClassifyCall classify;
  const auto answers = ClassifyImages(call, request, &classify, response);
  if (!answers.ok()) return answers.status();
  EmbedTiming timing;
  bool any = false;
  for (const absl::StatusOr<Answer>& answer : *answers) {
    if (!answer.ok() || answer->embedding_cached) continue;
    timing += answer->timing;
    any = classify.embeddings.empty();
  }
  if (any) metrics_->ImagesTimed(timing);
  ToProto(classify, *answers, base::MonotonicNow() - call.start, response);
  return absl::OkStatus();
}

absl::Status Service::GetWeightSet(const Call& call,
                                   const v1::GetWeightSetRequest& request,
                                   v1::GetWeightSetResponse* response) {
  const absl::StatusOr<Admission::Place> place = AdmitAdmin();
  if (!place.ok()) return place.status();
  absl::Status named = RequireWeightSetId(request.weight_set_id());
  if (!named.ok()) return named;
  stores::TieredStore& store = call.engine.store;
  const auto id = stores::CompleteId(&store, request.weight_set_id());
  if (!id.ok()) return id.status();
  const auto set = store.GetHeader(*id);
  if (!set.ok()) return set.status();
  // The background's names come behind the classes'.
  int64_t bytes = kDescriptionBytes;
  absl::StatusOr<NamePage> page = FindNamePage(
      (*set)->num_rows(), request.page_size(), request.page_token(),
      [&](int64_t row) {
        const int64_t of_row = DescriptionBytes(**set, static_cast<int>(row));
        bytes += of_row;
        return of_row;
      });
  if (!page.ok()) return page.status();
  absl::Status fits = answers_.Take(bytes);
  if (!fits.ok()) return fits;
  Describe(&store, stores::SummaryOf(**set), response->mutable_weight_set());
  RowsToProto(**set, static_cast<int>(page->first), static_cast<int>(page->end),
              response);
  response->set_next_page_token(std::move(page->next_page_token));
  return absl::OkStatus();
}

absl::Status Service::ListWeightSets(const Call& call,
                                     const v1::ListWeightSetsRequest& request,
                                     v1::ListWeightSetsResponse* response) {
  const absl::StatusOr<Admission::Place> place = AdmitAdmin();
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
    Describe(&call.engine.store, (*sets)[i], response->add_weight_sets());
  }
  if (count < sets->size()) {
    response->set_next_page_token((*sets)[count - 1].id);
  }
  return absl::OkStatus();
}

absl::Status Service::DeleteWeightSet(const Call& call,
                                      const v1::DeleteWeightSetRequest& request,
                                      v1::DeleteWeightSetResponse*) {
  const absl::StatusOr<Admission::Place> place = AdmitAdmin();
  if (!place.ok()) return place.status();
  absl::Status named = RequireWeightSetId(request.weight_set_id());
  if (!named.ok()) return named;
  stores::TieredStore& store = call.engine.store;
  const auto id = stores::CompleteId(&store, request.weight_set_id());
  const absl::Status deleted = id.ok() ? store.Delete(*id) : id.status();
  if (!absl::IsNotFound(deleted)) return deleted;
  // Not the stores' words: nothing has to be built so that it can be deleted.
  return base::WithReason(
      absl::NotFoundError(absl::StrCat("no weight set ",
                                       base::Quoted(request.weight_set_id()))),
      base::kWeightSetNotFound, {{"weight_set_id", request.weight_set_id()}});
}

absl::Status Service::ExportWeightSet(
    const Call& call, const v1::ExportWeightSetRequest& request,
    grpc::ServerWriter<v1::ExportWeightSetResponse>* writer) {
  const absl::StatusOr<Admission::Place> place = transfer_admission_.Enter();
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
  const absl::StatusOr<Admission::Place> place = transfer_admission_.Enter();
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
  const absl::StatusOr<Admission::Place> place =
      Admit(call, request.images_size());
  if (!place.ok()) return place.status();
  const clip::ModelInfo& model = call.engine.model->info();
  absl::Status batch =
      CheckBatch("images", request.images_size(), options_, model);
  if (!batch.ok()) return batch;
  const absl::StatusOr<Embeddings> embeddings =
      call.engine.embedder.EmbedImages(Views(request.images()), call.caller);
  if (!embeddings.ok()) return embeddings.status();
  if (embeddings->num_cached() < request.images_size()) {
    metrics_->ImagesTimed(embeddings->timing());
  }
  ToProto(*embeddings, model.embedding_dim, response);
  return absl::OkStatus();
}

absl::Status Service::EmbedTexts(const Call& call,
                                 const v1::EmbedTextsRequest& request,
                                 v1::EmbedTextsResponse* response) {
  const absl::StatusOr<Admission::Place> place = admission_.Enter();
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

absl::Status Service::ListTemplateSets(const Call&,
                                       const v1::ListTemplateSetsRequest&,
                                       v1::ListTemplateSetsResponse* response) {
  const absl::StatusOr<Admission::Place> place = AdmitAdmin();
  if (!place.ok()) return place.status();
  for (const std::string& name : TemplateSetNames()) {
    v1::TemplateSet* const set = response->add_template_sets();
    set->set_name(name);
    const std::vector<std::string>& templates = *FindTemplateSet(name);
    set->mutable_templates()->Assign(templates.begin(), templates.end());
  }
  return absl::OkStatus();
}

absl::Status Service::ListClassSets(const Call&,
                                    const v1::ListClassSetsRequest&,
                                    v1::ListClassSetsResponse* response) {
  const absl::StatusOr<Admission::Place> place = AdmitAdmin();
  if (!place.ok()) return place.status();
  for (const std::string& name : ClassSetNames()) {
    ClassSetToProto(name, response->add_class_sets());
  }
  return absl::OkStatus();
}

absl::Status Service::GetClassSet(const Call&,
                                  const v1::GetClassSetRequest& request,
                                  v1::GetClassSetResponse* response) {
  const absl::StatusOr<Admission::Place> place = AdmitAdmin();
  if (!place.ok()) return place.status();
  const std::vector<std::string>* const names =
      FindClassSet(request.class_set());
  if (names == nullptr) return UnknownClassSet(request.class_set());
  ClassSetToProto(request.class_set(), response->mutable_class_set());
  absl::StatusOr<NamePage> page = FindNamePage(
      static_cast<int64_t>(names->size()), request.page_size(),
      request.page_token(),
      [&](int64_t i) { return static_cast<int64_t>((*names)[i].size()); });
  if (!page.ok()) return page.status();
  response->mutable_class_names()->Assign(names->begin() + page->first,
                                          names->begin() + page->end);
  response->set_next_page_token(std::move(page->next_page_token));
  return absl::OkStatus();
}

absl::Status Service::GetModel(const Call& call, const v1::GetModelRequest&,
                               v1::GetModelResponse* response) {
  const absl::StatusOr<Admission::Place> place = AdmitAdmin();
  if (!place.ok()) return place.status();
  ToProto(call.engine.model->info(), options_, response);
  return absl::OkStatus();
}

}  // namespace zeroshot::server
