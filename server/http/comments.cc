#include "server/http/comments.h"

#include <google/protobuf/descriptor.pb.h>

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "server/http/embedded_pages.h"

namespace zeroshot::server::http {
namespace {

// The contract with its comments, which generated code leaves out.
const google::protobuf::DescriptorPool& Pool() {
  static const auto* const pool = [] {
    auto* const made = new google::protobuf::DescriptorPool;
    google::protobuf::FileDescriptorSet files;
    const absl::string_view bytes = embedded::descriptors();
    if (files.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      for (const auto& file : files.file()) made->BuildFile(file);
    }
    return made;
  }();
  return *pool;
}

template <typename Described>
std::string CommentBefore(const Described* described) {
  google::protobuf::SourceLocation location;
  if (described == nullptr || !described->GetSourceLocation(&location)) {
    return "";
  }
  std::vector<absl::string_view> lines =
      absl::StrSplit(location.leading_comments, '\n', absl::SkipWhitespace());
  for (absl::string_view& line : lines) line = absl::StripAsciiWhitespace(line);
  return absl::StrJoin(lines, " ");
}

}  // namespace

std::string CommentOf(const google::protobuf::Descriptor& message) {
  return CommentBefore(Pool().FindMessageTypeByName(message.full_name()));
}

std::string CommentOf(const google::protobuf::FieldDescriptor& field) {
  return CommentBefore(Pool().FindFieldByName(field.full_name()));
}

}  // namespace zeroshot::server::http
