// The project's own files, for tests that hold rules over them.
#ifndef ZEROSHOT_TESTS_RULES_SOURCE_TREE_H_
#define ZEROSHOT_TESTS_RULES_SOURCE_TREE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace rules {

// Every file but those of hidden folders (.ci is none of them), of build*, and
// of models other than the demo. Paths begin at the project's folder.
std::vector<std::string> ProjectFiles();

// The C++ and CUDA files of the rooms clip, zeroshot, server, client, tests.
std::vector<std::string> SourceFiles();

// The lines of a file of the project.
std::vector<std::string> Lines(const std::string& path);

// The header that a line includes, empty if it includes none.
absl::string_view IncludedHeader(absl::string_view line);

}  // namespace rules

#endif  // ZEROSHOT_TESTS_RULES_SOURCE_TREE_H_
