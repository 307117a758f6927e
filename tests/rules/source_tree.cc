#include "tests/rules/source_tree.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"

namespace rules {
namespace {

namespace fs = std::filesystem;

const fs::path& Root() {
  static const auto* root = new fs::path(ZEROSHOT_SOURCE_DIR);
  return *root;
}

// Hidden folders are git's, our own .deps and .cache, and those of tools.
bool IsIgnored(const std::string& path, bool is_folder) {
  const std::string name = fs::path(path).filename();
  return (is_folder && name.front() == '.' && path != ".ci") ||
         path == ".git" ||  // a file in a linked worktree
         path == "build" || absl::StartsWith(path, "build-") ||
         name == "__pycache__" ||
         (absl::StartsWith(path, "models/") && path != "models/demo" &&
          !absl::StartsWith(path, "models/demo/"));
}

}  // namespace

std::vector<std::string> ProjectFiles() {
  std::vector<std::string> files;
  for (fs::recursive_directory_iterator it(Root()), end; it != end; ++it) {
    const std::string path = it->path().lexically_relative(Root());
    if (IsIgnored(path, it->is_directory())) {
      it.disable_recursion_pending();
    } else if (it->is_regular_file()) {
      files.push_back(path);
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::string> SourceFiles() {
  std::vector<std::string> sources;
  for (const std::string& path : ProjectFiles()) {
    const std::string room = path.substr(0, path.find('/'));
    if (room != "base" && room != "clip" && room != "stores" &&
        room != "zeroshot" && room != "server" && room != "client" &&
        room != "tests") {
      continue;
    }
    if (absl::EndsWith(path, ".h") || absl::EndsWith(path, ".cc") ||
        absl::EndsWith(path, ".cu") || absl::EndsWith(path, ".cuh")) {
      sources.push_back(path);
    }
  }
  return sources;
}

std::vector<std::string> Lines(const std::string& path) {
  std::ifstream file(Root() / path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

absl::string_view IncludedHeader(absl::string_view line) {
  line = absl::StripLeadingAsciiWhitespace(line);
  if (!absl::ConsumePrefix(&line, "#")) return "";
  line = absl::StripLeadingAsciiWhitespace(line);
  if (!absl::ConsumePrefix(&line, "include")) return "";
  line = absl::StripLeadingAsciiWhitespace(line);
  if (!absl::ConsumePrefix(&line, "<") && !absl::ConsumePrefix(&line, "\"")) {
    return "";
  }
  return line.substr(0, line.find_first_of(">\""));
}

}  // namespace rules
