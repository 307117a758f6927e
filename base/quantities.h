// Sizes and times as people write them.
#ifndef ZEROSHOT_BASE_QUANTITIES_H_
#define ZEROSHOT_BASE_QUANTITIES_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace base {

// Bytes: "4096", "512M", "1GiB", "1.5G". K, M, G and T are powers of 1024, as
// in Docker, systemd and the JVM; iB, i or B may follow; lower case is the
// same. Nothing: not a size, or 2^63 bytes and more.
std::optional<int64_t> ParseBytes(absl::string_view text);

// Exactly that size in the largest unit that divides it: "10GiB", "1536MiB",
// "1000". ParseBytes reads it back.
std::string BytesText(int64_t bytes);

// A time: seconds ("5", "0.5") or numbers with units ("500ms", "1m30s", "2h").
// Nothing: not a time.
std::optional<absl::Duration> ParseTime(absl::string_view text);

}  // namespace base

#endif  // ZEROSHOT_BASE_QUANTITIES_H_
