#include "clip/checkpoint/state_dict.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/quoted.h"

namespace clip {
namespace {

// What a class that holds the model calls it: its name is in front of all
// tensors. Not "visual" and the like, which are the model's own.
constexpr absl::string_view kHolders[] = {"model.", "clip.", "clip_model.",
                                          "net."};

// A name without the parts that wrappers add anywhere in it.
std::string WithoutWrappers(absl::string_view name) {
  std::vector<absl::string_view> parts = absl::StrSplit(name, '.');
  parts.erase(std::remove_if(parts.begin(), parts.end(),
                             [](absl::string_view part) {
                               return part == "module" || part == "_orig_mod";
                             }),
              parts.end());
  return absl::StrJoin(parts, ".");
}

// The holder's name that all tensors start with; empty if there is none.
absl::string_view HolderOf(const TensorMap& tensors) {
  for (const absl::string_view holder : kHolders) {
    const bool all =
        std::all_of(tensors.begin(), tensors.end(),
                    [&](const TensorMap::value_type& tensor) {
                      return absl::StartsWith(tensor.first, holder);
                    });
    if (all && !tensors.empty()) return holder;
  }
  return "";
}

// Renames all tensors.
template <typename Rename>
absl::Status RenameAll(const Rename& rename, TensorMap* tensors) {
  TensorMap renamed;
  for (auto& [name, tensor] : *tensors) {
    std::string own = rename(name);
    const auto [it, added] = renamed.emplace(std::move(own), tensor);
    if (added) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", base::Quoted(name), " is there twice: as ",
                     base::Quoted(it->first), " too"));
  }
  *tensors = std::move(renamed);
  return absl::OkStatus();
}

// Whether a name has `part`.
bool AnyHas(const TensorMap& tensors, absl::string_view part) {
  return std::any_of(tensors.begin(), tensors.end(),
                     [&](const TensorMap::value_type& tensor) {
                       return absl::StrContains(tensor.first, part);
                     });
}

struct KnownModel {
  absl::string_view part;  // of a name that only this kind has
  absl::string_view what;
};

constexpr KnownModel kKnownModels[] = {
    {"lora_",
     "a LoRA adapter: merge it into its model first "
     "(merge_and_unload) and save that"},
    {"diffusion_model.",
     "a Stable Diffusion checkpoint, which has no "
     "image tower of CLIP's"},
    {"down_blocks.", "a diffusion model, no CLIP"},
    {"vision_model.head.attention",
     "a SigLIP, whose folder must say the rest: config.json and the "
     "tokenizer's files"},
    {"visual.trunk.",
     "a model of open_clip's with an image tower of timm, whose folder must "
     "say which: open_clip_config.json"},
    {"text_decoder.", "a CoCa model, which is not supported"},
    {"qformer.", "a BLIP-2 model, which is not supported"},
    {"text.transformer.encoder.",
     "a model of open_clip's with a text tower of Hugging Face, whose folder "
     "must say which: open_clip_config.json"},
    {"text_model.encoder.", "a text tower without an image tower"},
    {"vision_model.encoder.", "an image tower without a text tower"},
    {"optimizer.", "the state of an optimizer, no model"},
};

}  // namespace

Naming NamingOf(const TensorMap& tensors) {
  if (tensors.contains("token_embedding.weight") &&
      (tensors.contains("visual.proj") ||
       tensors.contains("visual.attnpool.c_proj.weight"))) {
    return Naming::kOpenAi;
  }
  if (tensors.contains("text_model.embeddings.token_embedding.weight")) {
    if (tensors.contains("vision_model.embeddings.class_embedding"))
      return Naming::kHuggingFace;
    if (tensors.contains("vision_model.head.probe")) return Naming::kSiglip;
  }
  if ((tensors.contains("token_embedding.weight") &&
       AnyHas(tensors, "visual.trunk.")) ||
      AnyHas(tensors, "text.transformer.embeddings.")) {
    return Naming::kOpenClipFolder;
  }
  return Naming::kOther;
}

absl::Status CleanNames(TensorFile* file) {
  TensorMap* tensors = &file->tensors;
  absl::Status status = RenameAll(WithoutWrappers, tensors);
  for (absl::string_view holder = HolderOf(*tensors);
       status.ok() && !holder.empty(); holder = HolderOf(*tensors)) {
    status = RenameAll(
        [&](const std::string& name) { return name.substr(holder.size()); },
        tensors);
  }
  constexpr absl::string_view kText = "text.";
  if (!status.ok() || !tensors->contains("text.token_embedding.weight"))
    return status;
  file->writer = Writer::kOpenClip;
  return RenameAll(
      [&](const std::string& name) {
        return absl::StartsWith(name, kText) ? name.substr(kText.size()) : name;
      },
      tensors);
}

std::string KindOfModel(const TensorMap& tensors) {
  if (tensors.empty()) return "a file without tensors";
  for (const KnownModel& known : kKnownModels) {
    if (AnyHas(tensors, known.part)) return std::string(known.what);
  }
  return absl::StrCat(
      "not a CLIP model of OpenAI's, open_clip's or Hugging "
      "Face's names; first tensor found: ",
      base::Quoted(tensors.begin()->first), " ",
      ShapeText(tensors.begin()->second.shape));
}

}  // namespace clip
