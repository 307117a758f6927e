// What callers without a token may do to a server that asks for one.
#include "tests/e2e/abuse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <string>

#include "tests/testing/slow_client.h"

namespace e2e {
namespace {

// What a caller without a token may cost, above what the transport buffers.
constexpr int64_t kMostMemory = 8 * kMiB;
constexpr absl::Duration kMostCpu = absl::Milliseconds(50);

// A gRPC message: a flag, four bytes of size, the bytes.
std::string Message(bool compressed, absl::string_view bytes) {
  std::string message(5, '\0');
  message[0] = compressed ? 1 : 0;
  for (int i = 0; i < 4; ++i) {
    message[1 + i] = static_cast<char>(bytes.size() >> (24 - 8 * i));
  }
  return message.append(bytes.data(), bytes.size());
}

// Zeros, packed as `window_bits` says (zlib.h: 31 is gzip, 15 is deflate).
std::string PackedZeros(int64_t size, int window_bits) {
  z_stream stream{};
  EXPECT_EQ(
      deflateInit2(&stream, 1, Z_DEFLATED, window_bits, 9, Z_DEFAULT_STRATEGY),
      Z_OK);
  std::string zeros(kMiB, '\0'), packed, buffer(kMiB, '\0');
  while (size > 0 || stream.avail_in > 0) {
    stream.next_in = reinterpret_cast<Bytef*>(zeros.data());
    stream.avail_in = static_cast<uInt>(std::min<int64_t>(size, kMiB));
    size -= stream.avail_in;
    const int flush = size == 0 ? Z_FINISH : Z_NO_FLUSH;
    do {
      stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
      stream.avail_out = static_cast<uInt>(buffer.size());
      deflate(&stream, flush);
      packed.append(buffer, 0, buffer.size() - stream.avail_out);
    } while (stream.avail_out == 0);
  }
  deflateEnd(&stream);
  return packed;
}

TEST(AbuseTest, CompressedMessagesAreNotUnpacked) {
  AbusedServer server;
  ASSERT_TRUE(server.ok());
  const std::string zeros = PackedZeros(256 * kMiB, 31);
  for (const char* token : {"", kShopToken}) {
    SlowClient::Headers headers = {{"grpc-encoding", "gzip"}};
    if (*token != 0) {
      headers.push_back({"authorization", absl::StrCat("Bearer ", token)});
    }
    const Cost cost = server.Under([&] {
      SlowClient client(server.port());
      const uint32_t stream =
          client.Open("/zeroshot.v1.ZeroShot/BuildClassifier", headers);
      client.SendAll(stream, Message(true, zeros), true, absl::Seconds(10));
      client.WaitForEnd(stream, absl::Seconds(10));
    });
    EXPECT_LT(cost.memory, kMostMemory);
    AbusedServer::ExpectUndisturbed(cost);
  }
}

}  // namespace
}  // namespace e2e
