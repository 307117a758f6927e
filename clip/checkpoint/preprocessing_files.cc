// What a Hugging Face folder says about preprocessing: in
// preprocessor_config.json, or under "image_processor" in
// processor_config.json, the only file that transformers 5 writes and the one
// that it prefers. Keys: transformers' image_processing_clip.py and
// image_processing_siglip.py.
#include <filesystem>
#include <initializer_list>
#include <system_error>
#include <variant>

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
void ExpectProcessor(const std::string& key, const std::string& family,
                     ConfigReader* config) {
  const std::string name = config->Text(key, "");
  if (name.empty()) return;
  for (const char* kind : {"ImageProcessor", "ImageProcessorFast",
                           "ImageProcessorPil", "FeatureExtractor"}) {
    if (name == family + kind) return;
  }
  config->Expect(key, family + "ImageProcessor");
}

// Written along, and read by no step that is done.
constexpr std::initializer_list<const char*> kNotRead = {
    "processor_class", "_valid_processor_keys", "_processor_class",
    "_name_or_path",   "transformers_version",  "auto_map",
    "data_format",     "input_data_format",     "device",
    "return_tensors",  "disable_grouping",      "default_to_square",
    "pad_size",        "image_seq_length",      "size_divisor"};

// The parts of preprocessing that CropForModel and the towers do in one way
// only must be asked for in that way.
void ReadPreprocessing(const json& root, const std::string& where,
                       const std::string& family, Architecture* all,
                       absl::Status* status) {
  ConfigReader config(root, where, status);
  ExpectProcessor("image_processor_type", family, &config);
  ExpectProcessor("feature_extractor_type", family, &config);
  for (const char* key :
       {"do_resize", "do_rescale", "do_normalize", "do_convert_rgb"}) {
    config.Expect(key, true);
  }
  config.Expect("do_pad", false);
  config.Expect("use_square_size", false);
  constexpr int kPillowBilinear = 2, kPillowBicubic = 3;
  const bool patches = all->resize == ResizeMode::kPatches;
  all->bilinear =
      config.Int("resample", patches ? kPillowBilinear : kPillowBicubic) ==
      kPillowBilinear;
  if (!all->bilinear) config.Expect("resample", kPillowBicubic);
  const double scale = config.Number("rescale_factor", 1.0 / 255);
  if (scale < 0.99 / 255 || scale > 1.01 / 255)
    config.Expect("rescale_factor", 1.0 / 255);
  all->mean = config.Triple("image_mean", all->mean);
  all->std = config.Triple("image_std", all->std);
  if (patches) {
    const int patch = std::get<VitShape>(all->vision).patch;
    if (config.Int("patch_size", 16) != patch)
      config.Expect("patch_size", patch);
    all->most_patches = config.Int("max_num_patches", all->most_patches);
    for (const char* key : {"size", "crop_size"}) config.Expect(key, nullptr);
    config.Expect("do_center_crop", false);
    return config.NoOthers(kNotRead);
  }
  for (const char* key : {"size", "crop_size"}) {
    if (config.Side(key, all->image_size) != all->image_size)
      config.Expect(key, all->image_size);
  }
  // {"height", "width"} instead of {"shortest_edge"}: both sides become so.
  const json size = config.Raw("size");
  if (!size.is_null()) {
    const bool both = size.is_object() && size.size() == 2 &&
                      size.contains("height") && size.contains("width");
    all->resize = both ? ResizeMode::kSquash : ResizeMode::kShortest;
  }
  // Of an image that has the crop's size already nothing is cut off.
  const bool cuts = all->resize == ResizeMode::kShortest;
  if (cuts) config.Expect("do_center_crop", true);
  config.Raw("do_center_crop");
  if (size.is_object() && cuts && !size.contains("shortest_edge"))
    config.Expect("size", json{{"shortest_edge", all->image_size}});
  config.NoOthers(kNotRead);
}

}  // namespace

absl::Status ReadPreprocessingFiles(const std::string& folder,
                                    const std::string& family,
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
  ReadPreprocessing(found, where, family, all, &status);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(
      absl::StrCat("'", file, "': ", status.message()));
}

}  // namespace clip
