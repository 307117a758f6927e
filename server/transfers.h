// ExportWeightSet and ImportWeightSet: files that go over the wire in pieces.
// What is in them is up to zeroshot/weight_set_file.h.
//
// Thread rule: free functions; call them from any thread.
#ifndef ZEROSHOT_SERVER_TRANSFERS_H_
#define ZEROSHOT_SERVER_TRANSFERS_H_

#include <functional>

#include "absl/status/status.h"
#include "server/calls.h"
#include "server/options.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::server {

// Hands the file's pieces to `write`, which returns false when the client has
// gone. InvalidArgument: a format or layout that there is not. NotFound: no
// such set. Cancelled: the client has gone.
absl::Status ExportWeightSet(
    const Call& call, const v1::ExportWeightSetRequest& request,
    const std::function<bool(const v1::ExportWeightSetResponse&)>& write);

// Takes a file's pieces from `read`, which returns false at their end, checks
// the file, and stores the set. Memory is bounded by --max_import_bytes.
// InvalidArgument, FailedPrecondition: see ReadWeightSetFile, or over a limit.
// ResourceExhausted: no room in the store. `stopping` is asked between pieces.
absl::Status ImportWeightSet(
    const Call& call, const ServerOptions& options,
    const std::function<bool(v1::ImportWeightSetRequest*)>& read,
    const std::function<absl::Status()>& stopping,
    v1::ImportWeightSetResponse* response);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_TRANSFERS_H_
