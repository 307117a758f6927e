#include "tests/client/fake_server.h"

#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <cstdlib>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace zeroshot::client {

FakeServer::FakeServer(std::shared_ptr<grpc::ServerCredentials> credentials,
                       int port) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(
      absl::StrCat("127.0.0.1:", port),
      credentials != nullptr ? credentials : grpc::InsecureServerCredentials(),
      &port_);
  builder.SetMaxReceiveMessageSize(-1);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port_ == 0) {
    std::cerr << "the fake server cannot listen on port " << port << "\n";
    std::abort();
  }
  SetServing(true);
}

FakeServer::~FakeServer() { Stop(); }

void FakeServer::Stop() {
  server_->Shutdown(std::chrono::system_clock::now());
  Fence();
}

std::string FakeServer::target() const {
  return absl::StrCat("127.0.0.1:", port_);
}

std::unique_ptr<Client> FakeServer::Connect(ClientOptions options) const {
  return *Client::Connect(target(), std::move(options));
}

void FakeServer::SetServing(bool serving) {
  server_->GetHealthCheckService()->SetServingStatus("zeroshot.v1.ZeroShot",
                                                     serving);
}

void FakeServer::Note(const grpc::ServerContext& context) {
  std::multimap<std::string, std::string> seen;
  for (const auto& [name, value] : context.client_metadata()) {
    seen.emplace(std::string(name.data(), name.size()),
                 std::string(value.data(), value.size()));
  }
  metadata_.Set(std::move(seen));
}

grpc::Status FakeServer::BuildClassifierStream(
    grpc::ServerContext*, const v1::BuildClassifierRequest* request,
    grpc::ServerWriter<v1::BuildClassifierStreamResponse>* writer) {
  return build_stream(*request,
                      [&](const auto& event) { writer->Write(event); });
}

grpc::Status FakeServer::ExportWeightSet(
    grpc::ServerContext*, const v1::ExportWeightSetRequest* request,
    grpc::ServerWriter<v1::ExportWeightSetResponse>* writer) {
  return export_set(*request,
                    [&](const auto& piece) { return writer->Write(piece); });
}

grpc::Status FakeServer::ImportWeightSet(
    grpc::ServerContext*,
    grpc::ServerReader<v1::ImportWeightSetRequest>* reader,
    v1::ImportWeightSetResponse* response) {
  std::vector<v1::ImportWeightSetRequest> pieces(1);
  while (reader->Read(&pieces.back())) pieces.emplace_back();
  pieces.pop_back();
  return import_set(pieces, response);
}

FakeClassifiers::FakeClassifiers(FakeServer* server) {
  server->build = [this](const auto& request, auto* response) {
    return Build(request, response);
  };
  server->classify = [this](const auto& request, auto* response) {
    return Classify(request, response);
  };
  server->classify_batch = [this](const auto& request, auto* response) {
    return ClassifyBatch(request, response);
  };
  server->get = [this](const auto& request, auto* response) {
    std::vector<std::string> classes;
    const grpc::Status found = Find(request.weight_set_id(), &classes);
    response->mutable_weight_set()->set_weight_set_id(request.weight_set_id());
    response->mutable_class_names()->Add(classes.begin(), classes.end());
    return found;
  };
}

void FakeClassifiers::Forget() {
  std::lock_guard<std::mutex> lock(mu_);
  sets_.clear();
}

grpc::Status FakeClassifiers::Build(const v1::BuildClassifierRequest& request,
                                    v1::BuildClassifierResponse* response) {
  ++builds_;
  std::vector<std::string> names;
  for (const auto& definition : request.classes()) {
    names.push_back(definition.name());
  }
  const std::string id = absl::StrCat("id-", absl::StrJoin(names, "-"));
  response->set_weight_set_id(id);
  response->set_num_classes(names.size());
  response->set_num_prompts(names.size());
  std::lock_guard<std::mutex> lock(mu_);
  sets_[id] = names;
  return grpc::Status::OK;
}

grpc::Status FakeClassifiers::Find(const std::string& id,
                                   std::vector<std::string>* classes) {
  std::lock_guard<std::mutex> lock(mu_);
  const auto found = sets_.find(id);
  if (found == sets_.end()) {
    return grpc::Status(grpc::StatusCode::NOT_FOUND,
                        absl::StrCat("no weight set ", id));
  }
  *classes = found->second;
  return grpc::Status::OK;
}

grpc::Status FakeClassifiers::Classify(const v1::ClassifyRequest& request,
                                       v1::ClassifyResponse* response) {
  std::string id = request.weight_set_id();
  if (request.has_classifier()) {
    const grpc::Status built =
        Build(request.classifier(), response->mutable_build());
    if (!built.ok()) return built;
    id = response->build().weight_set_id();
  }
  response->set_weight_set_id(id);
  const grpc::Status first =
      Score(request, id, response->mutable_predictions());
  if (!first.ok()) return first;
  for (const std::string& id : request.more_weight_set_ids()) {
    v1::WeightSetAnswer* more = response->add_more();
    more->set_weight_set_id(id);
    const grpc::Status scored = Score(request, id, more->mutable_predictions());
    if (!scored.ok()) return scored;
  }
  return grpc::Status::OK;
}

grpc::Status FakeClassifiers::ClassifyBatch(
    const v1::ClassifyBatchRequest& request,
    v1::ClassifyBatchResponse* response) {
  std::string id = request.weight_set_id();
  if (request.has_classifier()) {
    const grpc::Status built =
        Build(request.classifier(), response->mutable_build());
    if (!built.ok()) return built;
    id = response->build().weight_set_id();
  }
  response->set_weight_set_id(id);
  v1::ClassifyRequest alone;
  alone.set_weight_set_id(id);
  alone.set_top_k(request.top_k());
  for (const std::string& image : request.images()) {
    alone.set_image(image);
    v1::ClassifyBatchItem* const item = response->add_items();
    const grpc::Status status = Classify(alone, item->mutable_answer());
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return status;
    item->mutable_status()->set_code(status.error_code());
    item->mutable_status()->set_message(status.error_message());
    if (!status.ok()) item->clear_answer();
  }
  return grpc::Status::OK;
}

grpc::Status FakeClassifiers::Score(
    const v1::ClassifyRequest& request, const std::string& id,
    google::protobuf::RepeatedPtrField<v1::Prediction>* predictions) {
  std::vector<std::string> classes;
  const grpc::Status found = Find(id, &classes);
  if (!found.ok()) return found;
  const auto best = std::find(classes.begin(), classes.end(), request.image());
  if (best == classes.end()) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "not an image");
  }
  std::iter_swap(classes.begin(), best);
  for (size_t i = 0; i < classes.size() && i < request.top_k(); ++i) {
    v1::Prediction* prediction = predictions->Add();
    prediction->set_class_name(classes[i]);
    prediction->set_accepted(true);
    prediction->set_probability(i == 0 ? 0.75f : 0.25f / (classes.size() - 1));
  }
  return grpc::Status::OK;
}

}  // namespace zeroshot::client
