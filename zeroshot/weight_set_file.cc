#include "zeroshot/weight_set_file.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "base/error_info.h"
#include "base/json_reader.h"
#include "base/quoted.h"
#include "base/safetensors_header.h"
#include "base/sha256.h"
#include "clip/safetensors.h"
#include "stores/stored_set.h"
#include "zeroshot/npy.h"
#include "zeroshot/weight_set_check.h"

namespace zeroshot {
namespace {

// A file's matrix and what else it says.
struct Content {
  clip::DType dtype = clip::DType::kFloat32;
  std::vector<int64_t> shape;
  bool fortran_order = false;
  absl::string_view bytes;
  std::vector<std::string> class_names;
  stores::Metadata metadata;  // its texts borrow the file
  std::string model_fingerprint;
  Layout layout = Layout::kUnknown;  // unless the file's kind says it
};

float HalfToFloat(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16;
  const uint32_t exponent = (half >> 10) & 0x1f;
  const uint32_t mantissa = half & 0x3ff;
  if (exponent == 0) {  // zero, or mantissa x 2^-24
    const float value = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -value : value;
  }
  const uint32_t wide = exponent == 31 ? 255 : exponent + 127 - 15;
  return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

float ToFloat(clip::DType dtype, const char* at) {
  const auto read = [at](auto value) {
    std::memcpy(&value, at, sizeof(value));
    return value;
  };
  switch (dtype) {
    case clip::DType::kFloat16:
      return HalfToFloat(read(uint16_t{}));
    case clip::DType::kBFloat16:
      return std::bit_cast<float>(uint32_t{read(uint16_t{})} << 16);
    case clip::DType::kFloat64:
      return static_cast<float>(read(double{}));
    default:
      return read(float{});
  }
}

// [C, D] floats from a matrix in which class c's number d is element
// c x class_step + d x dim_step. In tiles, so that either order of memory is
// read and written a cache line at a time.
std::vector<float> Gather(const Content& content, int64_t num_rows, int64_t dim,
                          int64_t class_step, int64_t dim_step) {
  constexpr int64_t kTile = 32;
  const int64_t size = clip::DTypeSize(content.dtype);
  std::vector<float> weights = stores::MakeWeights(num_rows * dim);
  for (int64_t c0 = 0; c0 < num_rows; c0 += kTile) {
    const int64_t c1 = std::min(num_rows, c0 + kTile);
    for (int64_t d0 = 0; d0 < dim; d0 += kTile) {
      const int64_t d1 = std::min(dim, d0 + kTile);
      for (int64_t c = c0; c < c1; ++c) {
        for (int64_t d = d0; d < d1; ++d) {
          weights[c * dim + d] =
              ToFloat(content.dtype,
                      &content.bytes[(c * class_step + d * dim_step) * size]);
        }
      }
    }
  }
  return weights;
}

// A file as this server writes it has checksums: damage is told as such.
absl::Status CheckIntact(const base::SafetensorsHeader& header,
                         absl::string_view weights) {
  absl::Status intact = stores::CheckMetadata(header.metadata);
  if (!intact.ok()) return intact;
  const auto hash = header.metadata.find("weights_sha256");
  base::Sha256 found;
  found.Update(weights);
  return hash != header.metadata.end() && hash->second == found.HexDigest()
             ? absl::OkStatus()
             : absl::DataLossError("the weights do not match their checksum");
}

// REQUIRES: ParseSafetensors took the file.
absl::Status ReadMetadata(absl::string_view file, int64_t max_classes,
                          Content* content) {
  const absl::StatusOr<int64_t> end = stores::HeaderBytes(file);
  if (!end.ok()) return end.status();
  const auto header = base::ParseSafetensorsHeader(file.substr(
      stores::kHeaderPrefixBytes, *end - stores::kHeaderPrefixBytes));
  if (!header.ok()) return header.status();
  const auto& metadata = header->metadata;
  if (metadata.contains("weights_sha256") || metadata.contains("checksum")) {
    // What this server writes has this name.
    absl::Status stored =
        header->tensors.contains("weights")
            ? CheckIntact(*header, content->bytes)
            : absl::DataLossError("it holds no tensor named weights");
    if (!stored.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the file is damaged: ", stored.message()));
    }
    content->layout = Layout::kClassRows;
  }
  if (const auto it = metadata.find("model_fingerprint");
      it != metadata.end()) {
    content->model_fingerprint = base::JsonUnescape(it->second);
  }
  const auto labels = metadata.find("labels");
  if (labels != metadata.end() &&
      !stores::ParseTexts(base::JsonUnescape(labels->second), max_classes,
                          &content->class_names)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the file's metadata field labels is not a JSON list of "
                     "at most ",
                     max_classes, " texts"));
  }
  content->metadata = metadata;
  return absl::OkStatus();
}

// What the set of a file is built of: names as a build takes them, with its
// limits and warnings.
absl::StatusOr<ResolvedSpec> SpecOfFile(Content* content,
                                        const BuildLimits& limits) {
  stores::WeightSet told;
  told.class_names = std::move(content->class_names);
  if (!stores::ReadDecisions(content->metadata, limits.max_classes, &told)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the file's metadata is not as it must be: background is a JSON list "
        "of at most ",
        limits.max_classes,
        " texts, temperature a number, min_probabilities a list of a number "
        "or null for each class, groups one of a text for each class"));
  }
  ClassifierSpec spec = SpecOf(told);
  spec.templates = {"{}"};
  return ResolvedSpec::Resolve(std::move(spec), limits);
}

