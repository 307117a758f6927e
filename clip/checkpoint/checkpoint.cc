#include "clip/checkpoint/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <set>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/quoted.h"
#include "base/sha256.h"
#include "clip/checkpoint/checkpoint_folder.h"
#include "clip/checkpoint/formats.h"
#include "clip/checkpoint/mapped_file.h"
#include "clip/checkpoint/state_dict.h"
#include "clip/checkpoint/weights_file.h"
#include "clip/clip_tokenizer.h"

namespace clip {
namespace {

namespace fs = std::filesystem;

// State dicts of real models hold these beside the weights; nothing is
// computed with them, or they say what the shapes say.
bool IsKnownBuffer(absl::string_view name) {
  static constexpr absl::string_view kNames[] = {
      "input_resolution", "context_length", "vocab_size",
      "attn_mask",        "position_ids",   "num_batches_tracked"};
  const absl::string_view last =
      name.substr(name.rfind('.') + 1);  // npos + 1 is 0
  for (const absl::string_view known : kNames) {
    if (last == known) return true;
  }
  return false;
}

bool IsWeightDType(DType dtype) {
  return dtype == DType::kFloat32 || dtype == DType::kFloat16 ||
         dtype == DType::kBFloat16;
}

absl::string_view Bytes(absl::Span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The index of the first value that is NaN or infinite, whose exponent bits are
// all ones; -1 if there is none.
template <typename Bits>
int64_t FirstNotFinite(absl::Span<const uint8_t> bytes, Bits exponent) {
  // Blocks, so that the compiler can use vector registers in each.
  constexpr size_t kBlock = 4096;
  const size_t count = bytes.size() / sizeof(Bits);
  Bits block[kBlock];
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t size = std::min(kBlock, count - begin);
    std::memcpy(block, &bytes[begin * sizeof(Bits)], size * sizeof(Bits));
    bool found = false;
    for (size_t i = 0; i < size; ++i) {
      found |= (block[i] & exponent) == exponent;
    }
    if (!found) continue;
    for (size_t i = 0; i < size; ++i) {
      if ((block[i] & exponent) == exponent) return begin + i;
    }
  }
  return -1;
}

int64_t FirstNotFinite(const TensorView& tensor) {
  switch (tensor.dtype) {
    case DType::kFloat16:
      return FirstNotFinite<uint16_t>(tensor.bytes, 0x7c00);
    case DType::kBFloat16:
      return FirstNotFinite<uint16_t>(tensor.bytes, 0x7f80);
    default:  // IsWeightDType
      return FirstNotFinite<uint32_t>(tensor.bytes, 0x7f800000);
  }
}

// The shape that a part of a required tensor has in the file.
std::vector<int64_t> PartShape(std::vector<int64_t> shape,
                               const WeightSource& source, size_t part) {
  if (source.transposed) std::swap(shape[0], shape[1]);
  if (source.parts.size() == 1) return shape;
  const std::vector<int> shares = source.shares.empty()
                                      ? std::vector<int>(source.parts.size(), 1)
                                      : source.shares;
  shape[0] = shape[0] / std::accumulate(shares.begin(), shares.end(), 0) *
             shares[part];
  return shape;
}

// Of a tensor the rows from `first` on, as many as are expected, if it has
// them.
void TakeRows(int64_t first, const std::vector<int64_t>& expected,
              TensorView* tensor) {
  if (tensor->shape.size() != expected.size() || tensor->shape[0] == 0 ||
      tensor->shape[0] - first < expected[0]) {
    return;
  }
  const size_t row = tensor->bytes.size() / tensor->shape[0];
  tensor->bytes = tensor->bytes.subspan(first * row, expected[0] * row);
  tensor->shape[0] = expected[0];
}

absl::StatusOr<Weight> TakeWeight(const TensorSpec& spec,
                                  const WeightSource& source,
                                  const TensorMap& tensors) {
  Weight weight{spec.shape, {}, source.parts, source.transposed};
  for (size_t part = 0; part < source.parts.size(); ++part) {
    const std::string& name = source.parts[part];
    const std::vector<int64_t> expected = PartShape(spec.shape, source, part);
    if (name.empty()) {
      weight.parts.push_back({DType::kFloat32, expected, {}});
      continue;
    }
    const auto found = tensors.find(name);
    if (found == tensors.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor ", base::Quoted(name), " is missing, expected ",
          ShapeText(expected),
          tensors.empty()
              ? ""
              : absl::StrCat("; first tensor found: ",
                             base::Quoted(tensors.begin()->first))));
    }
    TensorView tensor = found->second;
    // Some trainers keep a scalar as a vector of one, and rows in a batch of
    // one.
    for (int axes = expected.empty() ? 1 : 2;
         axes > 0 && tensor.shape.size() > expected.size() &&
         tensor.shape[0] == 1;
         --axes) {
      tensor.shape.erase(tensor.shape.begin());
    }
    if (source.first_row >= 0) TakeRows(source.first_row, expected, &tensor);
    if (tensor.shape != expected || !IsWeightDType(tensor.dtype)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor ", base::Quoted(name), " is ", DTypeName(tensor.dtype), " ",
          ShapeText(tensor.shape), ", expected float32, float16 or bfloat16 ",
          ShapeText(expected)));
    }
    weight.parts.push_back(tensor);
  }
  return weight;
}

}  // namespace

