// Bodies of multipart/form-data, whole and in pieces: how they are cut makes no
// difference. The first byte is the length of the pieces.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/http/multipart.h"
#include "tests/fuzz/fuzz.h"

namespace {

using zeroshot::server::http::MultipartReader;
using zeroshot::server::http::Part;

constexpr int kMaxParts = 8;

struct Read {
  absl::Status status;
  std::vector<std::pair<std::string, std::string>> parts;  // name and bytes
};

Read ReadInPieces(absl::string_view body, size_t piece) {
  Read read;
  MultipartReader reader("b", kMaxParts,
                         {.begin =
                              [&](const Part& part) {
                                read.parts.emplace_back(part.name, "");
                                return absl::OkStatus();
                              },
                          .data =
                              [&](absl::string_view bytes) {
                                FUZZ_CHECK(!read.parts.empty());
                                absl::StrAppend(&read.parts.back().second,
                                                bytes);
                                return absl::OkStatus();
                              },
                          .end = [] { return absl::OkStatus(); }});
  while (!body.empty() && read.status.ok()) {
    read.status = reader.Feed(body.substr(0, piece));
    body.remove_prefix(std::min(piece, body.size()));
  }
  if (read.status.ok()) read.status = reader.Finish();
  FUZZ_CHECK(read.parts.size() <= kMaxParts);
  return read;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view body = fuzz::View(data + 1, size - 1);
  const Read whole = ReadInPieces(body, body.size() + 1);
  const Read pieces = ReadInPieces(body, data[0] + size_t{1});
  FUZZ_CHECK(whole.status.ok() == pieces.status.ok());
  if (!whole.status.ok()) fuzz::CheckRefusal(whole.status);
  if (whole.status.ok()) FUZZ_CHECK(whole.parts == pieces.parts);
  if (const auto boundary = MultipartReader::BoundaryOf(body); !boundary.ok()) {
    fuzz::CheckRefusal(boundary.status());
  }
  return 0;
}
