#include "server/authorizer.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "server/grpc_status.h"
#include "server/log.h"
#include "server/methods.h"
#include "server/request_tag.h"

namespace zeroshot::server {
namespace {

absl::string_view Find(const Authorizer::InputMetadata& metadata,
                       const char* key) {
  const auto it = metadata.find(key);
  if (it == metadata.end()) return "";
  return {it->second.data(), it->second.size()};
}

}  // namespace

grpc::Status Authorizer::Process(const InputMetadata& metadata,
                                 grpc::AuthContext*, OutputMetadata*,
                                 OutputMetadata*) {
  base::TakeOver(this);
  const absl::string_view path = Find(metadata, ":path");
  if (absl::StartsWith(path, "/grpc.health.v1.Health/")) {
    return grpc::Status::OK;
  }
  const Method* const method =
      std::find_if(std::begin(kMethods), std::end(kMethods),
                   [path](const Method& known) { return known.path == path; });
  const bool known = method != std::end(kMethods);
  const absl::Status status =
      tokens_
          ->Check(Find(metadata, "authorization"),
                  known ? method->needed : Permission::kClassify)
          .status();
  if (status.ok() || (known && absl::IsPermissionDenied(status))) {
    return grpc::Status::OK;
  }
  // A label of the caller's own making would never end.
  const absl::string_view name = known ? method->name() : "other";
  metrics_->CallEnded(name, status, absl::ZeroDuration());
  // gRPC does not tell whose connection it is before it has read the request.
  const RequestTag tag = TagOf(metadata);
  LogCall({name, "", tag.id, tag.trace(), "", status, absl::ZeroDuration()});
  return ToGrpcStatus(status);
}

}  // namespace zeroshot::server
