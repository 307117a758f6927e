#include "client/cli/command.h"

#include <cstdlib>
#include <ostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/json.h"
#include "client/credentials.h"
#include "client/error_info.h"

namespace zeroshot::client {

int UsageError(const Invocation& run, const absl::Status& status) {
  *run.console.err << "zeroshot_client " << run.command << ": "
                   << Printable(status.message()) << "\n"
                   << "Try: zeroshot_client " << run.command << " --help\n";
  return kUsage;
}

namespace {

// A line that says through which proxy gRPC asks, if it does. Neither it nor
// its errors say so.
std::string WayThroughProxy(const std::string& target) {
  if (IsLoopbackTarget(target)) return "";
  for (const char* variable : {"grpc_proxy", "https_proxy", "http_proxy"}) {
    const char* proxy = std::getenv(variable);
    if (proxy == nullptr || *proxy == '\0') continue;
    return absl::StrCat("It is asked through the proxy of ", variable,
                        "; no_proxy=HOST,... names those that are not.\n");
  }
  return "";
}

// What can be done, as lines; empty where the message says all.
std::string Hint(const Invocation& run, const absl::Status& status) {
  const std::string target = Printable(run.target);
  const absl::string_view message = status.message();
  if (absl::IsNotFound(status)) {
    const bool needs_a_set = run.command == "classify" ||
                             run.command == "bench" || run.command == "show" ||
                             run.command == "export";
    if (!needs_a_set) return "";
    return "`zeroshot_client build` makes a weight set again, `import` one "
           "that "
           "was imported; `list` shows those that the server has.\n";
  }
  if (!absl::IsUnavailable(status)) return "";
  // The words of OpenSSL and of BoringSSL for what is no TLS, and for a
  // certificate that is not trusted.
  if (absl::StrContains(message, "wrong version number") ||
      absl::StrContains(message, "WRONG_VERSION_NUMBER")) {
    return absl::StrCat(target,
                        " does not speak TLS: leave out --tls, --tls_ca and "
                        "--tls_cert.\n");
  }
  if (absl::StrContains(message, "certificate verify failed") ||
      absl::StrContains(message, "CERTIFICATE_VERIFY_FAILED")) {
    return absl::StrCat("The certificate of ", target,
                        " is signed by an authority that is not trusted; "
                        "--tls_ca=FILE names the right one.\n");
  }
  // A server that wants TLS, or a certificate, hangs up without a word.
  if (absl::StrContains(message, "Socket closed") ||
      absl::StrContains(message, "Connection reset") ||
      absl::StrContains(message, "Broken pipe")) {
    const bool tls = run.arguments.Has("tls") || run.arguments.Has("tls_ca") ||
                     run.arguments.Has("tls_cert");
    if (tls && run.arguments.Has("tls_cert")) return "";
    return absl::StrCat(
        target, " is there and hung up. ",
        tls ? "Does it want a certificate of yours? --tls_cert=FILE "
              "--tls_key=FILE shows one.\n"
            : "Does it want TLS? --tls_ca=FILE (or --tls) turns it on.\n");
  }
  return absl::StrCat("Is a server ready at ", target,
                      "? --target=HOST:PORT names another one; zeroshot_server "
                      "starts one.\n",
                      WayThroughProxy(run.target));
}

}  // namespace

int CallFailed(const Invocation& run, const absl::Status& status) {
  if (run.json) {
    *run.console.out << JsonObject().Json("error", JsonError(status)).str()
                     << "\n";
    return kCallFailed;
  }
  *run.console.err << "zeroshot_client " << run.command << ": "
                   << HumanError(status) << "\n"
                   << Hint(run, status);
  return kCallFailed;
}

std::string NameOf(ScoreFunction function) {
  switch (function) {
    case v1::SCORE_FUNCTION_SOFTMAX:
      return "softmax";
    case v1::SCORE_FUNCTION_SIGMOID:
      return "sigmoid";
    default:  // also one that this client does not know
      return "unspecified";
  }
}

std::string JsonError(const absl::Status& status) {
  JsonObject error;
  error.Text("code", absl::StatusCodeToString(status.code()));
  const std::string reason = ReasonOf(status);
  if (!reason.empty()) error.Text("reason", reason);
  return error.Text("message", status.message()).str();
}

std::string HumanError(const absl::Status& status) {
  return absl::StrCat(Printable(status.message()), " (",
                      absl::StatusCodeToString(status.code()), ")");
}

std::string FileError(const std::string& path, const absl::Status& status) {
  std::string line = absl::StrCat(path == "-" ? "stdin" : Printable(path), ": ",
                                  HumanError(status));
  const bool pattern = path.find_first_of("*?[") != std::string::npos;
  if (absl::IsNotFound(status) && pattern) {
    absl::StrAppend(&line, "; the shell found no file that matches");
  }
  return line;
}

}  // namespace zeroshot::client
