#include "server/log.h"

#include <grpc/support/log.h>
#include <spdlog/formatter.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/spdlog.h>

#include <ctime>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/monotonic.h"
#include "base/mutex.h"
#include "server/log_writer.h"

namespace zeroshot::server {
namespace {

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      break;
  }
  return spdlog::level::err;
}

// As --log_level spells them; spdlog says "warning".
std::string LevelName(spdlog::level::level_enum level) {
  const auto name = spdlog::level::to_string_view(level);
  return level == spdlog::level::warn ? "warn"
                                      : std::string(name.data(), name.size());
}

class LevelFlag : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    const std::string name = LevelName(message.level);
    out.append(name.data(), name.data() + name.size());
  }

  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
    return std::make_unique<LevelFlag>();
  }
};

// The logger whose messages in JSON are the fields of an object already.
constexpr char kCallLogger[] = "calls";

// Set by StartLog, before other threads.
LogFormat log_format = LogFormat::kText;

class JsonFormatter : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message,
              spdlog::memory_buf_t& out) override {
    const std::string time =
        absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::FromChrono(message.time),
                         absl::UTCTimeZone());
    const absl::string_view text(message.payload.data(),
                                 message.payload.size());
    const std::string level = LevelName(message.level);
    const absl::string_view logger(message.logger_name.data(),
                                   message.logger_name.size());
    const std::string fields =
        logger == kCallLogger
            ? std::string(text)
            : absl::StrFormat("\"message\":\"%s\"", JsonEscaped(text));
    const std::string line = absl::StrFormat(
        "{\"time\":\"%s\",\"level\":\"%s\",%s}\n", time, level, fields);
    out.append(line.data(), line.data() + line.size());
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>();
  }
};

// What HeldGrpcErrors holds.
base::Mutex held_mu;
bool holding ABSL_GUARDED_BY(held_mu) = false;
std::vector<std::string> held ABSL_GUARDED_BY(held_mu);

spdlog::level::level_enum LevelOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return spdlog::level::info;
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
      return spdlog::level::warn;
    default:
      return spdlog::level::err;
  }
}

// Lets so many events of a second through and counts the others.
// Thread rule: any number of threads.
class Flood {
 public:
  explicit Flood(int max_per_second) : max_per_second_(max_per_second) {}

  // `left_out`: how many were not let through before, told once.
  bool LetThrough(absl::Time now, int* left_out) {
    const base::MutexLock lock(&mu_);
    if (now - second_ >= absl::Seconds(1)) {
      second_ = now;
      count_ = 0;
      *left_out = std::exchange(left_out_, 0);
    }
    if (++count_ <= max_per_second_) return true;
    ++left_out_;
    return false;
  }

 private:
  const int max_per_second_;
  base::Mutex mu_;
  absl::Time second_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  int count_ ABSL_GUARDED_BY(mu_) = 0;
  int left_out_ ABSL_GUARDED_BY(mu_) = 0;
};

void LogForGrpc(gpr_log_func_args* args) {
  {
    const base::MutexLock lock(&held_mu);
    if (holding && args->severity == GPR_LOG_SEVERITY_ERROR) {
      held.emplace_back(args->message);
      return;
    }
  }
  static Flood flood(kMaxGrpcLinesPerSecond);
  // What gRPC calls info is about its inside.
  const auto level = args->severity == GPR_LOG_SEVERITY_ERROR
                         ? spdlog::level::warn
                         : spdlog::level::debug;
  if (!spdlog::should_log(level)) return;
  int left_out = 0;
  const bool let_through = flood.LetThrough(base::MonotonicNow(), &left_out);
  if (left_out > 0) spdlog::warn("grpc: {} more lines left out", left_out);
  if (let_through) spdlog::log(level, "grpc: {}", args->message);
}

std::string TextOf(const CallLine& call, bool quote) {
  const std::string code = absl::StatusCodeToString(call.status.code());
  std::string line = absl::StrFormat(
      "%s from %s after %.1f ms: %s%s request=%s", call.method, call.peer,
      absl::ToDoubleMilliseconds(call.took), code,
      quote && !call.status.ok()
          ? absl::StrCat(": ", std::string(call.status.message()))
          : "",
      call.request_id);
  if (!call.trace.trace.empty()) {
    absl::StrAppend(&line, " trace=", call.trace.trace,
                    " span=", call.trace.span);
  }
  if (!call.caller.empty()) absl::StrAppend(&line, " caller=", call.caller);
  return line;
}

