// ExportWeightSet and ImportWeightSet: files that go over the wire in pieces.
// What is in them is up to zeroshot/weight_set_file.h.
#ifndef ZEROSHOT_SERVER_TRANSFERS_H_
#define ZEROSHOT_SERVER_TRANSFERS_H_

#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/calls.h"
#include "server/options.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::server {

// Either moves at least --min_transfer_rate bytes per second, but for the first
// --client_patience, or is DeadlineExceeded: places are few, and a client that
// sends a byte now and then must not hold one.

// Hands the file's pieces to `write`, which returns false when the client has
// gone. InvalidArgument: a format or layout that there is not. NotFound: no
// such set. Cancelled: the client has gone.
absl::Status ExportWeightSet(
    const Call& call, const ServerOptions& options,
    const v1::ExportWeightSetRequest& request,
    const std::function<bool(const v1::ExportWeightSetResponse&)>& write);

// Takes a file's pieces from `read`, which returns false at their end or what
// is wrong with a piece, checks the file, and stores the set. It takes at most
// three times what was sent, which --max_import_bytes bounds. InvalidArgument,
// FailedPrecondition: see ReadWeightSetFile, or over a limit. DataLoss: not the
// bytes that the header tells of.
// ResourceExhausted: no room in the store. `stopping` is asked between pieces.
absl::Status ImportWeightSet(
    const Call& call, const ServerOptions& options,
    const std::function<absl::StatusOr<bool>(v1::ImportWeightSetRequest*)>&
        read,
    const std::function<absl::Status()>& stopping,
    v1::ImportWeightSetResponse* response);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_TRANSFERS_H_
