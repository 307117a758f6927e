// What a store of bounded size holds, by id, and what it used last: the least
// recently used goes first.
#ifndef ZEROSHOT_STORES_LRU_MAP_H_
#define ZEROSHOT_STORES_LRU_MAP_H_

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace stores {

// Thread rule: none of its own; the store that has one guards it.
template <typename Value>
class LruMap {
 public:
  struct Entry {
    Value value;
    int64_t bytes = 0;
    std::list<std::string>::iterator use;  // its place in uses_
  };
  using Entries = std::map<std::string, Entry, std::less<>>;  // by id
  using Gone = std::vector<std::pair<std::string, Value>>;

  explicit LruMap(int64_t max_bytes) : max_bytes_(max_bytes) {}

  // The value, which counts as used now. Null: there is none.
  Value* Find(absl::string_view id) {
    const auto it = entries_.find(id);
    if (it == entries_.end()) return nullptr;
    uses_.splice(uses_.begin(), uses_, it->second.use);
    return &it->second.value;
  }

  // The value, without counting as a use. Null: there is none.
  Value* Peek(absl::string_view id) {
    const auto it = entries_.find(id);
    return it == entries_.end() ? nullptr : &it->second.value;
  }

  // Puts a value, or puts another in its place, as the latest used. Returns
  // what had to go: the least recently used, or this one alone if it is larger
  // than all may be.
  Gone Put(const std::string& id, Value value, int64_t bytes) {
    Erase(id);
    Gone gone;
    if (bytes > max_bytes_) {
      gone.emplace_back(id, std::move(value));
      return gone;
    }
    while (bytes_ + bytes > max_bytes_) {
      const auto victim = entries_.find(uses_.back());
      gone.emplace_back(victim->first, std::move(victim->second.value));
      Erase(victim);
    }
    bytes_ += bytes;
    uses_.push_front(id);
    entries_[id] = {std::move(value), bytes, uses_.begin()};
    return gone;
  }

  // False: there is none.
  bool Erase(absl::string_view id) {
    const auto it = entries_.find(id);
    if (it == entries_.end()) return false;
    Erase(it);
    return true;
  }

  const Entries& entries() const { return entries_; }
  int64_t bytes() const { return bytes_; }
  int64_t max_bytes() const { return max_bytes_; }

 private:
  void Erase(typename Entries::iterator it) {
    bytes_ -= it->second.bytes;
    uses_.erase(it->second.use);
    entries_.erase(it);
  }

  const int64_t max_bytes_;
  Entries entries_;
  std::list<std::string> uses_;  // latest first
  int64_t bytes_ = 0;
};

}  // namespace stores

#endif  // ZEROSHOT_STORES_LRU_MAP_H_
