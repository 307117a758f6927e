// What a CLIP checkpoint is, in numbers: everything that is needed to know
// which tensors it must hold and what the towers compute with them.
// Thread rule: plain values.
#ifndef ZEROSHOT_CLIP_CHECKPOINT_ARCHITECTURE_H_
#define ZEROSHOT_CLIP_CHECKPOINT_ARCHITECTURE_H_

#include <array>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace clip {

enum class Activation {
  kQuickGelu,  // x * sigmoid(1.702 x)
  kGelu,       // x * Phi(x), by erf
};

// "quick_gelu" or "gelu".
absl::string_view ActivationName(Activation activation);

// A stack of pre-norm residual attention blocks.
struct TransformerShape {
  int width = 0;
  int layers = 0;
  int heads = 0;
  int mlp_width = 0;
  Activation activation = Activation::kQuickGelu;
  double norm_epsilon = 1e-5;

  // Multiplications of all products with weights for one token, about.
  int64_t multiplications() const {
    return int64_t{12} * width * width * layers;
  }
};

// Dosovitskiy et al. 2020, as in CLIP: a norm before the blocks too, no bias in
// the patch embedding, the class token pooled.
struct VitShape {
  int patch = 0;
  TransformerShape transformer;
};

// OpenAI's ModifiedResNet: a stem of three convolutions, average pools where
// ResNet strides, attention pooling at the end.
struct ResNetShape {
  int width = 0;                   // channels after the stem
  std::array<int, 4> blocks = {};  // bottlenecks of each stage
  int heads = 0;                   // of the attention pool
};

struct Architecture {
  int embedding_dim = 0;
  int image_size = 0;
  std::variant<VitShape, ResNetShape> vision;
  int context_length = 0;
  int vocab_size = 0;
  TransformerShape text;
  // Whether a token of a text sees only itself and those before it, as in all
  // of OpenAI's models. If not, it sees all up to the context length, padding
  // included.
  bool causal_text = true;
  // How images become image_size x image_size: CropShape::squash.
  bool squash = false;
  // Of the pixels in 0 ... 1, by channel (red, green, blue). OpenAI's values.
  std::array<float, 3> mean = {0.48145466f, 0.4578275f, 0.40821073f};
  std::array<float, 3> std = {0.26862954f, 0.26130258f, 0.27577711f};
};

// InvalidArgument if a number is out of range or does not divide another as it
// must; the message names it.
absl::Status CheckArchitecture(const Architecture& architecture);

struct TensorSpec {
  std::string name;
  std::vector<int64_t> shape;
};

// The tensors of a checkpoint, by the names of OpenAI's state dicts, which we
// use for all formats. REQUIRES: CheckArchitecture said OK.
std::vector<TensorSpec> RequiredTensors(const Architecture& architecture);

// OpenAI's nine published architectures by name, "ViT-B/32" and so on.
struct NamedArchitecture {
  std::string name;
  Architecture architecture;
};
const std::vector<NamedArchitecture>& KnownArchitectures();

// The name of a known vision tower ("ViT-B/32", "ViT-L/14@336px", "RN50"), or a
// description ("ViT-w192-l6/12", "RN-w16-1.1.1.1").
std::string FamilyName(const Architecture& architecture);

// All of it in one line of text, for the fingerprint: equal lines, equal maths.
std::string Describe(const Architecture& architecture);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CHECKPOINT_ARCHITECTURE_H_
