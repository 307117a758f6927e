// Files that describe classifiers, in JSON. Errors are InvalidArgument; the
// message says what was found and, of prompts, in which line.
#ifndef ZEROSHOT_CLIENT_CLI_SPEC_FILE_H_
#define ZEROSHOT_CLIENT_CLI_SPEC_FILE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/types.h"

namespace zeroshot::client {

// Prompts by class: {"frog": ["a green animal that jumps", ...], ...}, as CuPL
// and CLIP_benchmark write them. The classes keep the file's order. An error
// also: a class without prompts. REQUIRES: the text is UTF-8.
absl::StatusOr<ClassifierSpec> ParsePrompts(absl::string_view json);

// A BuildClassifierRequest of the wire contract as protobuf writes it in JSON;
// it has `classes` or `class_set`. Anything else is read as prompts by class.
// Example images are paths of files, from `folder` on (empty, or with a slash
// at its end), or data URIs. An error also: one that cannot be read. REQUIRES:
// the text is UTF-8.
absl::StatusOr<ClassifierSpec> ParseSpec(absl::string_view json,
                                         const std::string& folder);

// Classes from a tree of images: a subfolder is a class, what is in it its
// examples. An error also: images beside the subfolders, or none at all.
absl::StatusOr<std::vector<ClassDefinition>> ReadClassFolders(
    const std::string& folder);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_SPEC_FILE_H_
