// clip::Caller under this room's name.
#ifndef ZEROSHOT_ZEROSHOT_CALLER_H_
#define ZEROSHOT_ZEROSHOT_CALLER_H_

#include "clip/caller.h"

namespace zeroshot {

using clip::Caller;
using clip::CallerGone;
using clip::DeadlinePassed;

}  // namespace zeroshot

#endif  // ZEROSHOT_ZEROSHOT_CALLER_H_
