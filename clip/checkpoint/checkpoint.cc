#include "clip/checkpoint/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "clip/checkpoint/formats.h"
#include "clip/checkpoint/mapped_file.h"
#include "clip/quoted.h"
#include "clip/sha256.h"
#include "clip/tokenizer.h"

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

// The shape that each part of a required tensor has in the file.
std::vector<int64_t> PartShape(std::vector<int64_t> shape,
                               const WeightSource& source) {
  if (source.transposed) std::swap(shape[0], shape[1]);
  if (source.parts.size() > 1)
    shape[0] /= static_cast<int64_t>(source.parts.size());
  return shape;
}

absl::StatusOr<Weight> TakeWeight(const TensorSpec& spec,
                                  const WeightSource& source,
                                  const TensorMap& tensors) {
  const std::vector<int64_t> expected = PartShape(spec.shape, source);
  Weight weight{spec.shape, {}, source.parts, source.transposed};
  for (const std::string& name : source.parts) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", Quoted(name),
                                                     " is missing, expected ",
                                                     ShapeText(expected)));
    }
    const TensorView& tensor = found->second;
    if (tensor.shape != expected || !IsWeightDType(tensor.dtype)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor ", Quoted(name), " is ", DTypeName(tensor.dtype), " ",
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
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", Quoted(name), " ", ShapeText(tensor.shape),
                     " has no place in this architecture"));
  }
  checkpoint->owners = std::move(file.owners);
  return absl::OkStatus();
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path) {
  const std::string name = BaseName(path);
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  absl::StatusOr<Checkpoint> checkpoint;
  if (!fs::exists(status)) {
    return absl::NotFoundError(absl::StrCat("no checkpoint '", name, "'"));
  } else if (!fs::is_directory(status)) {
    checkpoint = ReadOpenAi(path);
  } else if (fs::exists(fs::path(path) / "open_clip_config.json", error)) {
    checkpoint = ReadOpenClip(path);
  } else if (fs::exists(fs::path(path) / "config.json", error)) {
    checkpoint = ReadHuggingFace(path);
  } else {
    checkpoint = absl::InvalidArgumentError(
        "the folder has neither config.json (Hugging Face) nor "
        "open_clip_config.json (open_clip)");
  }
  if (!checkpoint.ok()) {
    return absl::Status(checkpoint.status().code(),
                        absl::StrCat("checkpoint '", name,
                                     "': ", checkpoint.status().message()));
  }
  checkpoint->name = name;
  return checkpoint;
}

absl::Status CheckFinite(const Checkpoint& checkpoint) {
  for (const auto& [name, weight] : checkpoint.weights) {
    for (size_t i = 0; i < weight.parts.size(); ++i) {
      const TensorView& part = weight.parts[i];
      const int64_t index = FirstNotFinite(part);
      if (index < 0) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "checkpoint '", checkpoint.name, "': tensor ",
          Quoted(weight.part_names[i]), " ", ShapeText(part.shape),
          " holds NaN or infinite values, the first at element ", index,
          ": the file is damaged, fetch or export it again"));
    }
  }
  return absl::OkStatus();
}

std::string Fingerprint(const Checkpoint& checkpoint) {
  Sha256 hash;
  // The first field is raised when the meaning of the rest changes.
  hash.UpdateField("clip-fingerprint-1");
  hash.UpdateField(absl::StrCat(
      "openai-clip-bpe start=", Tokenizer::kStartOfText,
      " end=", Tokenizer::kEndOfText, " vocab=", Tokenizer::kVocabSize));
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
