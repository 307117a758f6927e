// PyTorch's .pt files: the input as the archive, and, because its checksum
// would stop nearly every change, as the pickle in a sound archive.
#include "clip/checkpoint/pt_file.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tensors.h"
#include "tests/testing/zip.h"

namespace {

void Parse(absl::Span<const uint8_t> file) {
  const auto parsed = clip::ParsePtFile(file);
  if (parsed.ok()) {
    fuzz::CheckTensors(parsed->tensors);
  } else {
    fuzz::CheckRefusal(parsed.status());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Parse({data, size});
  const std::string archive =
      testing_files::Zip({{"a/data.pkl", {data, data + size}},
                          {"a/data/0", std::string(64, 'x')}});
  Parse({reinterpret_cast<const uint8_t*>(archive.data()), archive.size()});
  return 0;
}