WeightSource SameName(const std::string& required) { return {{required}}; }

absl::Status TakeWeights(TensorFile file, const WeightNaming& naming,
                         Checkpoint* checkpoint) {
  absl::Status status = CheckArchitecture(checkpoint->architecture);
  if (!status.ok()) return status;
  std::set<std::string, std::less<>> taken;
  for (const TensorSpec& spec : RequiredTensors(checkpoint->architecture)) {
    const WeightSource source = naming(spec.name);
    absl::StatusOr<Weight> weight = TakeWeight(spec, source, file.tensors);
    if (!weight.ok()) return weight.status();
    checkpoint->weights.emplace(spec.name, *std::move(weight));
    taken.insert(source.parts.begin(), source.parts.end());
  }
  for (const auto& [name, tensor] : file.tensors) {
    if (taken.contains(name) || IsKnownBuffer(name)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "tensor ", base::Quoted(name), " ", ShapeText(tensor.shape),
        " has no place in this architecture"));
  }
  checkpoint->owners = std::move(file.owners);
  return absl::OkStatus();
}

namespace {

// A file, with the configuration of its folder where that is for its names.
absl::StatusOr<Checkpoint> ReadFile(const std::string& path,
                                    const std::string& activation) {
  absl::StatusOr<TensorFile> file = ReadWeightsFile(path);
  if (!file.ok()) return file.status();
  const fs::path folder = fs::path(path).parent_path();
  const auto has = [&](const char* config) {
    std::error_code error;
    return fs::exists(folder / config, error);
  };
  const Naming naming = NamingOf(file->tensors);
  const CheckpointSource source{folder.empty() ? "." : folder.string(),
                                [&] { return file; }};
  if (file->writer != Writer::kOpenAi) {
    if ((naming == Naming::kHuggingFace || naming == Naming::kSiglip) &&
        has(kHuggingFaceConfig)) {
      return ReadHuggingFace(source);
    }
    if ((naming == Naming::kOpenAi || naming == Naming::kOpenClipFolder) &&
        has(kOpenClipConfig))
      return ReadOpenClip(source);
  }
  if (IsOpenClipsName(BaseName(path))) file->writer = Writer::kOpenClip;
  return ReadBare(*std::move(file), activation);
}

absl::StatusOr<Checkpoint> ReadFolder(const CheckpointFolder& found,
                                      const std::string& activation) {
  const CheckpointSource source{
      found.folder, [&]() -> absl::StatusOr<TensorFile> {
        if (found.weights.empty())
          return absl::InvalidArgumentError(found.no_weights);
        return ReadWeightsFiles(found.folder, found.weights);
      }};
  switch (found.format) {
    case CheckpointFormat::kHuggingFace:
      return ReadHuggingFace(source);
    case CheckpointFormat::kOpenClip:
      return ReadOpenClip(source);
    case CheckpointFormat::kBare:
      break;
  }
  if (found.weights.size() == 1)
    return ReadFile(found.folder + "/" + found.weights[0], activation);
  absl::StatusOr<TensorFile> file = source.read_weights();
  if (!file.ok()) return file.status();
  return ReadBare(*std::move(file), activation);
}

absl::StatusOr<Checkpoint> ReadPath(const std::string& path,
                                    const std::string& activation) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    absl::StatusOr<Checkpoint> checkpoint = ReadFile(path, activation);
    if (checkpoint.ok()) checkpoint->name = BaseName(path);
    return checkpoint;
  }
  const absl::StatusOr<CheckpointFolder> found = FindCheckpoint(path);
  if (!found.ok()) return found.status();
  absl::StatusOr<Checkpoint> checkpoint = ReadFolder(*found, activation);
  if (checkpoint.ok()) checkpoint->name = found->name;
  return checkpoint;
}

