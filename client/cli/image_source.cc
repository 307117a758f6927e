#include "client/cli/image_source.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <istream>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/cli/command.h"

namespace zeroshot::client {

struct ImageSource::Folder {
  std::string path;  // ends in '/'
  std::string names;
  std::vector<std::pair<size_t, size_t>> files, folders;  // begin and size
  size_t next_file = 0, next_folder = 0;

  absl::string_view Name(const std::pair<size_t, size_t>& at) const {
    return absl::string_view(names).substr(at.first, at.second);
  }
};

namespace {

constexpr size_t kBlockBytes = 1 << 16;

// Follows links, as to files; false too where nothing is there.
bool IsFolder(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

NamedImage Unreadable(std::string name, absl::Status why) {
  return {std::move(name), std::move(why)};
}

}  // namespace

std::vector<FlagDefinition> ImageSourceFlags() {
  return {
      {"recursive", nullptr, "of a folder also what is in its subfolders"},
      {"files_from", "FILE",
       "read names from FILE (- is stdin), one per line or ended by NUL"},
  };
}

ImageSource::ImageSource(std::vector<std::string> named, std::string list,
                         bool recursive, std::istream* in)
    : named_(std::move(named)),
      list_(std::move(list)),
      recursive_(recursive),
      in_(in) {}

ImageSource::~ImageSource() = default;

absl::StatusOr<std::unique_ptr<ImageSource>> ImageSource::Open(
    const Arguments& arguments, std::istream& in) {
  const std::vector<std::string>& named = arguments.positional();
  const std::string list = arguments.Text("files_from");
  if (arguments.Has("files_from") && list.empty()) {
    return absl::InvalidArgumentError("--files_from is empty");
  }
  if (named.empty() && list.empty()) {
    return absl::InvalidArgumentError(
        "no image; name files, folders or archives, or - for stdin");
  }
  if (std::count(named.begin(), named.end(), "-") + (list == "-") > 1) {
    return absl::InvalidArgumentError("stdin (-) is named twice");
  }
  if (!list.empty() && list != "-") {
    const std::ifstream file(list);
    if (!file || IsFolder(list)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--files_from=", list, ": cannot be read"));
    }
  }
  return std::unique_ptr<ImageSource>(
      new ImageSource(named, list, arguments.Has("recursive"), &in));
}

absl::StatusOr<std::unique_ptr<ImageSource>> ImageSource::OfFolder(
    const std::string& folder) {
  if (!IsFolder(folder)) {
    return absl::InvalidArgumentError(
        absl::StrCat(Printable(folder), ": no folder"));
  }
  return std::unique_ptr<ImageSource>(
      new ImageSource({folder}, "", /*recursive=*/true, nullptr));
}

std::optional<std::vector<std::string>> ImageSource::OnlyFiles() const {
  if (!list_.empty()) return std::nullopt;
  for (const std::string& path : named_) {
    if (path != "-" && (IsArchiveName(path) || IsFolder(path))) {
      return std::nullopt;
    }
  }
  return named_;
}

std::optional<int64_t> ImageSource::Count() const {
  if (list_ == "-") return std::nullopt;
  for (const std::string& path : named_) {
    if (IsArchiveName(path)) return std::nullopt;
  }
  ImageSource names(named_, list_, recursive_, in_);
  int64_t count = 0;
  while (true) {
    if (const auto image = names.NextOfFolders(); image.has_value()) {
      ++count;
      continue;
    }
    const auto path = names.NextNamed();
    if (!path.has_value()) return count;
    if (IsArchiveName(*path)) return std::nullopt;
    count += *path == "-" || names.Enter(*path).has_value();
  }
}

std::optional<NamedImage> ImageSource::Next() {
  while (true) {
    if (auto image = NextOfArchive(); image.has_value()) return image;
    if (auto image = NextOfFolders(); image.has_value()) return image;
    const std::optional<std::string> path = NextNamed();
    if (!path.has_value()) return std::nullopt;
    if (*path == "-") return NamedImage{"-", std::nullopt};
    if (auto image = Enter(*path); image.has_value()) return image;
  }
}

std::optional<std::string> ImageSource::NextNamed() {
  if (next_named_ < named_.size()) return named_[next_named_++];
  if (list_.empty()) return std::nullopt;
  std::optional<std::string> line = NextLine();
  if (line == "-") line = "./-";  // stdin is no file of a list
  return line;
}

std::optional<std::string> ImageSource::NextLine() {
  const bool begins = lines_ == nullptr;
  if (begins && list_ == "-") {
    lines_ = in_;
  } else if (begins) {
    list_file_.open(list_, std::ios::binary);
    lines_ = &list_file_;
  }
  const auto read = [&] {
    std::string block(kBlockBytes, '\0');
    lines_->read(block.data(), static_cast<std::streamsize>(block.size()));
    block.resize(static_cast<size_t>(lines_->gcount()));
    read_.erase(0, std::exchange(next_line_, 0));
    read_ += block;
    return !block.empty();
  };
  if (begins) {
    read();
    // `find -print0`: no name has a NUL in it.
    if (absl::StrContains(read_, absl::string_view("\0", 1))) separator_ = '\0';
    absl::string_view text = read_;
    if (absl::ConsumePrefix(&text, "\xef\xbb\xbf")) next_line_ = 3;
  }
  while (true) {
    size_t end = read_.find(separator_, next_line_);
    while (end == std::string::npos && read()) end = read_.find(separator_);
    const bool last = end == std::string::npos;
    absl::string_view line = absl::string_view(read_).substr(
        next_line_, last ? absl::string_view::npos : end - next_line_);
    if (separator_ == '\n') line = absl::StripSuffix(line, "\r");
    std::string result(line);
    next_line_ = last ? read_.size() : end + 1;
    if (!result.empty()) return result;
    if (last) return std::nullopt;
  }
}

std::optional<NamedImage> ImageSource::Enter(const std::string& path) {
  if (IsFolder(path)) {
    auto failed =
        EnterFolder(absl::EndsWith(path, "/") ? path : absl::StrCat(path, "/"));
    if (failed.has_value()) return failed;
    const Folder& folder = *folders_.back();
    if (folder.files.empty() && folder.folders.empty()) {
      return Unreadable(
          path, absl::NotFoundError(absl::StrCat(
                    "a folder in which no file has the name of an image",
                    recursive_ ? "" : "; --recursive looks into subfolders")));
    }
    return std::nullopt;
  }
  if (!IsArchiveName(path)) return NamedImage{path, std::nullopt};
  auto archive = ImageArchive::Open(path);
  if (!archive.ok()) return Unreadable(path, archive.status());
  archive_ = *std::move(archive);
  archive_path_ = path;
  return std::nullopt;
}

std::optional<NamedImage> ImageSource::EnterFolder(const std::string& path) {
  DIR* const open = opendir(path.c_str());
  if (open == nullptr) {
    const int error = errno;
    return Unreadable(
        path, absl::Status(error == EACCES ? absl::StatusCode::kPermissionDenied
                                           : absl::StatusCode::kUnknown,
                           std::generic_category().message(error)));
  }
  auto folder = std::make_unique<Folder>();
  folder->path = path;
  while (const dirent* entry = readdir(open)) {
    const absl::string_view name = entry->d_name;
    // Those that begin with a dot are hidden: ".git", "._photo.jpg".
    if (absl::StartsWith(name, ".")) continue;
    bool is_folder = entry->d_type == DT_DIR;
    if (entry->d_type == DT_UNKNOWN)
      is_folder = IsFolder(absl::StrCat(path, name));
    // A link to a folder is not followed: it may lead in a circle.
    if (entry->d_type == DT_LNK && IsFolder(absl::StrCat(path, name))) continue;
    if (is_folder ? !recursive_ : !IsImageName(name)) continue;
    (is_folder ? folder->folders : folder->files)
        .emplace_back(folder->names.size(), name.size());
    absl::StrAppend(&folder->names, name);
  }
  closedir(open);
  for (auto* list : {&folder->files, &folder->folders}) {
    list->shrink_to_fit();
    std::sort(list->begin(), list->end(), [&](const auto& a, const auto& b) {
      return folder->Name(a) < folder->Name(b);
    });
  }
  folders_.push_back(std::move(folder));
  return std::nullopt;
}

std::optional<NamedImage> ImageSource::NextOfFolders() {
  while (!folders_.empty()) {
    Folder& folder = *folders_.back();
    if (folder.next_file < folder.files.size()) {
      return NamedImage{
          absl::StrCat(folder.path,
                       folder.Name(folder.files[folder.next_file++])),
          std::nullopt};
    }
    if (folder.next_folder == folder.folders.size()) {
      folders_.pop_back();
      continue;
    }
    const std::string path = absl::StrCat(
        folder.path, folder.Name(folder.folders[folder.next_folder++]), "/");
    if (auto failed = EnterFolder(path); failed.has_value()) return failed;
  }
  return std::nullopt;
}

std::optional<NamedImage> ImageSource::NextOfArchive() {
  if (archive_ == nullptr) return std::nullopt;
  auto member = archive_->Next(ClientOptions().max_message_bytes);
  if (member.ok() && member->has_value()) {
    return NamedImage{absl::StrCat(archive_path_, "/", (*member)->name),
                      std::move((*member)->bytes)};
  }
  archive_ = nullptr;
  if (member.ok()) return std::nullopt;
  return Unreadable(archive_path_, member.status());
}

absl::StatusOr<std::string> ImageSource::Read(const NamedImage& image,
                                              std::istream& in) {
  return image.bytes.has_value() ? *image.bytes : ReadInput(image.name, in);
}

}  // namespace zeroshot::client
