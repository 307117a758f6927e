// A TCP proxy in front of a port of this machine, as slow as a test wants its
// link to be.
#ifndef ZEROSHOT_TESTS_TESTING_SLOW_PROXY_H_
#define ZEROSHOT_TESTS_TESTING_SLOW_PROXY_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace testing {

// Thread rule: every method may be called from many threads at once.
class SlowProxy {
 public:
  // Listens on port() and connects to `port`. All connections together move
  // `bytes_per_second` in each direction; 0: as fast as they can.
  explicit SlowProxy(int port, int64_t bytes_per_second = 0);
  // Ends all connections.
  ~SlowProxy();
  SlowProxy(const SlowProxy&) = delete;
  SlowProxy& operator=(const SlowProxy&) = delete;

  int port() const { return port_; }
  void SetRate(int64_t bytes_per_second) { rate_ = bytes_per_second; }
  // What came from the server so far.
  int64_t bytes_from_server() const { return from_server_; }

 private:
  // One direction of the link: bytes take their turns on it.
  struct Lane {
    std::mutex mu;
    std::chrono::steady_clock::time_point free_at;
  };

  void Accept();
  void Pump(int from, int to, Lane* lane, std::atomic<int64_t>* moved);
  void Wait(Lane* lane, int64_t bytes);

  const int target_;
  std::atomic<int64_t> rate_;
  std::atomic<int64_t> to_server_{0}, from_server_{0};
  std::atomic<bool> ending_{false};
  Lane there_, back_;
  int listener_ = -1;
  int port_ = 0;
  std::mutex mu_;  // guards those below
  std::vector<int> sockets_;
  std::vector<std::thread> pumps_;
  std::thread acceptor_;
};

}  // namespace testing

#endif  // ZEROSHOT_TESTS_TESTING_SLOW_PROXY_H_