absl::StatusOr<Content> ReadSafetensorsFile(absl::string_view file,
                                            int64_t max_classes) {
  const auto tensors = clip::ParseSafetensors(absl::Span<const uint8_t>(
      reinterpret_cast<const uint8_t*>(file.data()), file.size()));
  if (!tensors.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("neither a .npy nor a safetensors file that can be "
                     "read: ",
                     tensors.status().message()));
  }
  auto tensor = tensors->find("weights");
  if (tensor == tensors->end() && tensors->size() == 1) {
    tensor = tensors->begin();
  }
  if (tensor == tensors->end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the file holds ", tensors->size(),
                     " tensors and none is named weights"));
  }
  const clip::TensorView& view = tensor->second;
  if (view.dtype != clip::DType::kFloat16 &&
      view.dtype != clip::DType::kBFloat16 &&
      view.dtype != clip::DType::kFloat32 &&
      view.dtype != clip::DType::kFloat64) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", base::Quoted(tensor->first), " is ",
                     clip::DTypeName(view.dtype), "; floats are expected"));
  }
  Content content;
  content.dtype = view.dtype;
  content.shape = view.shape;
  content.bytes = absl::string_view(
      reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size());
  absl::Status metadata = ReadMetadata(file, max_classes, &content);
  if (!metadata.ok()) return metadata;
  return content;
}

absl::StatusOr<Content> ReadContent(absl::string_view file,
                                    int64_t max_classes) {
  if (!IsNpy(file)) return ReadSafetensorsFile(file, max_classes);
  absl::StatusOr<NpyArray> array = ParseNpy(file);
  if (!array.ok()) return array.status();
  Content content;
  content.dtype = array->dtype;
  content.shape = std::move(array->shape);
  content.fortran_order = array->fortran_order;
  content.bytes = array->bytes;
  return content;
}

absl::Status CheckFingerprint(const std::string& fingerprint,
                              const clip::ModelInfo& model) {
  if (fingerprint.empty() || fingerprint == model.fingerprint) {
    return absl::OkStatus();
  }
  return base::WithReason(
      absl::FailedPreconditionError(absl::StrCat(
          "the file was made with model ", base::Quoted(fingerprint),
          ", this server has ", model.fingerprint)),
      base::kWrongModel, {{"model_fingerprint", fingerprint}});
}

