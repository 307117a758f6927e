#include "tests/testing/redis_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "tests/testing/free_port.h"

extern char** environ;

namespace testing {
namespace {

bool Answers(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  const bool there = connect(fd, reinterpret_cast<const sockaddr*>(&address),
                             sizeof(address)) == 0;
  close(fd);
  return there;
}

}  // namespace

bool RedisServer::Installed() {
  return std::system("redis-server --version >/dev/null 2>&1") == 0;
}

RedisServer::RedisServer(std::vector<std::string> arguments, bool tls)
    : arguments_(std::move(arguments)), tls_(tls), port_(FreePort()) {
  Start();
}

RedisServer::~RedisServer() { Kill(); }

std::string RedisServer::Url() const {
  return (tls_ ? "rediss" : "redis") + std::string("://127.0.0.1:") +
         std::to_string(port_);
}

void RedisServer::Start() {
  const std::string port = std::to_string(port_);
  std::vector<std::string> words = {
      "redis-server", "--bind", "127.0.0.1",       "--save",    "",
      "--appendonly", "no",     "--loglevel",      "warning",   "--daemonize",
      "no",           "--port", tls_ ? "0" : port, "--logfile", "/dev/null"};
  if (tls_) words.insert(words.end(), {"--tls-port", port});
  words.insert(words.end(), arguments_.begin(), arguments_.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  if (posix_spawnp(&process_, "redis-server", nullptr, nullptr, argv.data(),
                   environ) != 0) {
    std::fputs("cannot start redis-server\n", stderr);
    std::abort();
  }
  for (int i = 0; i < 1000 && !Answers(port_); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

void RedisServer::Kill() {
  if (process_ < 0) return;
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
  process_ = -1;
}

void RedisServer::Freeze() { kill(process_, SIGSTOP); }
void RedisServer::Thaw() { kill(process_, SIGCONT); }

}  // namespace testing
