#include "client/client_interface.h"

#include "absl/strings/str_cat.h"

namespace zeroshot::client {
namespace {

absl::Status NotOverridden(absl::string_view method) {
  return absl::UnimplementedError(
      absl::StrCat(method, " is not overridden by this ClientInterface"));
}

}  // namespace

absl::StatusOr<BuildResult> ClientInterface::Build(const ClassifierSpec&,
                                                   const OnBuildProgress&,
                                                   const CallOptions&) {
  return NotOverridden("Build");
}

absl::StatusOr<Answer> ClientInterface::Classify(absl::string_view,
                                                 absl::string_view,
                                                 const ClassifyOptions&,
                                                 const CallOptions&) {
  return NotOverridden("Classify");
}

absl::StatusOr<std::vector<Answer>> ClientInterface::ClassifyWithEach(
    absl::string_view, absl::Span<const std::string>, const ClassifyOptions&,
    const CallOptions&) {
  return NotOverridden("ClassifyWithEach");
}

absl::StatusOr<Answer> ClientInterface::ClassifyInline(absl::string_view,
                                                       const ClassifierSpec&,
                                                       const ClassifyOptions&,
                                                       const CallOptions&) {
  return NotOverridden("ClassifyInline");
}

absl::StatusOr<BatchAnswer> ClientInterface::ClassifyBatch(
    absl::Span<const std::string>, absl::string_view, const ClassifyOptions&,
    const CallOptions&) {
  return NotOverridden("ClassifyBatch");
}

absl::StatusOr<BatchAnswer> ClientInterface::ClassifyBatchInline(
    absl::Span<const std::string>, const ClassifierSpec&,
    const ClassifyOptions&, const CallOptions&) {
  return NotOverridden("ClassifyBatchInline");
}

absl::StatusOr<BatchAnswer> ClientInterface::ClassifyEmbeddings(
    absl::Span<const float>, absl::string_view, const ClassifyOptions&,
    const CallOptions&) {
  return NotOverridden("ClassifyEmbeddings");
}

absl::StatusOr<BatchAnswer> ClientInterface::ClassifyEmbeddingsInline(
    absl::Span<const float>, const ClassifierSpec&, const ClassifyOptions&,
    const CallOptions&) {
  return NotOverridden("ClassifyEmbeddingsInline");
}

absl::StatusOr<std::vector<absl::StatusOr<Embedding>>>
ClientInterface::EmbedImages(absl::Span<const std::string>,
                             const CallOptions&) {
  return NotOverridden("EmbedImages");
}

absl::StatusOr<std::vector<absl::StatusOr<Embedding>>>
ClientInterface::EmbedTexts(absl::Span<const std::string>, const CallOptions&) {
  return NotOverridden("EmbedTexts");
}

absl::StatusOr<ModelInfo> ClientInterface::GetModel(const CallOptions&) {
  return NotOverridden("GetModel");
}

absl::StatusOr<std::vector<TemplateSet>> ClientInterface::ListTemplateSets(
    const CallOptions&) {
  return NotOverridden("ListTemplateSets");
}

absl::StatusOr<std::vector<ClassSet>> ClientInterface::ListClassSets(
    const CallOptions&) {
  return NotOverridden("ListClassSets");
}

absl::StatusOr<std::vector<std::string>> ClientInterface::GetClassSet(
    absl::string_view, const CallOptions&) {
  return NotOverridden("GetClassSet");
}

absl::StatusOr<WeightSetInfo> ClientInterface::DescribeWeightSet(
    absl::string_view, const CallOptions&) {
  return NotOverridden("DescribeWeightSet");
}

absl::StatusOr<std::vector<WeightSetInfo>> ClientInterface::ListWeightSets(
    const CallOptions&) {
  return NotOverridden("ListWeightSets");
}

absl::StatusOr<WeightSet> ClientInterface::GetWeightSet(absl::string_view,
                                                        const CallOptions&) {
  return NotOverridden("GetWeightSet");
}

absl::Status ClientInterface::DeleteWeightSet(absl::string_view,
                                              const CallOptions&) {
  return NotOverridden("DeleteWeightSet");
}

absl::Status ClientInterface::Export(absl::string_view, const ExportOptions&,
                                     const OnPiece&, const CallOptions&) {
  return NotOverridden("Export");
}

absl::StatusOr<ImportResult> ClientInterface::Import(absl::string_view,
                                                     const ImportOptions&,
                                                     const CallOptions&) {
  return NotOverridden("Import");
}

absl::Status ClientInterface::Health(absl::Duration, const CallOptions&) {
  return NotOverridden("Health");
}

}  // namespace zeroshot::client
