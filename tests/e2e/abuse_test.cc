// What callers without a token may do to a server that asks for one.
#include "tests/e2e/abuse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/testing/slow_client.h"

namespace e2e {
namespace {

// What a caller without a token may cost, above what the transport buffers.
constexpr int64_t kMostMemory = 8 * kMiB;
constexpr absl::Duration kMostCpu = absl::Milliseconds(50);
// What the neighbour's calls take is only known within about 0.2 s: an attack
// is measured as so many calls, one after the other.
constexpr int kCalls = 10;

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

SlowClient::Headers HeadersWith(absl::string_view token) {
  if (token.empty()) return {};
  return {{"authorization", absl::StrCat("Bearer ", token)}};
}

// One call over a connection of its own, until the server has ended it.
void Send(const AbusedServer& server, absl::string_view path,
          const SlowClient::Headers& headers, absl::string_view message) {
  SlowClient client(server.port());
  const uint32_t stream = client.Open(path, headers);
  client.SendAll(stream, message, true, absl::Seconds(20));
  client.WaitForEnd(stream, absl::Seconds(20));
}

// `size` bytes of empty items: `item` again and again.
std::string EmptyItems(absl::string_view item, int64_t size) {
  std::string bytes;
  while (bytes.size() < size) bytes.append(item.data(), item.size());
  return bytes;
}

std::string Path(absl::string_view method) {
  return absl::StrCat("/zeroshot.v1.ZeroShot/", method);
}

// Less than the default --max_request_bytes.
constexpr int64_t kLarge = 30 * kMiB;

TEST(AbuseTest, CompressedMessagesAreNotUnpacked) {
  AbusedServer server;
  ASSERT_TRUE(server.ok());
  const std::string zeros = Message(true, PackedZeros(256 * kMiB, 31));
  for (const char* token : {"", kShopToken}) {
    SlowClient::Headers headers = HeadersWith(token);
    headers.emplace_back("grpc-encoding", "gzip");
    const auto attack = [&] {
      for (int i = 0; i < kCalls; ++i) {
        Send(server, Path("BuildClassifier"), headers, zeros);
      }
    };
    const Cost cost = server.Under(attack);
    EXPECT_LT(cost.memory, kMostMemory);
    EXPECT_LT(server.CpuOf(attack), kCalls * kMostCpu);
    AbusedServer::ExpectUndisturbed(cost);
  }
}

TEST(AbuseTest, WhoHasNoTokenIsRefusedBeforeTheRequestIsRead) {
  AbusedServer server;
  ASSERT_TRUE(server.ok());
  const std::string classes =
      Message(false, EmptyItems({"\x0a\x00", 2}, kLarge));
  for (const std::string& path :
       {Path("BuildClassifier"), Path("BuildClassifierStream"),
        Path("Classify"), Path("EmbedTexts"), Path("ImportWeightSet"),
        Path("GetModel"), Path("NoSuchMethod"),
        std::string(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
        std::string("/no.such.Service/Method")}) {
    SCOPED_TRACE(path);
    const auto attack = [&] {
      for (int i = 0; i < kCalls; ++i) Send(server, path, {}, classes);
    };
    const Cost cost = server.Under(attack);
    EXPECT_LT(cost.memory, kMostMemory);
    EXPECT_LT(server.CpuOf(attack), kCalls * kMostCpu);
    AbusedServer::ExpectUndisturbed(cost);
  }
}

TEST(AbuseTest, AHealthCheckOfMegabytesIsNotParsed) {
  AbusedServer server;
  ASSERT_TRUE(server.ok());
  const std::string name = Message(false, std::string(kLarge, '\x0a'));
  const Cost cost = server.Under(
      [&] { Send(server, "/grpc.health.v1.Health/Check", {}, name); });
  EXPECT_LT(cost.memory, kLarge + kMostMemory);
  AbusedServer::ExpectUndisturbed(cost);
}

TEST(AbuseTest, EmptyItemsAreCountedBeforeTheyAreParsed) {
  AbusedServer server;
  ASSERT_TRUE(server.ok());
  struct Attack {
    const char* method;
    std::string message;
  };
  // A field of a message that holds `bytes`.
  const auto within = [](char tag, const std::string& bytes) {
    std::string field(1, tag);
    for (uint32_t left = bytes.size(); left > 0; left >>= 7) {
      field += static_cast<char>((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
    }
    return field + bytes;
  };
  const std::string classes = EmptyItems({"\x0a\x00", 2}, kLarge);
  // A class whose prompts are empty.
  const std::string one_class =
      within('\x0a', EmptyItems({"\x12\x00", 2}, kLarge));
  const Attack attacks[] = {
      {"BuildClassifier", EmptyItems({"\x0a\x00", 2}, kLarge)},  // classes
      {"BuildClassifierStream",
       EmptyItems({"\x1a\x00", 2}, kLarge)},  // templates
      {"BuildClassifier", one_class},
      {"Classify", EmptyItems({"\x2a\x00", 2}, kLarge)},       // more sets
      {"EmbedTexts", EmptyItems({"\x0a\x00", 2}, kLarge)},     // texts
      {"EmbedImages", EmptyItems({"\x0a\x00", 2}, kLarge)},    // images
      {"ClassifyBatch", EmptyItems({"\x0a\x00", 2}, kLarge)},  // images
      {"Classify", within('\x42', classes)},  // of its classifier
      {"ClassifyBatch", within('\x42', one_class)},
      {"ImportWeightSet", within('\x0a', classes)},  // names in a header
      // Fields that are not known, and groups of groups.
      {"Classify", EmptyItems({"\xf2\x07\x00", 3}, kLarge)},
      {"EmbedTexts", EmptyItems({"\xf0\x07\x01", 3}, kLarge)},
      {"Classify", EmptyItems({"\xf3\x07", 2}, kLarge)},
      {"GetModel", EmptyItems({"\x0a\x00", 2}, kLarge)},
      {"ListWeightSets", EmptyItems({"\x0a\x00", 2}, kLarge)},
  };
  for (const Attack& attack : attacks) {
    SCOPED_TRACE(attack.method);
    const std::string message = Message(false, attack.message);
    const Cost cost = server.Under([&] {
      Send(server, Path(attack.method), HeadersWith(kTrainerToken), message);
    });
    // The transport holds the message, and some of it twice in its buffers.
    EXPECT_LT(cost.memory, kLarge + kLarge / 8 + kMostMemory);
    AbusedServer::ExpectUndisturbed(cost);
  }
}

TEST(AbuseTest, ManyLargeRequestsAtOnceStayWithinTheirMemory) {
  AbusedServer server;
  ASSERT_TRUE(server.ok());
  const std::string message =
      Message(false, EmptyItems({"\x0a\x00", 2}, kLarge));
  const Cost cost = server.Under([&] {
    std::vector<std::thread> callers;
    for (int i = 0; i < 128; ++i) {
      callers.emplace_back([&] {
        Send(server, Path("BuildClassifier"), HeadersWith(kTrainerToken),
             message);
      });
    }
    for (std::thread& caller : callers) caller.join();
  });
  EXPECT_LT(cost.memory, 1'280 * kMiB);  // 1 GiB of --decode_memory_bytes + 256
  // gRPC takes memory back from whom it likes, so that others may fail too.
}

// They hold neither threads nor places, whoever opened them.
TEST(AbuseTest, StreamsOfReflectionHoldNothingThatCallsNeed) {
  AbusedServer server;
  ASSERT_TRUE(server.ok());
  constexpr int kCallers = 5;
  for (const char* token : {"", kShopToken}) {
    std::vector<std::unique_ptr<SlowClient>> clients;
    const Cost cost = server.Under([&] {
      for (int c = 0; c < kCallers; ++c) {
        clients.push_back(std::make_unique<SlowClient>(server.port()));
        for (int i = 0; i < 200; ++i) {
          clients.back()->Open(
              "/grpc.reflection.v1alpha.ServerReflection/"
              "ServerReflectionInfo",
              HeadersWith(token));
        }
      }
      absl::SleepFor(absl::Seconds(1));
    });
    EXPECT_LT(cost.memory, *token == 0 ? kCallers * kMostMemory : 64 * kMiB);
    AbusedServer::ExpectUndisturbed(cost);
  }
}

TEST(AbuseTest, HealthWatchesOfOneConnectionAreFew) {
  AbusedServer server;
  ASSERT_TRUE(server.ok());
  SlowClient client(server.port());
  const Cost cost = server.Under([&] {
    for (int i = 0; i < 200; ++i) {
      std::vector<uint32_t> streams;
      for (int k = 0; k < 100; ++k) {
        streams.push_back(client.Open("/grpc.health.v1.Health/Watch"));
        client.SendAll(streams.back(), Message(false, ""), true,
                       absl::Seconds(20));
      }
      // Of the first some are taken, whose answers this client does not ask
      // for.
      for (int k = i == 0 ? 20 : 0; k < 100; ++k) {
        ASSERT_TRUE(client.WaitForEnd(streams[k], absl::Seconds(20)));
      }
    }
  });
  // All 20,000 together, of which 100 are on their way at once, with what the
  // transport buffers for them.
  EXPECT_LT(cost.memory, 4 * kMostMemory);
  AbusedServer::ExpectUndisturbed(cost);
}

// gRPC 1.51 does little about HTTP/2's own floods: docs/security.md says what
// they cost. Others are answered, and the memory is gRPC's buffers.
TEST(AbuseTest, FloodsOfFramesAreBounded) {
  AbusedServer server;
  ASSERT_TRUE(server.ok());
  constexpr uint8_t kHeaders = 1, kSettings = 4, kPing = 6, kContinuation = 9;
  constexpr int kFrames = 20'000;
  const auto flood = [&](const char* name,
                         const std::function<void(SlowClient&)>& attack) {
    SCOPED_TRACE(name);
    std::printf("%s: ", name);
    const Cost cost = server.Under([&] {
      SlowClient client(server.port());
      attack(client);
    });
    EXPECT_LT(cost.memory, 192 * kMiB);
    AbusedServer::ExpectUndisturbed(cost);
  };
  flood("rapid reset", [](SlowClient& client) {
    for (int i = 0; i < kFrames; ++i) {
      const uint32_t stream = client.Open("/zeroshot.v1.ZeroShot/Classify");
      // What the server says must go somewhere.
      if (i % 50 == 0) client.WaitForEnd(stream, absl::ZeroDuration());
      client.Cancel(stream);
    }
  });
  flood("pings", [](SlowClient& client) {
    for (int i = 0; i < kFrames; ++i) {
      client.Frame(kPing, 0, 0, std::string(8, 'x'));
    }
  });
  flood("settings", [](SlowClient& client) {
    for (int i = 0; i < kFrames; ++i) client.Frame(kSettings, 0, 0, "");
  });
  flood("headers without an end", [](SlowClient& client) {
    const std::string header("\x00\x01x\x7f\xfb\x7e", 6);  // 16,378 of value
    client.Frame(kHeaders, 0, 1, "\x83");
    const std::string block =
        absl::StrCat(header, std::string(16'384 - header.size(), 'y'));
    for (int i = 0; i < 4'096; ++i) client.Frame(kContinuation, 0, 1, block);
  });
}

}  // namespace
}  // namespace e2e