// Whether the towers compute as asked for.
absl::Status CheckActivation(const Architecture& all,
                             const std::string& activation) {
  if (activation == "auto") return absl::OkStatus();
  const auto* vit = std::get_if<VitShape>(&all.vision);
  const bool as_asked =
      ActivationName(all.text.activation) == activation &&
      (vit == nullptr ||
       ActivationName(vit->transformer.activation) == activation);
  if (as_asked) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--activation=", activation,
      " contradicts the checkpoint's configuration; leave it out"));
}

}  // namespace

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path,
                                          const std::string& activation) {
  const std::string name = ModelName(path);
  std::error_code error;
  if (!fs::exists(path, error)) {
    return absl::NotFoundError(absl::StrCat("no checkpoint '", name, "'"));
  }
  absl::StatusOr<Checkpoint> checkpoint = ReadPath(path, activation);
  absl::Status status =
      checkpoint.ok() ? CheckActivation(checkpoint->architecture, activation)
                      : checkpoint.status();
  if (!status.ok()) {
    // A file is named once.
    const std::string where = absl::StrCat(base::Quoted(name), ": ");
    return absl::Status(
        status.code(),
        absl::StrCat("checkpoint ", where,
                     absl::StripPrefix(status.message(), where)));
  }
  return checkpoint;
}

absl::Status CheckVocabulary(const Checkpoint& checkpoint) {
  const int size = checkpoint.architecture.vocab_size;
  const bool clips = checkpoint.tokenizer == SharedClipTokenizer();
  const int tokens = checkpoint.tokenizer->vocab_size();
  // A table may have rows for no token, so that its size is a round number.
  if (size == tokens || (!clips && size > tokens)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "checkpoint '", checkpoint.name, "': its vocabulary has ", size,
      " tokens, ", clips ? "CLIP's" : "its", " tokenizer has ", tokens,
      clips ? ": it is made for another tokenizer, whose files are not there"
            : ": the tokenizer's files are another model's"));
}

absl::Status CheckFinite(const Checkpoint& checkpoint) {
  for (const auto& [name, weight] : checkpoint.weights) {
    for (size_t i = 0; i < weight.parts.size(); ++i) {
      const TensorView& part = weight.parts[i];
      const int64_t index = FirstNotFinite(part);
      if (index < 0) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "checkpoint '", checkpoint.name, "': tensor ",
          base::Quoted(weight.part_names[i]), " ", ShapeText(part.shape),
          " holds NaN or infinite values, the first at element ", index,
          ": the file is damaged, fetch or export it again"));
    }
  }
  return absl::OkStatus();
}

std::vector<int32_t> UnseenTokens(const Checkpoint& checkpoint) {
  const Weight& table = checkpoint.weights.at("token_embedding.weight");
  const absl::Span<const uint8_t> bytes = table.parts[0].bytes;
  const size_t row = bytes.size() / table.shape[0];
  std::vector<int32_t> unseen;
  for (int32_t id = 0; id < table.shape[0]; ++id) {
    const uint8_t* const begin = &bytes[id * row];
    if (std::all_of(begin, begin + row, [](uint8_t b) { return b == 0; }))
      unseen.push_back(id);
  }
  return unseen;
}

std::string Fingerprint(const Checkpoint& checkpoint) {
  base::Sha256 hash;
  // The first field is raised when the meaning of the rest changes.
  hash.UpdateField("clip-fingerprint-1");
  hash.UpdateField(checkpoint.tokenizer->description());
  hash.UpdateField("resize=bicubic shortest center-crop");
  hash.UpdateField(Describe(checkpoint.architecture));
  for (const auto& [name, weight] : checkpoint.weights) {
    hash.UpdateField(name);
    hash.UpdateField(absl::StrCat(ShapeText(weight.shape),
                                  weight.transposed ? " transposed" : ""));
    for (const TensorView& part : weight.parts) {
      hash.UpdateField(DTypeName(part.dtype));
      hash.UpdateField(Bytes(part.bytes));
    }
  }
  return hash.HexDigest();
}

}  // namespace clip
