// Memory that is read or filled from end to end, fast: in huge pages, where
// the system gives them when asked (Linux: "madvise" or "always").
#ifndef ZEROSHOT_BASE_HUGE_PAGES_H_
#define ZEROSHOT_BASE_HUGE_PAGES_H_

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace base {

inline constexpr size_t kHugePage = 2 << 20;

// Asks for huge pages. To be called before the memory is touched, because pages
// come with the first write. A refusal leaves small pages, which do as well.
inline void AskForHugePages(const void* memory, size_t bytes) {
  const auto begin = reinterpret_cast<uintptr_t>(memory);
  const uintptr_t first = (begin + kHugePage - 1) & ~(kHugePage - 1);
  const uintptr_t end = (begin + bytes) & ~(kHugePage - 1);
  if (first < end) {
    madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
  }
}

// Addresses for `size` bytes: memory comes with the first write to a page, and
// goes with this object.
class HugePages {
 public:
  HugePages() = default;
  explicit HugePages(size_t size);
  HugePages(HugePages&& other) noexcept { *this = std::move(other); }
  HugePages& operator=(HugePages&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~HugePages() {
    if (data_ != nullptr) munmap(data_, size_);
  }

  void* data() const { return data_; }
  size_t size() const { return size_; }  // 0: the system refused

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

inline HugePages::HugePages(size_t size) {
  if (size == 0) return;
  void* const data =
      mmap(nullptr, size, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, /*fd=*/-1, 0);
  if (data == MAP_FAILED) return;
  AskForHugePages(data, size);
  data_ = data;
  size_ = size;
}

}  // namespace base

#endif  // ZEROSHOT_BASE_HUGE_PAGES_H_
