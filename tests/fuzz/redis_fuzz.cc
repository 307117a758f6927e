// What a Redis, or something in its place, may answer to the store. The first
// byte chooses what is asked, the second how many bytes come at a time, the
// rest is what comes.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "stores/byte_stream.h"
#include "stores/display_name.h"
#include "stores/redis_client.h"
#include "stores/redis_store.h"
#include "tests/fuzz/fuzz.h"

namespace {

// Takes everything, says what it was told to, and closes.
class Scripted : public stores::ByteStream {
 public:
  Scripted(absl::string_view script, size_t step)
      : ByteStream(-1), script_(script), step_(step) {}

 protected:
  absl::StatusOr<size_t> TrySend(absl::string_view bytes, Wants*) override {
    return bytes.size();
  }
  absl::StatusOr<size_t> TryReceive(char* out, size_t room, Wants*) override {
    if (script_.empty()) return absl::UnavailableError("closed");
    const size_t count = std::min({room, step_, script_.size()});
    std::copy_n(script_.begin(), count, out);
    script_.remove_prefix(count);
    return count;
  }

 private:
  absl::string_view script_;
  const size_t step_;
};

void Check(const absl::Status& status) {
  FUZZ_CHECK(status.ok() || absl::IsNotFound(status) ||
             absl::IsDataLoss(status) || absl::IsUnavailable(status) ||
             absl::IsResourceExhausted(status) || absl::IsAborted(status));
  fuzz::CheckMessage(status.message());
}

std::shared_ptr<const stores::WeightSet> SmallSet() {
  auto set = std::make_shared<stores::WeightSet>();
  set->id = "set";
  set->class_names = {"cat"};
  set->embedding_dim = 2;
  set->weights = {1, 0};
  return set;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t step = data[1] + 1;
  const absl::string_view script = fuzz::View(data + 2, size - 2);
  const auto client = stores::RedisClient::Over(
      [&](absl::Time) -> absl::StatusOr<std::unique_ptr<stores::ByteStream>> {
        return std::make_unique<Scripted>(script, step);
      },
      {.timeout = absl::Seconds(60)});
  stores::RedisStore store(client.get(), {});
  switch (data[0]) {
    case 'g': {
      const auto set = store.Get("set");
      Check(set.status());
      if (set.ok()) FUZZ_CHECK((*set)->id == "set");
      break;
    }
    case 'p':
      Check(store.Put(SmallSet()));
      break;
    case 'u':
      Check(store.Touch("set"));
      break;
    case 'd':
      Check(store.Delete("set"));
      break;
    case 'l': {
      const auto sets = store.List("", 3);
      Check(sets.status());
      if (sets.ok()) FUZZ_CHECK(sets->size() <= 3);
      break;
    }
    case 'n': {
      const auto name = store.GetDisplayName("set");
      Check(name.status());
      if (name.ok()) FUZZ_CHECK(stores::CheckDisplayName(name->text).ok());
      Check(store.PutDisplayName("set", {"pets", 1}));
      break;
    }
    case 't':
      Check(store.TakeLease("set").status());
      store.ReleaseLease("set");
      break;
    default:
      break;
  }
  return 0;
}
