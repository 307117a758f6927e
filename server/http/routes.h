// The routes of the HTTP API, in one table: what answers requests and
// /openapi.json are both made from it.
#ifndef ZEROSHOT_SERVER_HTTP_ROUTES_H_
#define ZEROSHOT_SERVER_HTTP_ROUTES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace zeroshot::server::http {

enum class Kind {
  kClassify,
  kBuild,
  kList,
  kDescribe,
  kDelete,
  kExport,
  kImport,
  kEmbed,
  kOpenAiModels,
  kOpenAiModel,
  kModel,
  kTemplateSets,
  kClassSets,
  kClassSet,
  kLive,
  kReady,
  kMetrics,
  kOpenApi,
  kDocs,
  kPage,
  kInferenceLive,
  kInferenceReady,
  kInferenceServer,
  kInferenceIndex,
  kInferenceModel,
  kInferenceModelReady,
  kInferenceConfig,
  kInfer,
};

struct Route {
  Kind kind;
  absl::string_view method;
  absl::string_view path;  // {x} takes one segment
  // The method of server/methods.h that answers, whose permission is needed.
  // Empty: none is needed.
  absl::string_view rpc;
  absl::string_view summary;
};

const std::vector<Route>& Routes();

struct Match {
  const Route* route;
  std::string argument;  // what stands for {x}
  std::string second;    // what stands for the second one
};

// The route that a request is for; HEAD is GET's. NotFound: no such path.
// Unimplemented: the path has other methods. InvalidArgument: the path is badly
// encoded, or is not UTF-8.
absl::StatusOr<Match> FindRoute(absl::string_view method,
                                absl::string_view path);

// "GET, HEAD, POST, OPTIONS" of a path that is there.
std::string AllowedMethods(absl::string_view path);

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_ROUTES_H_
