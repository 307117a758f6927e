// What a CLIP checkpoint is, in numbers: everything that is needed to know
// which tensors it must hold and what the towers compute with them.
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
#include "clip/image.h"

namespace clip {

enum class Activation {
  kQuickGelu,  // x * sigmoid(1.702 x)
  kGelu,       // x * Phi(x), by erf
  kTanhGelu,   // the same by its approximation with tanh
};

// "quick_gelu", "gelu" or "tanh_gelu".
absl::string_view ActivationName(Activation activation);

// A stack of residual attention blocks, with the norms before what they add:
//   x = x + attention(norm(x)),  x = x + mlp(norm(x))
struct TransformerShape {
  int width = 0;
  int layers = 0;
  int heads = 0;
  int mlp_width = 0;
  Activation activation = Activation::kQuickGelu;
  double norm_epsilon = 1e-5;
  // As in EVA02: the MLP is silu(W x) * V x, W and V below each other, in the
  // activation's place, and there are norms before its last layer and before
  // that of the attention.
  bool gated = false;
  // As in BERT: the norms are behind the sums, x = norm(x + attention(x)) and
  // x = norm(x + mlp(x)). Not with `gated`.
  bool norm_after = false;

  // Multiplications of all products with weights for one token, about.
  int64_t multiplications() const {
    return int64_t{12} * width * width * layers;
  }
};

// From a tower's width to the embedding's: x P + b, or with a hidden layer
// gelu(x H + c) P + b, by erf. Without b and c where they are not.
struct ProjectionShape {
  bool used = true;
  bool bias = false;
  int hidden = 0;  // width of the hidden layer; 0: there is none
  bool hidden_bias = false;
};

// How the tokens of a vision transformer become one row.
enum class VitPool {
  kClass,      // the class token's, then the norm
  kMean,       // the mean of the patches', then the norm
  kAttention,  // behind the norm a learned query attends to all of them, and
               // an MLP of its own follows
  kQueries,    // behind a norm learned queries of the embedding's width do, and
               // the first one's is the row; the norm follows
};

// Dosovitskiy et al. 2020. What is not said otherwise is CLIP's: a norm before
// the blocks too, no bias in the patch embedding, the class token pooled, a
// matrix as projection. Of an image whose side is no multiple of the patch,
// what is left over at the right and at the bottom is not seen.
struct VitShape {
  // Positions as rotations: clip/torch/rotary.h.
  struct Rotary {
    bool used = false;
    bool columns_first = false;  // of a head's pairs; else rows
    int offset = 0;              // of the first place
    int reference_grid = 0;      // that places are scaled to; 0: they are not
  };

  int patch = 0;
  TransformerShape transformer;
  bool class_token = true;
  bool class_position = true;  // if there is a class token
  bool patch_bias = false;
  // SigLIP 2's NaFlex: images of any grid of patches, to which the positions
  // are resized; the patch embedding is a matrix over rows [patch, patch, 3].
  bool any_grid = false;
  bool stem = false;   // clip/torch/patch_stem.h in the patch embedding's place
  Rotary rotary = {};  // beside the positions that are added
  bool norm_before = true;
  VitPool pool = VitPool::kClass;
  int pool_heads = 0;  // of kAttention and kQueries
  // Of kAttention; its width and norm are the transformer's.
  int pool_mlp_width = 0;
  Activation pool_activation = Activation::kGelu;
  int pool_queries = 0;  // of kQueries
  ProjectionShape projection = {};

  int grid(int image_size) const { return image_size / patch; }
  int tokens(int image_size) const {
    return grid(image_size) * grid(image_size) + (class_token ? 1 : 0);
  }
};

// OpenAI's ModifiedResNet: a stem of three convolutions, average pools where
// ResNet strides, attention pooling at the end.
struct ResNetShape {
  int width = 0;                   // channels after the stem
  std::array<int, 4> blocks = {};  // bottlenecks of each stage
  int heads = 0;                   // of the attention pool
};

// Which tokens of its text a token sees.
enum class TextMask {
  kCausal,   // itself and those before it
  kNone,     // all up to the context length, padding included
  kPadding,  // all but the padding, which therefore changes nothing
};

// Which token of a text stands for it.
enum class TextPool {
  kHighest,  // the first that has the highest id: CLIP's end token
  kFirst,
  kLast,   // of all positions, padding included
  kEnd,    // the first that is Architecture::end_token
  kClass,  // a learned one behind all positions: WithClassTokens
  kMean,   // no single one: the mean of all, without padding
};

struct Architecture {
  int embedding_dim = 0;
  int image_size = 0;
  std::variant<VitShape, ResNetShape> vision;
  int context_length = 0;
  int vocab_size = 0;
  // With norms behind the sums, as in BERT, a type of text is added to each
  // token beside its position, there is a norm behind that, and none behind the
  // last block.
  TransformerShape text;
  TextMask text_mask = TextMask::kCausal;
  TextPool text_pool = TextPool::kHighest;
  int end_token = 0;  // of kEnd
  // What shorter texts are padded with, and on which side.
  int pad_token = 0;
  bool pad_left = false;
  // Of TextMask::kPadding: whether the token that pads takes a position where a
  // text spells it. BERT's does, RoBERTa's does not.
  bool padding_has_places = false;
  ProjectionShape text_projection = {};
  // Whether the logits have a bias: the model was trained by SigLIP's loss, for
  // which each pair of image and text is right or wrong by itself, so that its
  // score function is the sigmoid.
  bool logit_bias = false;
  // How images become image_size x image_size: as in CropShape.
  ResizeMode resize = ResizeMode::kShortest;
  bool bilinear = false;
  uint8_t fill = 0;
  int most_patches = 0;  // of kPatches
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

// The name of a known vision tower ("ViT-B/32", "ViT-L/14@336px", "RN50",
// "SigLIP-So400m/14"), or a description ("ViT-w192-l6/12", "RN-w16-1.1.1.1").
std::string FamilyName(const Architecture& architecture);

// All of it in one line of text, for the fingerprint: equal lines, equal maths.
std::string Describe(const Architecture& architecture);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CHECKPOINT_ARCHITECTURE_H_
