// Weight sets that travel as files: safetensors and NumPy's .npy, out of this
// server (as it stores them) and into it (from another one, or made in Python
// as OpenAI's notebook does).
//
// An imported set has no prompts, so it cannot be built again; its id is made
// from what it is (model, class names, vectors, what it decides with), whatever
// id a file claims. Otherwise anyone could put vectors of their own under the
// id of a set that others build.
#ifndef ZEROSHOT_ZEROSHOT_WEIGHT_SET_FILE_H_
#define ZEROSHOT_ZEROSHOT_WEIGHT_SET_FILE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "clip/model.h"
#include "stores/weight_set.h"
#include "zeroshot/classifier_spec.h"

namespace zeroshot {

enum class FileFormat { kSafetensors, kNpy };

// How class vectors stand in a matrix.
enum class Layout {
  kUnknown,       // as the shape says
  kClassRows,     // [C + B, D], as weight sets are stored
  kClassColumns,  // [D, C + B], as OpenAI's notebook makes them
};

// A file and what is known about it. Borrows the bytes.
struct FileToImport {
  // Told apart by their beginning. .npy: one matrix. safetensors: a matrix
  // "weights", or a single one of any name; __metadata__ may have `labels` (a
  // JSON list of class names), `model_fingerprint`, and what a stored set has
  // for its background and decisions (stores/stored_set.h).
  absl::string_view bytes;
  std::vector<std::string> class_names = {};  // for a file that has none
  Layout layout = Layout::kUnknown;
  std::string model_fingerprint = {};  // empty: not known, or the file says it
};

struct ImportedSet {
  std::shared_ptr<const stores::WeightSet> set;
  std::vector<std::string> warnings;
};

// Reads and checks a file for `model`. float16, bfloat16, float32 and float64
// are taken as they are, without normalising anything.
//
// InvalidArgument: not such a file, damaged, no or too many class names, a
// matrix that does not fit them and the model, an ambiguous one (square), or a
// vector that is not finite or not of length 1. FailedPrecondition: of another
// model.
absl::StatusOr<ImportedSet> ReadWeightSetFile(const FileToImport& file,
                                              const clip::ModelInfo& model,
                                              const BuildLimits& limits);

// What stands before WeightBytes(set) in a file. A matrix of columns is the
// same bytes in NumPy's Fortran order. REQUIRES: kClassColumns only for kNpy.
std::string ExportHeader(const stores::WeightSet& set, FileFormat format,
                         Layout layout);

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_WEIGHT_SET_FILE_H_
