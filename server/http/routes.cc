#include "server/http/routes.h"

#include <google/protobuf/stubs/common.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error_info.h"
#include "base/quoted.h"
#include "server/http/errors.h"
#include "server/http/url.h"

namespace zeroshot::server::http {
namespace {

// Whether the path is of the form; `arguments`: what stands for each {x},
// encoded.
bool Fits(absl::string_view form, absl::string_view path,
          std::vector<absl::string_view>* arguments) {
  const std::vector<absl::string_view> want = absl::StrSplit(form, '/');
  const std::vector<absl::string_view> have = absl::StrSplit(path, '/');
  if (want.size() != have.size()) return false;
  for (size_t i = 0; i < want.size(); ++i) {
    if (!want[i].empty() && want[i][0] == '{') {
      if (have[i].empty()) return false;
      arguments->push_back(have[i]);
    } else if (want[i] != have[i]) {
      return false;
    }
  }
  return true;
}

}  // namespace

const std::vector<Route>& Routes() {
  static const auto* const routes = new std::vector<Route>{
      {Kind::kClassify, "POST", "/v1/classify", "Classify",
       "Classify one image or several."},
      {Kind::kBuild, "POST", "/v1/classifiers", "BuildClassifier",
       "Build a classifier from class names, or find the one already built."},
      {Kind::kList, "GET", "/v1/classifiers", "ListWeightSets",
       "List the stored classifiers."},
      // Before {weight_set_id}, which takes any word.
      {Kind::kImport, "POST", "/v1/classifiers/import", "ImportWeightSet",
       "Import a classifier from a file."},
      {Kind::kDescribe, "GET", "/v1/classifiers/{weight_set_id}",
       "GetWeightSet", "Describe a classifier, with the names of its classes."},
      {Kind::kDelete, "DELETE", "/v1/classifiers/{weight_set_id}",
       "DeleteWeightSet", "Delete a classifier."},
      {Kind::kExport, "GET", "/v1/classifiers/{weight_set_id}/file",
       "ExportWeightSet", "Download a classifier as a file."},
      {Kind::kEmbed, "POST", "/v1/embeddings", "EmbedTexts",
       "Encode texts and images into unit vectors, in OpenAI's shape."},
      {Kind::kOpenAiModels, "GET", "/v1/models", "GetModel",
       "List the model served, in OpenAI's shape."},
      {Kind::kOpenAiModel, "GET", "/v1/models/{model}", "GetModel",
       "Describe the model served, in OpenAI's shape."},
      {Kind::kModel, "GET", "/v1/model", "GetModel",
       "Describe the model served and the limits in force."},
      {Kind::kTemplateSets, "GET", "/v1/template_sets", "ListTemplateSets",
       "List the template lists that the server knows by name."},
      {Kind::kClassSets, "GET", "/v1/class_sets", "ListClassSets",
       "List the class lists that the server knows by name."},
      {Kind::kClassSet, "GET", "/v1/class_sets/{class_set}", "GetClassSet",
       "Describe a class list, with the names of its classes."},
      {Kind::kLive, "GET", "/livez", "", "Whether only a restart helps."},
      {Kind::kReady, "GET", "/readyz", "",
       "Whether calls should be sent here."},
      {Kind::kMetrics, "GET", "/metrics", "GetModel",
       "Metrics in Prometheus' text format."},
      {Kind::kOpenApi, "GET", "/openapi.json", "", "This description."},
      {Kind::kDocs, "GET", "/docs", "", "This description, to read."},
      {Kind::kPage, "GET", "/", "", "A page to try the server with."},
      {Kind::kInferenceLive, "GET", "/v2/health/live", "",
       "Whether only a restart helps (Open Inference Protocol, as all of "
       "/v2)."},
      {Kind::kInferenceReady, "GET", "/v2/health/ready", "",
       "Whether calls should be sent here."},
      {Kind::kInferenceServer, "GET", "/v2", "ServerMetadata",
       "Name, version and extensions of the server."},
      {Kind::kInferenceIndex, "POST", "/v2/repository/index", "RepositoryIndex",
       "List the models."},
      {Kind::kInferenceModel, "GET", "/v2/models/{model}", "ModelMetadata",
       "Inputs and outputs of a model."},
      {Kind::kInferenceModelReady, "GET", "/v2/models/{model}/ready",
       "ModelReady", "Whether there is such a model, and calls are taken."},
      {Kind::kInferenceConfig, "GET", "/v2/models/{model}/config",
       "ModelConfig", "A model's configuration, as Triton's clients read it."},
      {Kind::kInfer, "POST", "/v2/models/{model}/infer", "ModelInfer",
       "Run a model."},
      {Kind::kInferenceModel, "GET", "/v2/models/{model}/versions/{version}",
       "ModelMetadata", "Inputs and outputs of a model."},
      {Kind::kInferenceModelReady, "GET",
       "/v2/models/{model}/versions/{version}/ready", "ModelReady",
       "Whether there is such a model, and calls are taken."},
      {Kind::kInferenceConfig, "GET",
       "/v2/models/{model}/versions/{version}/config", "ModelConfig",
       "A model's configuration, as Triton's clients read it."},
      {Kind::kInfer, "POST", "/v2/models/{model}/versions/{version}/infer",
       "ModelInfer", "Run a model."},
  };
  return *routes;
}

absl::StatusOr<Match> FindRoute(absl::string_view method,
                                absl::string_view path) {
  bool path_known = false;
  for (const Route& route : Routes()) {
    std::vector<absl::string_view> arguments;
    if (!Fits(route.path, path, &arguments)) continue;
    path_known = true;
    if (method != route.method &&
        !(method == "HEAD" && route.method == "GET")) {
      continue;
    }
    std::vector<std::string> decoded(2);
    for (size_t i = 0; i < arguments.size(); ++i) {
      absl::StatusOr<std::string> one = PercentDecoded(arguments[i]);
      if (!one.ok()) return one.status();
      // Names and ids are; protobuf would say so on standard error.
      if (!google::protobuf::internal::IsStructurallyValidUTF8(
              one->data(), static_cast<int>(one->size()))) {
        return absl::InvalidArgumentError(
            absl::StrCat("the path is not UTF-8: ", base::Quoted(path)));
      }
      decoded[i] = *std::move(one);
    }
    return Match{&route, std::move(decoded[0]), std::move(decoded[1])};
  }
  if (path_known) {
    return base::WithReason(
        absl::UnimplementedError(absl::StrCat(
            "the method ", base::Quoted(method),
            " is not allowed here; it must be one of ", AllowedMethods(path))),
        kMethodNotAllowed);
  }
  return base::WithReason(
      absl::NotFoundError(absl::StrCat("there is no ", base::Quoted(path),
                                       "; /docs lists what there is")),
      kRouteNotFound);
}

std::string AllowedMethods(absl::string_view path) {
  std::string allowed;
  for (const Route& route : Routes()) {
    std::vector<absl::string_view> arguments;
    if (!Fits(route.path, path, &arguments)) continue;
    absl::StrAppend(&allowed, route.method, ", ",
                    route.method == "GET" ? "HEAD, " : "");
  }
  return allowed + "OPTIONS";
}

}  // namespace zeroshot::server::http
