// What a Hugging Face folder says about preprocessing: in
// preprocessor_config.json, or under "image_processor" in
// processor_config.json, the only file that transformers 5 writes and the one
// that it prefers. Keys and defaults: transformers' image_processing_clip.py.
#include <filesystem>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "clip/checkpoint/config_reader.h"
#include "clip/checkpoint/formats.h"

namespace clip {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr char kPreprocessor[] = "preprocessor_config.json";
constexpr char kProcessor[] = "processor_config.json";
constexpr char kImageProcessor[] = "image_processor";

// Classes that compute alike; of another class the same keys mean something
// else.
void ExpectClipProcessor(const std::string& key, ConfigReader* config) {
  const std::string name = config->Text(key, "");
  for (const char* known : {"", "CLIPImageProcessor", "CLIPImageProcessorFast",
                            "CLIPImageProcessorPil", "CLIPFeatureExtractor"}) {
    if (name == known) return;
  }
  config->Expect(key, "CLIPImageProcessor");
}

// The parts of preprocessing that CropForModel and the towers do in one way
// only must be asked for in that way.
void ReadPreprocessing(const json& root, const std::string& where,
                       Architecture* all, absl::Status* status) {
  ConfigReader config(root, where, status);
  ExpectClipProcessor("image_processor_type", &config);
  ExpectClipProcessor("feature_extractor_type", &config);
  for (const char* key : {"do_resize", "do_center_crop", "do_rescale",
                          "do_normalize", "do_convert_rgb"}) {
    config.Expect(key, true);
  }
  config.Expect("do_pad", false);
  config.Expect("use_square_size", false);
  constexpr int kPillowBicubic = 3;
  config.Expect("resample", kPillowBicubic);
  const double scale = config.Number("rescale_factor", 1.0 / 255);
  if (scale < 0.99 / 255 || scale > 1.01 / 255)
    config.Expect("rescale_factor", 1.0 / 255);
  all->mean = config.Triple("image_mean", all->mean);
  all->std = config.Triple("image_std", all->std);
  for (const char* key : {"size", "crop_size"}) {
    if (config.Side(key, all->image_size) != all->image_size)
      config.Expect(key, all->image_size);
  }
  // {"height", "width"} instead of {"shortest_edge"}: both sides become so.
  const json size = config.Raw("size");
  all->squash = size.is_object() && size.size() == 2 &&
                size.contains("height") && size.contains("width");
  if (size.is_object() && !all->squash && !size.contains("shortest_edge"))
    config.Expect("size", json{{"shortest_edge", all->image_size}});
  // Written along, and read by no step that is done.
  config.NoOthers({"processor_class", "_valid_processor_keys",
                   "_processor_class", "_name_or_path", "transformers_version",
                   "auto_map", "data_format", "input_data_format", "device",
                   "return_tensors", "disable_grouping", "default_to_square",
                   "pad_size", "image_seq_length", "size_divisor"});
}

}  // namespace

absl::Status ReadPreprocessingFiles(const std::string& folder,
                                    Architecture* all) {
  std::error_code error;
  std::string file;
  json found;
  std::string where;
  for (const char* name : {kProcessor, kPreprocessor}) {
    if (!found.is_null() || !fs::exists(fs::path(folder) / name, error))
      continue;
    const absl::StatusOr<json> read =
        ReadJsonObject(absl::StrCat(folder, "/", name));
    if (!read.ok()) return read.status();
    file = name;
    if (name == kPreprocessor) {
      found = *read;
      where = "";
    } else if (read->contains(kImageProcessor)) {
      found = (*read)[kImageProcessor];
      where = absl::StrCat(kImageProcessor, ".");
    }
  }
  if (found.is_null()) return absl::OkStatus();
  if (!found.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", file, "': '", kImageProcessor, "' is no object"));
  }
  absl::Status status;
  ReadPreprocessing(found, where, all, &status);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(
      absl::StrCat("'", file, "': ", status.message()));
}

}  // namespace clip
