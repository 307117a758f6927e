#include "clip/text/piece_trie.h"

#include <algorithm>

namespace clip {

// Places the nodes. A node's children lie in one block of 256 units, because
// they differ from its base in the lowest byte only; the units that are free
// are in a ring, the root's unit being its head.
struct PieceTrie::Builder {
  static constexpr int32_t kBlock = 256;
  // How many places are tried for several children. What stays free is filled
  // by nodes with one child, which are most.
  static constexpr int kTries = 64;

  explicit Builder(std::vector<Unit>* units) : units(units) {
    AddBlock();
    Take(0);
    next[0] = previous[0] = 0;
    for (int32_t i = 1; i < kBlock; ++i) Free(i);
  }

  void AddBlock() {
    const size_t size = units->size() + kBlock;
    units->resize(size);
    next.resize(size, -1);
    previous.resize(size, -1);
    taken.resize(size, false);
  }

  // Puts a unit at the end of the ring.
  void Free(int32_t i) {
    next[i] = 0;
    previous[i] = previous[0];
    next[previous[0]] = i;
    previous[0] = i;
  }

  void Take(int32_t i) {
    taken[i] = true;
    if (next[i] < 0) return;
    next[previous[i]] = next[i];
    previous[next[i]] = previous[i];
  }

  bool Fits(int32_t base, const std::vector<uint8_t>& labels) const {
    return std::none_of(labels.begin(), labels.end(),
                        [&](uint8_t label) { return taken[base ^ label]; });
  }

  // A base for children by these bytes, whose units it takes.
  int32_t Place(const std::vector<uint8_t>& labels, int32_t parent) {
    int32_t base = -1;
    if (labels.size() == 1) {
      if (next[0] != 0) base = next[0] ^ labels[0];
    } else {
      int32_t i = previous[0];
      for (int tries = 0; tries < kTries && i != 0; ++tries, i = previous[i]) {
        if (!Fits(i ^ labels[0], labels)) continue;
        base = i ^ labels[0];
        break;
      }
    }
    if (base < 0) {
      const auto begin = static_cast<int32_t>(units->size());
      AddBlock();
      for (int32_t i = begin; i < begin + kBlock; ++i) Free(i);
      base = begin;
    }
    for (const uint8_t label : labels) {
      Take(base ^ label);
      (*units)[base ^ label].parent = parent;
    }
    return base;
  }

  std::vector<Unit>* units;
  std::vector<int32_t> next, previous;
  std::vector<bool> taken;
};

PieceTrie::PieceTrie(std::vector<Entry> entries) {
  std::stable_sort(
      entries.begin(), entries.end(),
      [](const Entry& a, const Entry& b) { return a.first < b.first; });
  // The entries below a node, all of which begin with its `depth` bytes.
  struct Range {
    int32_t node;
    size_t begin, end, depth;
  };
  Builder builder(&units_);
  std::vector<Range> open = {{0, 0, entries.size(), 0}};
  std::vector<uint8_t> labels;
  std::vector<size_t> begins;
  while (!open.empty()) {
    Range range = open.back();
    open.pop_back();
    for (; range.begin < range.end &&
           entries[range.begin].first.size() == range.depth;
         ++range.begin) {
      if (range.depth > 0) units_[range.node].id = entries[range.begin].second;
    }
    if (range.begin == range.end) continue;
    labels.clear();
    begins.clear();
    for (size_t i = range.begin; i < range.end; ++i) {
      const auto label = static_cast<uint8_t>(entries[i].first[range.depth]);
      if (!labels.empty() && labels.back() == label) continue;
      labels.push_back(label);
      begins.push_back(i);
    }
    begins.push_back(range.end);
    const int32_t base = builder.Place(labels, range.node);
    units_[range.node].base = base;
    for (size_t i = 0; i < labels.size(); ++i) {
      open.push_back(
          {base ^ labels[i], begins[i], begins[i + 1], range.depth + 1});
    }
  }
}

}  // namespace clip
