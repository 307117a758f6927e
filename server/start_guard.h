// What the program says if memory or threads are too few to start in.
// Thread rule: called by main only.
#ifndef ZEROSHOT_SERVER_START_GUARD_H_
#define ZEROSHOT_SERVER_START_GUARD_H_

namespace zeroshot::server {

// What to do about it, after a semicolon.
inline constexpr char kMoreMemory[] =
    "a limit may stand in the way (ulimit -v or -u, a container's or a "
    "unit's); --check says what the weights take";

// Whether this process may use less address space than there is. Then whatever
// a library fails in may be want of memory.
bool AddressSpaceIsLimited();

// From before main on, an allocation that fails ends the program with a message
// and exit status 1, whether C++ notices or a library that aborts, crashes or
// exits on it. From this call on it is the failure of one call, as usual, and
// whoever ends the program has said why. A program that names this function is
// guarded.
void EndStartGuard();

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_START_GUARD_H_
