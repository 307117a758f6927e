// What the fuzzers share. A property that does not hold ends the process, as a
// finding of the sanitizers does, and libFuzzer keeps the input.
#ifndef ZEROSHOT_TESTS_FUZZ_FUZZ_H_
#define ZEROSHOT_TESTS_FUZZ_FUZZ_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/utf8.h"

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

namespace fuzz {

inline absl::string_view View(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// A message is for people, logs and gRPC's trailers: valid UTF-8 and no page.
inline void CheckMessage(absl::string_view message) {
  constexpr size_t kMaxBytes = 4096;
  FUZZ_CHECK(message.size() <= kMaxBytes);
  FUZZ_CHECK(base::DecodeUtf8(message).ok());
}

// Bad input is the caller's mistake, said in words.
inline void CheckRefusal(const absl::Status& status) {
  FUZZ_CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  FUZZ_CHECK(!status.message().empty());
  CheckMessage(status.message());
}

}  // namespace fuzz

#endif  // ZEROSHOT_TESTS_FUZZ_FUZZ_H_
