// The methods of zeroshot.v1.ZeroShot and of inference.GRPCInferenceService:
// what each is called, and what a caller needs to call it.
#ifndef ZEROSHOT_SERVER_METHODS_H_
#define ZEROSHOT_SERVER_METHODS_H_

#include <algorithm>
#include <iterator>

#include "absl/strings/string_view.h"
#include "server/tokens.h"

namespace zeroshot::server {

struct Method {
  const char* path;  // as on the wire
  Permission needed;

  // "Classify" of "/zeroshot.v1.ZeroShot/Classify".
  absl::string_view name() const {
    const absl::string_view whole(path);
    return whole.substr(whole.rfind('/') + 1);
  }
};

inline constexpr Method kMethods[] = {
    {"/zeroshot.v1.ZeroShot/BuildClassifier", Permission::kBuild},
    {"/zeroshot.v1.ZeroShot/BuildClassifierStream", Permission::kBuild},
    {"/zeroshot.v1.ZeroShot/Classify", Permission::kClassify},
    {"/zeroshot.v1.ZeroShot/ClassifyBatch", Permission::kClassify},
    {"/zeroshot.v1.ZeroShot/GetWeightSet", Permission::kClassify},
    {"/zeroshot.v1.ZeroShot/ListWeightSets", Permission::kClassify},
    {"/zeroshot.v1.ZeroShot/DeleteWeightSet", Permission::kDelete},
    // A file has the prompts too, which GetWeightSet does not show: to classify
    // is not enough to take a classifier away.
    {"/zeroshot.v1.ZeroShot/ExportWeightSet", Permission::kBuild},
    {"/zeroshot.v1.ZeroShot/ImportWeightSet", Permission::kBuild},
    {"/zeroshot.v1.ZeroShot/EmbedImages", Permission::kClassify},
    {"/zeroshot.v1.ZeroShot/EmbedTexts", Permission::kClassify},
    {"/zeroshot.v1.ZeroShot/ListTemplateSets", Permission::kClassify},
    {"/zeroshot.v1.ZeroShot/ListClassSets", Permission::kClassify},
    {"/zeroshot.v1.ZeroShot/GetClassSet", Permission::kClassify},
    {"/zeroshot.v1.ZeroShot/GetModel", Permission::kClassify},
    {"/inference.GRPCInferenceService/ServerLive", Permission::kClassify},
    {"/inference.GRPCInferenceService/ServerReady", Permission::kClassify},
    {"/inference.GRPCInferenceService/ModelReady", Permission::kClassify},
    {"/inference.GRPCInferenceService/ServerMetadata", Permission::kClassify},
    {"/inference.GRPCInferenceService/ModelMetadata", Permission::kClassify},
    {"/inference.GRPCInferenceService/ModelInfer", Permission::kClassify},
    {"/inference.GRPCInferenceService/ModelConfig", Permission::kClassify},
    {"/inference.GRPCInferenceService/RepositoryIndex", Permission::kClassify},
};

// The names of both services are different ones. REQUIRES: there is one of this
// name.
inline const Method& MethodNamed(absl::string_view name) {
  return *std::find_if(
      std::begin(kMethods), std::end(kMethods),
      [name](const Method& method) { return method.name() == name; });
}

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_METHODS_H_
