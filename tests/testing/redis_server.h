// A real redis-server (or valkey-server) on a port of its own, for tests.
#ifndef ZEROSHOT_TESTS_TESTING_REDIS_SERVER_H_
#define ZEROSHOT_TESTS_TESTING_REDIS_SERVER_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace testing {

// Thread rule: one thread.
class RedisServer {
 public:
  // Starts it and waits until it takes connections. `arguments` are the
  // program's; with `tls` the port speaks TLS only.
  explicit RedisServer(std::vector<std::string> arguments = {},
                       bool tls = false);
  ~RedisServer();
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  // Whether the program is installed.
  static bool Installed();

  int port() const { return port_; }
  std::string Url() const;

  // As kill -9, and the start of another on the same port, which is empty.
  void Kill();
  void Start();
  // It takes connections and does not answer.
  void Freeze();
  void Thaw();

 private:
  const std::vector<std::string> arguments_;
  const bool tls_;
  const int port_;
  pid_t process_ = -1;
};

}  // namespace testing

#endif  // ZEROSHOT_TESTS_TESTING_REDIS_SERVER_H_
