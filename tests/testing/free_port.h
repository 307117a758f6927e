// Ports for servers that cannot choose one themselves, or come back to theirs.
#ifndef ZEROSHOT_TESTS_TESTING_FREE_PORT_H_
#define ZEROSHOT_TESTS_TESTING_FREE_PORT_H_

#include <string>

namespace testing {

// A port of that IPv4 address that was free a moment ago. It is none that the
// system gives to connections: between a server and the next one on its port
// any connection of this machine could be given it.
int FreePort(const std::string& host = "127.0.0.1");

}  // namespace testing

#endif  // ZEROSHOT_TESTS_TESTING_FREE_PORT_H_
