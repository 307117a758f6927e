// The methods of zeroshot.v1.ZeroShot: what each is called, and what a caller
// needs to call it.
// Thread rule: constants.
#ifndef ZEROSHOT_SERVER_METHODS_H_
#define ZEROSHOT_SERVER_METHODS_H_

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

inline constexpr Method kBuildClassifier{
    "/zeroshot.v1.ZeroShot/BuildClassifier", Permission::kBuild};
inline constexpr Method kBuildClassifierStream{
    "/zeroshot.v1.ZeroShot/BuildClassifierStream", Permission::kBuild};
inline constexpr Method kClassify{"/zeroshot.v1.ZeroShot/Classify",
                                  Permission::kClassify};
inline constexpr Method kGetWeightSet{"/zeroshot.v1.ZeroShot/GetWeightSet",
                                      Permission::kClassify};
inline constexpr Method kListWeightSets{"/zeroshot.v1.ZeroShot/ListWeightSets",
                                        Permission::kClassify};
inline constexpr Method kDeleteWeightSet{
    "/zeroshot.v1.ZeroShot/DeleteWeightSet", Permission::kDelete};
// A file has the prompts too, which GetWeightSet does not show: to classify is
// not enough to take a classifier away.
inline constexpr Method kExportWeightSet{
    "/zeroshot.v1.ZeroShot/ExportWeightSet", Permission::kBuild};
inline constexpr Method kImportWeightSet{
    "/zeroshot.v1.ZeroShot/ImportWeightSet", Permission::kBuild};
inline constexpr Method kEmbedImages{"/zeroshot.v1.ZeroShot/EmbedImages",
                                     Permission::kClassify};
inline constexpr Method kEmbedTexts{"/zeroshot.v1.ZeroShot/EmbedTexts",
                                    Permission::kClassify};
inline constexpr Method kGetModel{"/zeroshot.v1.ZeroShot/GetModel",
                                  Permission::kClassify};

inline constexpr Method kMethods[] = {kBuildClassifier, kBuildClassifierStream,
                                      kClassify,        kGetWeightSet,
                                      kListWeightSets,  kDeleteWeightSet,
                                      kExportWeightSet, kImportWeightSet,
                                      kEmbedImages,     kEmbedTexts,
                                      kGetModel};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_METHODS_H_
