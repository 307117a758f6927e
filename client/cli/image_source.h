// The images that a command is given: files, folders, archives, lists of them,
// stdin. They come one at a time, so that a million take no more memory than
// the names of one folder.
//
// Thread rule: use from one thread at a time.
#ifndef ZEROSHOT_CLIENT_CLI_IMAGE_SOURCE_H_
#define ZEROSHOT_CLIENT_CLI_IMAGE_SOURCE_H_

#include <cstdint>
#include <fstream>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/arguments.h"
#include "client/cli/image_archive.h"

namespace zeroshot::client {

std::vector<FlagDefinition> ImageSourceFlags();  // --recursive, --files_from

struct NamedImage {
  std::string name;  // a path; of an archive's member "shard.tar/member.jpg"
  // What was read with the name, or why it cannot be read. None: a file, which
  // Read reads.
  std::optional<absl::StatusOr<std::string>> bytes;
};

class ImageSource {
 public:
  // Reads the flags and the positional arguments. Borrows `in`.
  // InvalidArgument: nothing is named, a list that cannot be read, or stdin
  // named twice.
  static absl::StatusOr<std::unique_ptr<ImageSource>> Open(
      const Arguments& arguments, std::istream& in);

  // All in a folder and its subfolders. InvalidArgument: it is none.
  static absl::StatusOr<std::unique_ptr<ImageSource>> OfFolder(
      const std::string& folder);

  ~ImageSource();

  // The next one; none at the end. Files of a folder come in the order of their
  // names, those that are no images by their names are left out, and then its
  // subfolders. What cannot be read comes as an image without bytes.
  std::optional<NamedImage> Next();

  static absl::StatusOr<std::string> Read(const NamedImage& image,
                                          std::istream& in);

  // All of it, if the arguments are nothing but names of files.
  std::optional<std::vector<std::string>> OnlyFiles() const;

  // How many there are, counted by the names; none where that takes reading
  // (stdin, archives).
  std::optional<int64_t> Count() const;

 private:
  // The names in a folder, sorted, in one piece of memory.
  struct Folder;

  ImageSource(std::vector<std::string> named, std::string list, bool recursive,
              std::istream* in);

  std::optional<std::string> NextNamed();
  std::optional<std::string> NextLine();
  std::optional<NamedImage> NextOfFolders();
  std::optional<NamedImage> NextOfArchive();
  // None: the path has become a folder or archive to go on with.
  std::optional<NamedImage> Enter(const std::string& path);
  std::optional<NamedImage> EnterFolder(const std::string& path);

  const std::vector<std::string> named_;
  const std::string list_;  // of --files_from; empty: none
  const bool recursive_;
  std::istream* const in_;

  size_t next_named_ = 0;
  std::ifstream list_file_;
  std::istream* lines_ = nullptr;  // where the list is read; null: not yet
  char separator_ = '\n';
  std::string read_;  // of the list, from next_line_ on
  size_t next_line_ = 0;
  std::vector<std::unique_ptr<Folder>> folders_;  // the last one is in work
  std::unique_ptr<ImageArchive> archive_;
  std::string archive_path_;
};

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_IMAGE_SOURCE_H_
