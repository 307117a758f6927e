#include "server/http/multipart.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/quoted.h"

namespace zeroshot::server::http {
namespace {

constexpr absl::string_view kEndOfHeaders = "\r\n\r\n";

absl::Status Damaged(absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("the multipart/form-data body is damaged: ", what));
}

absl::string_view Stripped(absl::string_view text) {
  return absl::StripAsciiWhitespace(text);
}

// Takes `; NAME=VALUE` or `; NAME="VALUE"` from the front. False: none is left,
// or it is not one.
bool TakeParameter(absl::string_view* rest, std::string* name,
                   std::string* value) {
  *rest = Stripped(*rest);
  if (!absl::ConsumePrefix(rest, ";")) return false;
  const size_t equals = rest->find('=');
  if (equals == rest->npos) return false;
  *name = absl::AsciiStrToLower(Stripped(rest->substr(0, equals)));
  *rest = absl::StripLeadingAsciiWhitespace(rest->substr(equals + 1));
  value->clear();
  if (!absl::ConsumePrefix(rest, "\"")) {
    const size_t end = std::min(rest->find(';'), rest->size());
    *value = std::string(Stripped(rest->substr(0, end)));
    rest->remove_prefix(end);
    return true;
  }
  for (size_t i = 0; i < rest->size(); ++i) {
    if ((*rest)[i] == '"') {
      rest->remove_prefix(i + 1);
      return true;
    }
    // Only these two are escaped: Windows' file names have backslashes.
    if ((*rest)[i] == '\\' && i + 1 < rest->size() &&
        ((*rest)[i + 1] == '"' || (*rest)[i + 1] == '\\')) {
      ++i;
    }
    value->push_back((*rest)[i]);
  }
  return false;
}

absl::Status ReadHeader(absl::string_view line, Part* part, bool* named) {
  const size_t colon = line.find(':');
  if (colon == line.npos) {
    return Damaged(absl::StrCat("a part has the header ", base::Quoted(line)));
  }
  const absl::string_view name = Stripped(line.substr(0, colon));
  absl::string_view value = Stripped(line.substr(colon + 1));
  if (absl::EqualsIgnoreCase(name, "content-type")) {
    part->content_type = std::string(value);
  } else if (absl::EqualsIgnoreCase(name, "content-transfer-encoding") &&
             !absl::EqualsIgnoreCase(value, "binary") &&
             !absl::EqualsIgnoreCase(value, "8bit") &&
             !absl::EqualsIgnoreCase(value, "7bit")) {
    return absl::InvalidArgumentError(
        absl::StrCat("a part has the Content-Transfer-Encoding ",
                     base::Quoted(value), "; send its bytes as they are"));
  } else if (absl::EqualsIgnoreCase(name, "content-disposition")) {
    if (!absl::StartsWithIgnoreCase(value, "form-data")) {
      return Damaged("a part is no form-data");
    }
    value.remove_prefix(9);
    std::string key, text;
    while (TakeParameter(&value, &key, &text)) {
      if (key == "name") {
        *named = true;
        part->name = text;
      } else if (key == "filename") {
        part->has_filename = true;
        part->filename = text;
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Part> ReadHeaders(absl::string_view lines) {
  Part part;
  bool named = false;
  while (!lines.empty()) {
    const size_t end = std::min(lines.find("\r\n"), lines.size());
    absl::Status read = ReadHeader(lines.substr(0, end), &part, &named);
    if (!read.ok()) return read;
    lines.remove_prefix(std::min(end + 2, lines.size()));
  }
  if (!named) return Damaged("a part has no name");
  return part;
}

}  // namespace

absl::StatusOr<std::string> MultipartReader::BoundaryOf(
    absl::string_view content_type) {
  absl::string_view rest = content_type.substr(
      std::min(content_type.find(';'), content_type.size()));
  std::string name, value;
  while (TakeParameter(&rest, &name, &value)) {
    if (name != "boundary") continue;
    const bool fits = !value.empty() && value.size() <= kMaxBoundary &&
                      std::all_of(value.begin(), value.end(), [](char c) {
                        return absl::ascii_isprint(c);
                      });
    if (fits) return value;
    return absl::InvalidArgumentError(absl::StrCat(
        "the Content-Type's boundary is ", base::Quoted(value),
        "; it must have 1 to ", kMaxBoundary, " printable characters"));
  }
  return absl::InvalidArgumentError(
      "the Content-Type multipart/form-data has no boundary; let your HTTP "
      "library write this header");
}

MultipartReader::MultipartReader(absl::string_view boundary, int max_parts,
                                 Sink sink)
    : delimiter_(absl::StrCat("\r\n--", boundary)),
      max_parts_(max_parts),
      sink_(std::move(sink)) {}

absl::Status MultipartReader::Feed(absl::string_view bytes) {
  std::string joined;
  if (!held_.empty()) {
    joined = std::move(held_);
    held_.clear();
    joined.append(bytes.data(), bytes.size());
    bytes = joined;
  }
  while (true) {
    const absl::StatusOr<bool> more = Step(&bytes);
    if (!more.ok()) return more.status();
    if (!*more) break;
  }
  held_.assign(bytes.data(), bytes.size());
  return absl::OkStatus();
}

absl::Status MultipartReader::Finish() const {
  if (state_ == State::kEpilogue) return absl::OkStatus();
  return Damaged("it ends before its last boundary");
}

absl::StatusOr<bool> MultipartReader::Step(absl::string_view* rest) {
  switch (state_) {
    case State::kPreamble:
      return TakeData(rest, /*preamble=*/true);
    case State::kBoundary:
      return TakeBoundaryEnd(rest);
    case State::kHeaders:
      return TakeHeaders(rest);
    case State::kData:
      return TakeData(rest, /*preamble=*/false);
    case State::kEpilogue:
      *rest = "";
      return false;
  }
  return false;
}

absl::StatusOr<bool> MultipartReader::TakeData(absl::string_view* rest,
                                               bool preamble) {
  const size_t at = rest->find(delimiter_);
  const bool found = at != rest->npos;
  // The end may be the beginning of a delimiter.
  const size_t kept = delimiter_.size() - 1;
  const size_t size = found ? at : rest->size() - std::min(kept, rest->size());
  if (!preamble && size > 0) {
    absl::Status taken = sink_.data(rest->substr(0, size));
    if (!taken.ok()) return taken;
  }
  rest->remove_prefix(size);
  if (!found) return false;
  rest->remove_prefix(delimiter_.size());
  if (!preamble) {
    absl::Status ended = sink_.end();
    if (!ended.ok()) return ended;
  }
  state_ = State::kBoundary;
  return true;
}

absl::StatusOr<bool> MultipartReader::TakeBoundaryEnd(absl::string_view* rest) {
  if (absl::StartsWith(*rest, "--")) {
    state_ = State::kEpilogue;
    return true;
  }
  // Blanks may stand behind a boundary.
  const size_t end = rest->find("\r\n");
  if (end == rest->npos) {
    if (rest->size() > kMaxHeaderBytes) return Damaged("a boundary has no end");
    return false;
  }
  if (!Stripped(rest->substr(0, end)).empty()) {
    return Damaged("a boundary is followed by something else");
  }
  // The headers end with an empty line, which is the first where there are
  // none.
  rest->remove_prefix(end);
  state_ = State::kHeaders;
  return true;
}

absl::StatusOr<bool> MultipartReader::TakeHeaders(absl::string_view* rest) {
  const size_t end = rest->find(kEndOfHeaders);
  if (std::min(end, rest->size()) > kMaxHeaderBytes) {
    return Damaged(absl::StrCat("the headers of a part have more than ",
                                kMaxHeaderBytes, " bytes"));
  }
  if (end == rest->npos) return false;
  if (++parts_ > max_parts_) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the body has too many parts; at most ", max_parts_, " are allowed"));
  }
  const size_t first = std::min<size_t>(2, end);  // behind the boundary's line
  const absl::StatusOr<Part> part =
      ReadHeaders(rest->substr(first, end - first));
  if (!part.ok()) return part.status();
  rest->remove_prefix(end + kEndOfHeaders.size());
  absl::Status begun = sink_.begin(*part);
  if (!begun.ok()) return begun;
  state_ = State::kData;
  return true;
}

}  // namespace zeroshot::server::http
