// Which files of a folder are the checkpoint: folders of Hugging Face and
// open_clip, those around them (a hub's cache, a sentence-transformers bundle),
// and folders that hold several kinds.
#ifndef ZEROSHOT_CLIP_CHECKPOINT_CHECKPOINT_FOLDER_H_
#define ZEROSHOT_CLIP_CHECKPOINT_CHECKPOINT_FOLDER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace clip {

enum class CheckpointFormat { kBare, kHuggingFace, kOpenClip };

struct CheckpointFolder {
  std::string name;    // of the model: the folder's, or the repository's
  std::string folder;  // where the files lie
  CheckpointFormat format = CheckpointFormat::kBare;
  // Files of that folder. Empty: none is there; `no_weights` says what was
  // looked for.
  std::vector<std::string> weights;
  std::string no_weights;
};

// Of several that are complete, open_clip's is taken. The order of the weights'
// names is open_clip's (_find_checkpoint_in_dir) and transformers'.
//
// InvalidArgument: the folder holds no checkpoint, or more than one; the
// message says what it is if that is known.
absl::StatusOr<CheckpointFolder> FindCheckpoint(const std::string& path);

// The repository's name, where `path` is the top folder of one in a hub's
// cache ("models--org--name") or a snapshot in it; else the base name.
std::string ModelName(const std::string& path);

// Whether open_clip alone gives files of weights that name.
bool IsOpenClipsName(const std::string& file);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CHECKPOINT_CHECKPOINT_FOLDER_H_
