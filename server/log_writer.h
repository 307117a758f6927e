// Where log lines go: standard error, on a thread of its own. The log's reader
// may stop reading without going away, and calls must not wait for it. Lines
// wait in a bounded queue, further ones are dropped, and the log says how many
// when there is room again.
#ifndef ZEROSHOT_SERVER_LOG_WRITER_H_
#define ZEROSHOT_SERVER_LOG_WRITER_H_

#include <spdlog/details/log_msg.h>
#include <spdlog/sinks/base_sink.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>

#include "base/mutex.h"

namespace zeroshot::server {

// Thread rule: any number of threads. There is one, which is never destroyed:
// its thread may be waiting for a reader that never reads.
class LogWriter : public spdlog::sinks::base_sink<std::mutex> {
 public:
  // Of the lines that wait.
  static constexpr size_t kMaxBytes = 1 << 20;

  LogWriter();

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override;
  // Waits for the lines so far to be written, for 5 seconds at most.
  void flush_() override;

 private:
  // A line as it is written, with the level's colour on a terminal.
  std::string LineOf(const spdlog::details::log_msg& message);
  // False: no room.
  bool Push(std::string line);
  void Loop();

  const bool colours_;
  int64_t dropped_ = 0;  // not told yet; under base_sink's own lock
  base::Mutex mu_;
  base::CondVar changed_;
  std::deque<std::string> lines_ ABSL_GUARDED_BY(mu_);
  size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_LOG_WRITER_H_
