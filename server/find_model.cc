#include "server/find_model.h"

#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace zeroshot::server {
namespace {

// Where models are looked up by name, in this order.
std::vector<std::filesystem::path> ModelFolders() {
  std::error_code error;
  const std::filesystem::path program =
      std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  return {
      program / ".." / "share" / "zeroshot" / "models",  // installed
      program / ".." / ".." / ".." / "models",  // build/<preset>/server
      ZEROSHOT_MODELS_DIR,                      // a build tree elsewhere
  };
}

}  // namespace

absl::StatusOr<std::string> FindModel(absl::string_view model) {
  const std::string name(model);
  const std::filesystem::path path(name);
  std::error_code error;
  const bool may_be_name =
      !name.empty() && path == path.filename() && name != "." && name != "..";
  if (may_be_name) {
    for (const std::filesystem::path& folder : ModelFolders()) {
      if (std::filesystem::exists(folder / name, error)) {
        return (folder / name).lexically_normal().string();
      }
    }
  }
  if (std::filesystem::exists(path, error)) return name;
  return absl::NotFoundError(absl::StrCat(
      "no such file or folder",
      may_be_name ? ", and no model of that name in the models folder" : ""));
}

}  // namespace zeroshot::server
