#include "clip/image/vp8l_codes.h"

#include <algorithm>
#include <array>

namespace clip {
namespace {

constexpr int kMaxLength = 15;

uint32_t Reversed(uint32_t word, int length) {
  uint32_t reversed = 0;
  for (; length > 0; --length, word >>= 1)
    reversed = reversed << 1 | (word & 1);
  return reversed;
}

}  // namespace

void Vp8lBits::FillAtEnd() {
  while (count_ < kFilled) {
    if (next_ < end_) {
      window_ |= uint64_t{static_cast<uint8_t>(*next_++)} << count_;
    } else {
      padding_ = std::min(padding_ + 8, 1 << 20);
    }
    count_ += 8;
  }
}

bool Vp8lCode::Build(const std::vector<uint8_t>& lengths,
                     std::vector<Entry>* tables) {
  begin_ = static_cast<uint32_t>(tables->size());
  std::array<int, kMaxLength + 1> counts = {};
  int words = 0;
  uint16_t last = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    ++counts[lengths[i]];
    if (lengths[i] == 0) continue;
    ++words;
    last = static_cast<uint16_t>(i);
  }
  if (words == 0) return false;
  if (words == 1) {
    mask_ = 0;
    tables->push_back({0, last});
    return true;
  }
  int longest = kMaxLength;
  while (counts[longest] == 0) --longest;
  // The first word of each length. All words together must leave no gap.
  std::array<uint32_t, kMaxLength + 1> next = {};
  uint32_t word = 0;
  for (int length = 1; length <= longest; ++length) {
    word <<= 1;
    next[length] = word;
    word += counts[length];
    if (word > 1u << length) return false;
  }
  if (word != 1u << longest) return false;

  const int root = std::min(longest, kRootBits);
  mask_ = (1u << root) - 1;
  tables->resize(begin_ + (size_t{1} << root));
  // Words by their length, so that a table behind is as large as its longest:
  // they are the last to come, and a table is made for the longest at once.
  struct Long {
    uint32_t reversed;
    uint8_t length;
    uint16_t value;
  };
  std::vector<Long> longs;
  std::array<uint8_t, 1 << kRootBits> longest_behind = {};
  for (size_t i = 0; i < lengths.size(); ++i) {
    const int length = lengths[i];
    if (length == 0) continue;
    const uint32_t reversed = Reversed(next[length]++, length);
    if (length <= root) {
      for (uint32_t at = reversed; at <= mask_; at += 1u << length) {
        (*tables)[begin_ + at] = {static_cast<uint8_t>(length),
                                  static_cast<uint16_t>(i)};
      }
      continue;
    }
    longs.push_back(
        {reversed, static_cast<uint8_t>(length), static_cast<uint16_t>(i)});
    uint8_t& behind = longest_behind[reversed & mask_];
    behind = std::max(behind, static_cast<uint8_t>(length));
  }
  for (uint32_t prefix = 0; prefix <= mask_ && !longs.empty(); ++prefix) {
    if (longest_behind[prefix] == 0) continue;
    const size_t size = tables->size() - begin_;
    (*tables)[begin_ + prefix] = {longest_behind[prefix],
                                  static_cast<uint16_t>(size)};
    tables->resize(tables->size() +
                   (size_t{1} << (longest_behind[prefix] - root)));
  }
  for (const Long& entry : longs) {
    const uint32_t prefix = entry.reversed & mask_;
    const uint32_t table = begin_ + (*tables)[begin_ + prefix].value;
    const uint32_t end = 1u << (longest_behind[prefix] - root);
    for (uint32_t at = entry.reversed >> root; at < end;
         at += 1u << (entry.length - root)) {
      (*tables)[table + at] = {static_cast<uint8_t>(entry.length - root),
                               entry.value};
    }
  }
  return true;
}

bool ReadVp8lLengths(int alphabet_size, Vp8lBits* bits,
                     std::vector<uint8_t>* lengths) {
  lengths->assign(alphabet_size, 0);
  const auto set = [&](uint32_t symbol) {
    if (symbol < lengths->size()) (*lengths)[symbol] = 1;
  };
  if (bits->Read(1) == 1) {  // one or two symbols
    const bool two = bits->Read(1) == 1;
    set(bits->Read(bits->Read(1) == 0 ? 1 : 8));
    if (two) set(bits->Read(8));
    return !bits->past_end();
  }
  // The lengths are in a code of their own.
  static constexpr uint8_t kOrder[19] = {17, 18, 0, 1,  2,  3,  4,  5,  16, 6,
                                         7,  8,  9, 10, 11, 12, 13, 14, 15};
  std::vector<uint8_t> of_lengths(19);
  const uint32_t count = 4 + bits->Read(4);
  for (uint32_t i = 0; i < count; ++i) {
    of_lengths[kOrder[i]] = static_cast<uint8_t>(bits->Read(3));
  }
  Vp8lCode code;
  std::vector<Vp8lCode::Entry> table;
  if (!code.Build(of_lengths, &table)) return false;
  uint32_t left = alphabet_size;  // of symbols of that code
  if (bits->Read(1) == 1) {
    const int width = 2 + 2 * static_cast<int>(bits->Read(3));
    left = 2 + bits->Read(width);
    if (left > static_cast<uint32_t>(alphabet_size)) return false;
  }
  uint8_t previous = 8;
  for (int i = 0; i < alphabet_size && left > 0; --left) {
    bits->Fill();
    const uint32_t symbol = code.Read(table.data(), bits);
    if (symbol < 16) {
      (*lengths)[i++] = static_cast<uint8_t>(symbol);
      if (symbol != 0) previous = static_cast<uint8_t>(symbol);
      continue;
    }
    const int repeat = symbol == 16   ? 3 + bits->Read(2)
                       : symbol == 17 ? 3 + bits->Read(3)
                                      : 11 + bits->Read(7);
    if (i + repeat > alphabet_size) return false;
    std::fill_n(lengths->begin() + i, repeat, symbol == 16 ? previous : 0);
    i += repeat;
  }
  return !bits->past_end();
}

}  // namespace clip
