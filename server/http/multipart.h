// Reads multipart/form-data (RFC 7578) piece by piece as it arrives. Nothing is
// kept but the headers of the part that is being read and what may be the
// beginning of a boundary.
#ifndef ZEROSHOT_SERVER_HTTP_MULTIPART_H_
#define ZEROSHOT_SERVER_HTTP_MULTIPART_H_

#include <cstddef>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace zeroshot::server::http {

// The headers of a part.
struct Part {
  std::string name;
  std::string filename;
  bool has_filename = false;
  std::string content_type;
};

// Thread rule: one object, one thread.
class MultipartReader {
 public:
  static constexpr size_t kMaxHeaderBytes = 8 << 10;  // of one part
  static constexpr size_t kMaxBoundary = 70;          // RFC 2046

  // Gets each part in order: its headers, its bytes in pieces, its end. An
  // error ends the reading and is what Feed returns.
  struct Sink {
    std::function<absl::Status(const Part&)> begin;
    std::function<absl::Status(absl::string_view)> data;
    std::function<absl::Status()> end;
  };

  // The boundary of "multipart/form-data; boundary=...". InvalidArgument: there
  // is none, or it is not one.
  static absl::StatusOr<std::string> BoundaryOf(absl::string_view content_type);

  MultipartReader(absl::string_view boundary, int max_parts, Sink sink);

  // The next bytes of the body. InvalidArgument: not well formed, or over a
  // limit. Once it has failed it must not be called again.
  absl::Status Feed(absl::string_view bytes);

  // After the last bytes. InvalidArgument: the body was cut off.
  absl::Status Finish() const;

 private:
  enum class State { kPreamble, kBoundary, kHeaders, kData, kEpilogue };

  // Each takes what it can of the front of `rest`; false: more bytes are
  // needed.
  absl::StatusOr<bool> Step(absl::string_view* rest);
  absl::StatusOr<bool> TakeData(absl::string_view* rest, bool preamble);
  absl::StatusOr<bool> TakeBoundaryEnd(absl::string_view* rest);
  absl::StatusOr<bool> TakeHeaders(absl::string_view* rest);

  const std::string delimiter_;  // "\r\n--BOUNDARY"
  const int max_parts_;
  const Sink sink_;
  State state_ = State::kPreamble;
  int parts_ = 0;
  // What could not be taken yet. A body begins as if a line had ended before
  // it.
  std::string held_ = "\r\n";
};

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_MULTIPART_H_
