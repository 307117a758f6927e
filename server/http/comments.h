// What proto/zeroshot/v1 says of its messages and fields: the comments before
// them, in one line.
#ifndef ZEROSHOT_SERVER_HTTP_COMMENTS_H_
#define ZEROSHOT_SERVER_HTTP_COMMENTS_H_

#include <google/protobuf/descriptor.h>

#include <string>

namespace zeroshot::server::http {

// Empty if there is none.
std::string CommentOf(const google::protobuf::Descriptor& message);
std::string CommentOf(const google::protobuf::FieldDescriptor& field);

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_COMMENTS_H_
