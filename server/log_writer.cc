#include "server/log_writer.h"

#include <poll.h>
#include <spdlog/common.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/monotonic.h"

namespace zeroshot::server {
namespace {

constexpr absl::Duration kFlushTime = absl::Seconds(5);

// Of a line in the queue beside its text.
constexpr size_t kLineOverhead = 64;

absl::string_view ColourOf(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::info:
      return "\033[32m";
    case spdlog::level::warn:
      return "\033[33m\033[1m";
    case spdlog::level::err:
    case spdlog::level::critical:
      return "\033[31m\033[1m";
    default:
      return "\033[36m";
  }
}

// A line that cannot be written is lost: there is nowhere to say so.
void WriteToStandardError(absl::string_view line) {
  while (!line.empty()) {
    const ssize_t wrote = write(STDERR_FILENO, line.data(), line.size());
    if (wrote > 0) {
      line.remove_prefix(wrote);
    } else if (wrote < 0 && errno == EAGAIN) {
      pollfd room{STDERR_FILENO, POLLOUT, 0};
      poll(&room, 1, -1);
    } else if (wrote == 0 || errno != EINTR) {
      return;
    }
  }
}

}  // namespace

LogWriter::LogWriter() : colours_(isatty(STDERR_FILENO) != 0) {
  std::thread([this] { Loop(); }).detach();
}

std::string LogWriter::LineOf(const spdlog::details::log_msg& message) {
  spdlog::memory_buf_t buffer;
  formatter_->format(message, buffer);
  const absl::string_view line(buffer.data(), buffer.size());
  const size_t begin = message.color_range_start;
  const size_t end = message.color_range_end;
  if (!colours_ || begin >= end || end > line.size()) return std::string(line);
  return absl::StrCat(line.substr(0, begin), ColourOf(message.level),
                      line.substr(begin, end - begin), "\033[m",
                      line.substr(end));
}

void LogWriter::sink_it_(const spdlog::details::log_msg& message) {
  if (dropped_ > 0) {
    const std::string text =
        absl::StrCat(dropped_,
                     " lines of the log were dropped: standard error was not "
                     "read fast enough");
    const spdlog::details::log_msg told("zeroshot", spdlog::level::warn, text);
    if (!Push(LineOf(told))) {
      ++dropped_;
      return;
    }
    dropped_ = 0;
  }
  if (!Push(LineOf(message))) ++dropped_;
}

bool LogWriter::Push(std::string line) {
  base::MutexLock lock(&mu_);
  const size_t size = line.size() + kLineOverhead;
  if (bytes_ + size > kMaxBytes) return false;
  bytes_ += size;
  lines_.push_back(std::move(line));
  changed_.NotifyAll();
  return true;
}

void LogWriter::flush_() {
  const absl::Time until = base::MonotonicNow() + kFlushTime;
  base::MutexLock lock(&mu_);
  while (!lines_.empty() || writing_) {
    if (!changed_.WaitUntil(&mu_, until)) return;
  }
}

void LogWriter::Loop() {
  while (true) {
    std::string line;
    {
      base::MutexLock lock(&mu_);
      writing_ = false;
      if (lines_.empty()) changed_.NotifyAll();
      while (lines_.empty()) changed_.Wait(&mu_);
      line = std::move(lines_.front());
      lines_.pop_front();
      bytes_ -= line.size() + kLineOverhead;
      writing_ = true;
    }
    WriteToStandardError(line);
  }
}

}  // namespace zeroshot::server
