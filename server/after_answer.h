// What lives for as long as the answer of a call is on its way: gRPC's sync API
// sends it on the request's thread after the handler has returned, and tells
// that thread when it has left.
#ifndef ZEROSHOT_SERVER_AFTER_ANSWER_H_
#define ZEROSHOT_SERVER_AFTER_ANSWER_H_

#include <memory>

namespace zeroshot::server {

// Keeps `what` until the answer of the call that this thread runs has been
// sent, or is known not to arrive. REQUIRES: called by the call's own handler.
void KeepUntilSent(std::shared_ptr<void> what);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_AFTER_ANSWER_H_
