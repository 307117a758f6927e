#include "zeroshot/npy.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/little_endian.h"
#include "base/quoted.h"

namespace zeroshot {
namespace {

constexpr absl::string_view kMagic = "\x93NUMPY";
constexpr size_t kVersionEnd = 8;

// A header of a matrix takes 118 bytes; NumPy itself reads 10,000 at most.
constexpr uint64_t kMaxHeaderBytes = 10'000;

// NumPy's own limit.
constexpr size_t kMaxAxes = 64;

absl::Status NotNpy(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("not a .npy file: ", what));
}

// Reads the little of Python's syntax that stands in headers.
class PythonReader {
 public:
  explicit PythonReader(absl::string_view text) : rest_(text) {}

  bool Take(absl::string_view word) {
    SkipBlanks();
    return absl::ConsumePrefix(&rest_, word);
  }

  bool AtEnd() {
    SkipBlanks();
    return rest_.empty();
  }

  // Without escapes, which headers have none of.
  bool TakeString(std::string* out) {
    SkipBlanks();
    if (rest_.empty() || (rest_[0] != '\'' && rest_[0] != '"')) return false;
    const size_t end = rest_.find(rest_[0], 1);
    if (end == rest_.npos) return false;
    *out = std::string(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return out->find('\\') == out->npos;
  }

  bool TakeBool(bool* out) {
    *out = Take("True");
    return *out || Take("False");
  }

  // "(3, 4)", "(3,)", "()"; Python 2 wrote "(3L, 4L)".
  bool TakeCounts(std::vector<int64_t>* out) {
    if (!Take("(")) return false;
    while (!Take(")")) {
      int64_t count = 0;
      if (out->size() == kMaxAxes || !TakeCount(&count)) return false;
      out->push_back(count);
      if (!Take(",")) return Take(")");
    }
    return true;
  }

 private:
  void SkipBlanks() { rest_ = absl::StripLeadingAsciiWhitespace(rest_); }

  bool TakeCount(int64_t* out) {
    SkipBlanks();
    const size_t end =
        std::min(rest_.find_first_not_of("0123456789"), rest_.size());
    if (!absl::SimpleAtoi(rest_.substr(0, end), out)) return false;
    rest_.remove_prefix(end);
    absl::ConsumePrefix(&rest_, "L");
    return true;
  }

  absl::string_view rest_;
};

struct Header {
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<int64_t>> shape;
};

// {'descr': '<f4', 'fortran_order': False, 'shape': (512, 3), }
absl::StatusOr<Header> ReadHeader(absl::string_view text) {
  const absl::Status broken = NotNpy(
      absl::StrCat("its header ", base::Quoted(text), " is not as NumPy's"));
  PythonReader reader(text);
  Header header;
  if (!reader.Take("{")) return broken;
  while (!reader.Take("}")) {
    std::string key;
    if (!reader.TakeString(&key) || !reader.Take(":")) return broken;
    if (key == "descr" && !header.descr.has_value()) {
      if (!reader.TakeString(&header.descr.emplace())) {
        return absl::InvalidArgumentError(
            "the .npy file holds records, not numbers");
      }
    } else if (key == "fortran_order" && !header.fortran_order.has_value()) {
      if (!reader.TakeBool(&header.fortran_order.emplace())) return broken;
    } else if (key == "shape" && !header.shape.has_value()) {
      if (!reader.TakeCounts(&header.shape.emplace())) return broken;
    } else {
      return broken;
    }
    if (!reader.Take(",")) {
      if (!reader.Take("}")) return broken;
      break;
    }
  }
  if (!reader.AtEnd() || !header.descr.has_value() ||
      !header.fortran_order.has_value() || !header.shape.has_value()) {
    return broken;
  }
  return header;
}

absl::StatusOr<clip::DType> TypeOf(absl::string_view descr) {
  if (descr == "<f2") return clip::DType::kFloat16;
  if (descr == "<f4") return clip::DType::kFloat32;
  if (descr == "<f8") return clip::DType::kFloat64;
  return absl::InvalidArgumentError(
      absl::StrCat("the .npy file holds numbers of type ", base::Quoted(descr),
                   "; '<f2', '<f4' and '<f8' are read"));
}

}  // namespace

bool IsNpy(absl::string_view file) { return absl::StartsWith(file, kMagic); }

absl::StatusOr<NpyArray> ParseNpy(absl::string_view file) {
  if (!IsNpy(file)) return NotNpy("it begins otherwise");
  if (file.size() < kVersionEnd) return NotNpy("it is truncated");
  const int version = static_cast<uint8_t>(file[6]);
  if (version < 1 || version > 3 || file[7] != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the .npy file is of version ", version, ".",
        static_cast<uint8_t>(file[7]), "; 1.0, 2.0 and 3.0 are read"));
  }
  const size_t length_bytes = version == 1 ? 2 : 4;
  file.remove_prefix(kVersionEnd);
  if (file.size() < length_bytes) return NotNpy("it is truncated");
  const uint64_t header_bytes =
      base::LittleEndian(file.substr(0, length_bytes));
  file.remove_prefix(length_bytes);
  if (header_bytes > kMaxHeaderBytes) {
    return NotNpy(absl::StrCat("its header has ", header_bytes,
                               " bytes; at most ", kMaxHeaderBytes,
                               " are allowed"));
  }
  if (file.size() < header_bytes) return NotNpy("it is truncated");
  absl::StatusOr<Header> header = ReadHeader(file.substr(0, header_bytes));
  if (!header.ok()) return header.status();
  file.remove_prefix(header_bytes);

  const absl::StatusOr<clip::DType> dtype = TypeOf(*header->descr);
  if (!dtype.ok()) return dtype.status();
  NpyArray array{*dtype, *std::move(header->shape), *header->fortran_order,
                 file};
  const std::optional<int64_t> bytes =
      clip::TensorByteSize(array.dtype, array.shape);
  if (!bytes.has_value() || *bytes != file.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the .npy file has ", file.size(), " bytes of numbers; ",
        clip::DTypeName(array.dtype), " ", clip::ShapeText(array.shape),
        " takes ", bytes.has_value() ? absl::StrCat(*bytes) : "far more",
        ". Is it truncated?"));
  }
  return array;
}

std::string NpyHeader(absl::Span<const int64_t> shape, bool fortran_order) {
  constexpr size_t kAlignment = 64;
  std::string text = absl::StrCat(
      "{'descr': '<f4', 'fortran_order': ", fortran_order ? "True" : "False",
      ", 'shape': (", absl::StrJoin(shape, ", "),
      shape.size() == 1 ? ",), }" : "), }");
  // The numbers begin where any of them may; a line break ends the header.
  const size_t before = kVersionEnd + 2;
  const size_t total =
      (before + text.size() + 1 + kAlignment - 1) / kAlignment * kAlignment;
  text.resize(total - before - 1, ' ');
  text.push_back('\n');
  const char version_and_length[] = {1, 0, static_cast<char>(text.size()),
                                     static_cast<char>(text.size() >> 8)};
  return absl::StrCat(
      kMagic, absl::string_view(version_and_length, sizeof(version_and_length)),
      text);
}

}  // namespace zeroshot
