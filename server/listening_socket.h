// A socket that listens at HOST:PORT.
#ifndef ZEROSHOT_SERVER_LISTENING_SOCKET_H_
#define ZEROSHOT_SERVER_LISTENING_SOCKET_H_

#include <sys/socket.h>

#include <string>

namespace zeroshot::server {

// The socket, which does not block and is the caller's, or -1: the address is
// in use or not of this machine, or it is no HOST:PORT. [::] is 0.0.0.0 where
// the system has no IPv6.
int OpenListeningSocket(const std::string& listen);

// The port that it is bound to.
int PortOf(int socket);

// The address without its port.
std::string HostOf(const sockaddr_storage& address, socklen_t size);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_LISTENING_SOCKET_H_
