#include "server/tracing.h"

namespace zeroshot::server {

bool CanTrace() { return false; }

std::unique_ptr<Tracer> StartTracer(const TracingOptions&) { return nullptr; }

}  // namespace zeroshot::server