// The fields of a JSON object.
std::string JsonOf(const CallLine& call, bool quote) {
  std::string fields;
  const auto text = [&fields](absl::string_view name, absl::string_view value) {
    if (value.empty()) return;
    absl::StrAppend(&fields, fields.empty() ? "" : ",", "\"", name, "\":\"",
                    JsonEscaped(value), "\"");
  };
  text("message", "call");
  text("method", call.method);
  text("code", absl::StatusCodeToString(call.status.code()));
  text("peer", call.peer);
  text("request_id", call.request_id);
  text("trace_id", call.trace.trace);
  text("span_id", call.trace.span);
  text("caller", call.caller);
  if (quote && !call.status.ok()) {
    const absl::string_view message = call.status.message();
    text("error", message);
  }
  absl::StrAppendFormat(&fields, ",\"ms\":%.1f",
                        absl::ToDoubleMilliseconds(call.took));
  return fields;
}

}  // namespace

std::string JsonEscaped(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppendFormat(&out, "\\u%04x", c);
    } else {
      out += c;
    }
  }
  return out;
}

void StartLog(LogFormat format, LogLevel level) {
  // Never destroyed, and one for the process: see there.
  static const auto* const sink =
      new std::shared_ptr<LogWriter>(std::make_shared<LogWriter>());
  auto logger = std::make_shared<spdlog::logger>("zeroshot", *sink);
  if (format == LogFormat::kJson) {
    logger->set_formatter(std::make_unique<JsonFormatter>());
  } else {
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<LevelFlag>('*').set_pattern(
        "%Y-%m-%d %H:%M:%S.%e %^%*%$ %v");
    logger->set_formatter(std::move(formatter));
  }
  logger->set_level(SpdlogLevel(level));
  spdlog::set_default_logger(std::move(logger));
  spdlog::drop(kCallLogger);
  auto calls = std::make_shared<spdlog::logger>(kCallLogger, *sink);
  calls->set_level(SpdlogLevel(level));
  spdlog::register_logger(std::move(calls));
  log_format = format;
  gpr_set_log_function(&LogForGrpc);
}

HeldGrpcErrors::HeldGrpcErrors() {
  const base::MutexLock lock(&held_mu);
  holding = true;
}

HeldGrpcErrors::~HeldGrpcErrors() {
  std::vector<std::string> errors;
  {
    const base::MutexLock lock(&held_mu);
    holding = false;
    errors.swap(held);
  }
  for (const std::string& error : errors) spdlog::debug("grpc: {}", error);
}

std::string HeldGrpcErrors::SystemError() const {
  const std::string before = "os_error:\"";
  const base::MutexLock lock(&held_mu);
  for (auto error = held.rbegin(); error != held.rend(); ++error) {
    const size_t begin = error->rfind(before);
    if (begin == error->npos) continue;
    const size_t from = begin + before.size();
    return error->substr(from, error->find('"', from) - from);
  }
  return "";
}

void FlushLog() { spdlog::default_logger()->flush(); }

void LogCall(const CallLine& call) {
  static Flood good(kMaxCallLinesPerSecond), bad(kMaxCallLinesPerSecond);
  const spdlog::level::level_enum level = LevelOf(call.status.code());
  if (!spdlog::should_log(level)) return;
  Flood& flood = level > spdlog::level::info ? bad : good;
  int left_out = 0;
  const bool let_through = flood.LetThrough(base::MonotonicNow(), &left_out);
  if (left_out > 0) {
    spdlog::log(level, "{} more calls ended and were not logged one by one",
                left_out);
  }
  if (!let_through) return;
  const bool quote =
      level > spdlog::level::info || spdlog::should_log(spdlog::level::debug);
  if (log_format == LogFormat::kText) {
    spdlog::log(level, "{}", TextOf(call, quote));
  } else if (const auto logger = spdlog::get(kCallLogger)) {
    logger->log(level, "{}", JsonOf(call, quote));
  }
}

}  // namespace zeroshot::server
