#include "client/cli/command.h"

#include <ostream>

#include "absl/strings/str_cat.h"
#include "client/cli/json.h"

namespace zeroshot::client {

int UsageError(const Invocation& run, const absl::Status& status) {
  *run.console.err << "zeroshot_client " << run.command << ": "
                   << Printable(status.message()) << "\n"
                   << "Try: zeroshot_client " << run.command << " --help\n";
  return kUsage;
}

int CallFailed(const Invocation& run, const absl::Status& status) {
  if (run.json) {
    *run.console.out << JsonObject().Json("error", JsonError(status)).str()
                     << "\n";
    return kCallFailed;
  }
  std::ostream& err = *run.console.err;
  err << "zeroshot_client " << run.command << ": " << HumanError(status)
      << "\n";
  if (absl::IsUnavailable(status)) {
    err << "Is a server ready at " << Printable(run.target)
        << "? --target=HOST:PORT names another one; zeroshot_server starts "
           "one.\n";
  }
  return kCallFailed;
}

std::string JsonError(const absl::Status& status) {
  return JsonObject()
      .Text("code", absl::StatusCodeToString(status.code()))
      .Text("message", status.message())
      .str();
}

std::string HumanError(const absl::Status& status) {
  return absl::StrCat(Printable(status.message()), " (",
                      absl::StatusCodeToString(status.code()), ")");
}

}  // namespace zeroshot::client
