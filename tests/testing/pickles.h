// Pieces of pickles for tests, as torch.save writes them into data.pkl. A whole
// one is "\x80\2", a value and ".".
#ifndef ZEROSHOT_TESTS_TESTING_PICKLES_H_
#define ZEROSHOT_TESTS_TESTING_PICKLES_H_

#include <string>
#include <utility>
#include <vector>

#include "tests/testing/zip.h"

namespace testing_files {

inline std::string Text(const std::string& text) {
  return "X" + Number(text.size(), 4) + text;
}
inline std::string Int(int value) { return "J" + Number(value, 4); }
inline std::string Ints(const std::vector<int>& values) {
  std::string tuple = "(";
  for (const int value : values) tuple += Int(value);
  return tuple + "t";
}
inline std::string Tensor(const std::string& record, int offset,
                          const std::vector<int>& shape,
                          const std::vector<int>& strides,
                          const std::string& storage = "FloatStorage") {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + Text("storage") +
         "ctorch\n" + storage + "\n" + Text(record) + Text("cpu") + Int(4) +
         "tQ" + Int(offset) + Ints(shape) + Ints(strides) +
         "\x89"
         "ccollections\nOrderedDict\n)RtR";
}
inline std::string Dict(
    const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string dict = "}(";
  for (const auto& [key, value] : entries) dict += Text(key) + value;
  return dict + "u";
}
inline std::string Module(const std::string& name, const std::string& state) {
  return "c__torch__\n" + name + "\n)\x81" + state + "b";
}
}  // namespace testing_files

#endif  // ZEROSHOT_TESTS_TESTING_PICKLES_H_
