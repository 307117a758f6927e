#include "clip/checkpoint/weights_file.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/quoted.h"
#include "clip/checkpoint/mapped_file.h"
#include "clip/checkpoint/pt_file.h"
#include "clip/checkpoint/state_dict.h"
#include "clip/safetensors.h"

namespace clip {
namespace {

using Bytes = absl::Span<const uint8_t>;

absl::string_view Start(Bytes bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes.data()),
          std::min(size, bytes.size())};
}

struct KnownStart {
  absl::string_view start;
  absl::string_view what;
};

// Of files that are no text.
constexpr KnownStart kKnownStarts[] = {
    {{"\x80\2\x8a\n\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 14},
     "a file of torch.save's format before PyTorch 1.6: load it with "
     "torch.load and save it again with torch.save"},
    {"\x80\2", "a Python pickle and no file of torch.save's"},
    {"\x80\3", "a Python pickle and no file of torch.save's"},
    {"\x80\4", "a Python pickle and no file of torch.save's"},
    {"\x80\5", "a Python pickle and no file of torch.save's"},
    {"GGUF",
     "a GGUF file of llama.cpp or clip.cpp: fetch the PyTorch or "
     "safetensors weights instead"},
    {"\x89HDF\r\n",
     "an HDF5 file (of Keras or TensorFlow): fetch the PyTorch "
     "or safetensors weights instead"},
    {"\x93NUMPY",
     "a NumPy array and no model; class weights are imported "
     "with zeroshot_client import"},
    {"\x1f\x8b", "a gzip archive: unpack it"},
    {"BZh", "a bzip2 archive: unpack it"},
    {"\xfd\x37zXZ", "an xz archive: unpack it"},
    {"\x28\xb5\x2f\xfd", "a Zstandard archive: unpack it"},
    {"7z\xbc\xaf", "a 7-Zip archive: unpack it"},
    {"Rar!", "a RAR archive: unpack it"},
    {"%PDF", "a PDF document"},
    {"\x7f\x45LF", "a program"},
    {"\xff\xd8\xff", "a JPEG image"},
    {"\x89PNG", "a PNG image"},
};

bool IsText(absl::string_view start) {
  return std::all_of(start.begin(), start.end(), [](char c) {
    return absl::ascii_isprint(c) || absl::ascii_isspace(c);
  });
}

std::string KindOfText(absl::string_view start) {
  const absl::string_view text = absl::StripLeadingAsciiWhitespace(start);
  if (absl::StartsWith(text, "version https://git-lfs")) {
    return "a git-lfs pointer, not the file itself: fetch it with git lfs pull";
  }
  if (absl::StartsWithIgnoreCase(text, "<!doctype html") ||
      absl::StartsWithIgnoreCase(text, "<html")) {
    return absl::StrCat("an HTML page, it starts with ",
                        base::Quoted(text.substr(0, 15)),
                        ": the download went wrong, fetch it again");
  }
  const absl::string_view what = absl::StartsWith(text, "<")   ? "an XML text"
                                 : absl::StartsWith(text, "{") ? "a JSON text"
                                 : absl::StartsWith(text, "[") ? "a JSON text"
                                                               : "a text";
  return absl::StrCat(what, ", it starts with ",
                      base::Quoted(text.substr(0, 40)));
}

// Why bytes that are neither are not read.
absl::Status NotTensors(Bytes bytes) {
  const std::string kind = KindOfFile(bytes);
  return absl::InvalidArgumentError(absl::StrCat(
      kind.empty()
          ? absl::StrCat("neither a safetensors nor a PyTorch file; it starts "
                         "with 0x",
                         absl::BytesToHexString(Start(bytes, 8)))
          : absl::StrCat("it is ", kind)));
}

absl::StatusOr<TensorFile> Parse(Bytes bytes) {
  if (absl::StartsWith(Start(bytes, 2), "PK")) return ParsePtFile(bytes);
  // A safetensors file starts with the size of its header, a JSON object.
  const bool safetensors =
      bytes.size() > 8 && bytes[8] == '{' && (bytes[6] == 0 && bytes[7] == 0);
  if (!safetensors) return NotTensors(bytes);
  absl::StatusOr<TensorMap> tensors = ParseSafetensors(bytes);
  if (!tensors.ok()) return tensors.status();
  TensorFile file;
  file.tensors = *std::move(tensors);
  return file;
}

}  // namespace

std::string KindOfFile(Bytes bytes) {
  if (bytes.empty()) return "empty: fetch or export it again";
  for (const KnownStart& known : kKnownStarts) {
    if (absl::StartsWith(Start(bytes, 16), known.start))
      return std::string(known.what);
  }
  constexpr size_t kTarMagic = 257;
  if (absl::EndsWith(Start(bytes, kTarMagic + 5), "ustar")) {
    return "a tar archive: unpack it";
  }
  const absl::string_view start = Start(bytes, 64);
  if (absl::StrContains(Start(bytes, 32), "pytorch")) {
    return "an ONNX file: fetch the PyTorch or safetensors weights instead";
  }
  return IsText(start) ? KindOfText(start) : "";
}

absl::StatusOr<TensorFile> ReadWeightsFile(const std::string& path) {
  auto mapped = MappedFile::Open(path);
  if (!mapped.ok()) return mapped.status();
  absl::StatusOr<TensorFile> file = Parse((*mapped)->bytes());
  if (file.ok()) {
    file->owners.push_back(*std::move(mapped));
    const absl::Status cleaned = CleanNames(&*file);
    if (cleaned.ok()) return file;
    file = cleaned;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      base::Quoted(BaseName(path)), ": ", file.status().message()));
}

absl::StatusOr<TensorFile> ReadWeightsFiles(
    const std::string& folder, const std::vector<std::string>& names) {
  TensorFile all;
  for (const std::string& name : names) {
    absl::StatusOr<TensorFile> file = ReadWeightsFile(folder + "/" + name);
    if (!file.ok()) return file.status();
    all.writer = file->writer;
    all.quick_gelu = file->quick_gelu;
    all.tensors.merge(file->tensors);
    if (!file->tensors.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", base::Quoted(file->tensors.begin()->first),
                       " is in ", base::Quoted(name), " and in another shard"));
    }
    all.owners.insert(all.owners.end(), file->owners.begin(),
                      file->owners.end());
  }
  return all;
}

}  // namespace clip
