// Zip archives for tests, as PyTorch's .pt files are.
#ifndef ZEROSHOT_TESTS_TESTING_ZIP_H_
#define ZEROSHOT_TESTS_TESTING_ZIP_H_

#include <zlib.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace testing_files {

// The lowest `size` bytes, little-endian.
inline std::string Number(uint64_t value, int size) {
  std::string bytes(size, '\0');
  for (int i = 0; i < size; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  return bytes;
}

inline uint32_t Crc(const std::string& data) {
  return crc32_z(0, reinterpret_cast<const Bytef*>(data.data()), data.size());
}

// A zip archive of stored records, as PKWARE's APPNOTE describes it.
inline std::string Zip(
    const std::vector<std::pair<std::string, std::string>>& records,
    int method = 0) {
  std::string file, directory;
  for (const auto& [name, data] : records) {
    const std::string sizes = Number(data.size(), 4) + Number(data.size(), 4) +
                              Number(name.size(), 2) + Number(0, 2);
    const std::string common = Number(0, 2) + Number(0, 2) + Number(method, 2) +
                               Number(0, 4) + Number(Crc(data), 4) + sizes;
    directory += "PK\1\2" + Number(0, 2) + common + Number(0, 2) +
                 Number(0, 2) + Number(0, 2) + Number(0, 4) +
                 Number(file.size(), 4) + name;
    file += "PK\3\4" + common + name + data;
  }
  const std::string end = "PK\5\6" + Number(0, 4) + Number(records.size(), 2) +
                          Number(records.size(), 2) +
                          Number(directory.size(), 4) + Number(file.size(), 4) +
                          Number(0, 2);
  return file + directory + end;
}

}  // namespace testing_files

#endif  // ZEROSHOT_TESTS_TESTING_ZIP_H_