// kClassRows or kClassColumns.
absl::StatusOr<Layout> FindLayout(const std::vector<int64_t>& shape,
                                  int64_t num_rows, int64_t dim, Layout asked) {
  if (shape.size() != 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the file's array has ", shape.size(), " axes; a matrix has 2"));
  }
  const std::vector<int64_t> rows = {num_rows, dim};
  const std::vector<int64_t> columns = {dim, num_rows};
  const bool may_be_rows = shape == rows && asked != Layout::kClassColumns;
  const bool may_be_columns = shape == columns && asked != Layout::kClassRows;
  if (may_be_rows && may_be_columns) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the matrix is ", clip::ShapeText(shape),
        ", so that its shape does not tell whether a class is a row or a "
        "column: give its layout"));
  }
  if (may_be_rows) return Layout::kClassRows;
  if (may_be_columns) return Layout::kClassColumns;
  std::string allowed;
  if (asked != Layout::kClassColumns) allowed = clip::ShapeText(rows);
  if (asked != Layout::kClassRows) {
    absl::StrAppend(&allowed, allowed.empty() ? "" : " or ",
                    clip::ShapeText(columns));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "the matrix is ", clip::ShapeText(shape), "; ", num_rows,
      " class names and this model's ", dim, " dimensions need ", allowed));
}

}  // namespace

absl::StatusOr<ImportedSet> ReadWeightSetFile(const FileToImport& file,
                                              const clip::ModelInfo& model,
                                              const BuildLimits& limits) {
  absl::StatusOr<Content> content = ReadContent(file.bytes, limits.max_classes);
  if (!content.ok()) return content.status();
  for (const std::string& said :
       {content->model_fingerprint, file.model_fingerprint}) {
    absl::Status same = CheckFingerprint(said, model);
    if (!same.ok()) return same;
  }
  if (content->class_names.empty()) {
    content->class_names = file.class_names;
  } else if (!file.class_names.empty() &&
             file.class_names != content->class_names) {
    return absl::InvalidArgumentError(
        "the file has class names of its own and others are given: leave "
        "them out");
  }
  if (content->class_names.empty()) {
    return absl::InvalidArgumentError(
        "the file has no class names: give them beside it");
  }
  const auto resolved = SpecOfFile(&*content, limits);
  if (!resolved.ok()) return resolved.status();

  auto set = std::make_shared<stores::WeightSet>();
  set->class_names.reserve(resolved->num_classes());
  for (int c = 0; c < resolved->num_classes(); ++c) {
    set->class_names.push_back(resolved->name(c));
  }
  resolved->SetDecisions(set.get());
  set->embedding_dim = model.embedding_dim;
  const int64_t num_rows = set->num_rows();
  const int64_t dim = model.embedding_dim;
  const absl::StatusOr<Layout> layout = FindLayout(
      content->shape, num_rows, dim,
      content->layout != Layout::kUnknown ? content->layout : file.layout);
  if (!layout.ok()) return layout.status();
  const bool class_after_class =
      (*layout == Layout::kClassRows) != content->fortran_order;
  set->weights = class_after_class
                     ? Gather(*content, num_rows, dim, dim, 1)
                     : Gather(*content, num_rows, dim, 1, num_rows);
  if (absl::Status checked = CheckUnitRows(*set); !checked.ok()) return checked;
  set->model_fingerprint = model.fingerprint;
  set->create_time = absl::Now();
  set->id = ImportedId(*set);

  ImportedSet imported{set, resolved->Warnings()};
  if (content->model_fingerprint.empty() && file.model_fingerprint.empty()) {
    imported.warnings.emplace_back(
        "the file does not say which model made it: only the dimension was "
        "compared with this server's");
  }
  return imported;
}

std::string ExportHeader(const stores::WeightSet& set, FileFormat format,
                         Layout layout) {
  if (format == FileFormat::kSafetensors) return stores::SerializeHeader(set);
  const bool columns = layout == Layout::kClassColumns;
  const int64_t rows = set.num_rows(), d = set.embedding_dim;
  return columns ? NpyHeader({d, rows}, /*fortran_order=*/true)
                 : NpyHeader({rows, d}, /*fortran_order=*/false);
}

}  // namespace zeroshot
