// What --check does: says what a server would serve, and what would keep it
// from that.
#ifndef ZEROSHOT_SERVER_CHECK_H_
#define ZEROSHOT_SERVER_CHECK_H_

#include <string>

#include "absl/status/statusor.h"
#include "clip/model.h"
#include "server/options.h"

namespace zeroshot::server {

// A description, one line each, of the checkpoint and of what else the options
// name: certificates, tokens, stores. Reads the checkpoint's configuration and
// list of tensors alone, opens no port and writes nothing.
//
// The first thing that would keep a server from starting, as Model::Load,
// MakeServerCredentials and Tokens::Load say it.
absl::StatusOr<std::string> Check(const Options& options);

// That the weights alone are more than the memory that this process may use;
// empty: they are not.
std::string MemoryWarning(const clip::ModelInfo& info);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_CHECK_H_
