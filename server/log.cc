#include "server/log.h"

#include <grpc/support/log.h>
#include <spdlog/formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <iterator>
#include <memory>
#include <string>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

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

class JsonFormatter : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message,
              spdlog::memory_buf_t& out) override {
    const std::string time =
        absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::FromChrono(message.time),
                         absl::UTCTimeZone());
    const absl::string_view text(message.payload.data(),
                                 message.payload.size());
    const absl::string_view level(
        spdlog::level::to_string_view(message.level).data());
    const std::string line = absl::StrFormat(
        "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\"%s\"}\n", time, level,
        JsonEscaped(text));
    out.append(line.data(), line.data() + line.size());
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>();
  }
};

void LogForGrpc(gpr_log_func_args* args) {
  // What gRPC calls info is about its inside.
  const auto level = args->severity == GPR_LOG_SEVERITY_ERROR
                         ? spdlog::level::warn
                         : spdlog::level::debug;
  spdlog::log(level, "grpc: {}", args->message);
}

spdlog::level::level_enum LevelOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return spdlog::level::debug;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
      return spdlog::level::info;
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
      return spdlog::level::warn;
    default:
      return spdlog::level::err;
  }
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
  auto logger = std::make_shared<spdlog::logger>(
      "zeroshot", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  if (format == LogFormat::kJson) {
    logger->set_formatter(std::make_unique<JsonFormatter>());
  } else {
    logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
  }
  logger->set_level(SpdlogLevel(level));
  spdlog::set_default_logger(std::move(logger));
  gpr_set_log_function(&LogForGrpc);
}

void LogCall(absl::string_view method, absl::string_view peer,
             const absl::Status& status, absl::Duration took) {
  const spdlog::level::level_enum level = LevelOf(status.code());
  if (!spdlog::should_log(level)) return;
  spdlog::log(
      level, "{}",
      absl::StrFormat(
          "%s from %s after %.1f ms: %s", method, peer,
          absl::ToDoubleMilliseconds(took),
          status.ok()
              ? "OK"
              : status.ToString(absl::StatusToStringMode::kWithNoExtraData)));
}

}  // namespace zeroshot::server
