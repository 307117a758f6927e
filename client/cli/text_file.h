// Text files as people have them.
#ifndef ZEROSHOT_CLIENT_CLI_TEXT_FILE_H_
#define ZEROSHOT_CLIENT_CLI_TEXT_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace zeroshot::client {

// The text of a file as UTF-8, without a byte order mark. It is read as UTF-8
// or as UTF-16 of either byte order, which spreadsheets and Windows' editors
// write; without a mark UTF-16 is told by its zero bytes.
//
// InvalidArgument: it is neither, as Latin-1 is not; the message has the line,
// whose ends may be LF, CR LF or CR.
absl::StatusOr<std::string> TextOfFile(absl::string_view bytes);

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_TEXT_FILE_H_
