// What the program says if memory is too little to start in.
// Thread rule: called by main only.
#ifndef ZEROSHOT_SERVER_START_GUARD_H_
#define ZEROSHOT_SERVER_START_GUARD_H_

namespace zeroshot::server {

// From before main on, an allocation that fails ends the program with a message
// and exit status 1, whether C++ or a library that aborts on it notices. From
// this call on it is the failure of one call, as usual. A program that names
// this function is guarded.
void EndStartGuard();

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_START_GUARD_H_
