#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>

#include "cuda_runtime.h"

// AddressSanitizer must be told when the stack changes. Not every compiler
// package has the header that declares how.
#if defined(__SANITIZE_ADDRESS__)
#define CUDA_ON_CPU_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CUDA_ON_CPU_ASAN 1
#endif
#endif
#ifdef CUDA_ON_CPU_ASAN
extern "C" {
void __sanitizer_start_switch_fiber(void** fake_stack_save, const void* bottom,
                                    size_t size);
void __sanitizer_finish_switch_fiber(void* fake_stack_save,
                                     const void** bottom_old, size_t* size_old);
}
#endif

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace cuda_on_cpu {
namespace {

constexpr int kLanes = 32;
constexpr size_t kStackBytes = size_t{1} << 18;

// What a lane brought to its last shuffles; two, because the first lane comes
// to the next one before the last has read this one.
struct Post {
  uint64_t turn = 0;
  int line = 0, mask = 0;
  uint32_t bits = 0;
};

// A stack that is left and come back to; that of Run's caller is one too.
struct Fiber {
  ucontext_t context;
  const void* stack = nullptr;
  size_t bytes = 0;
  void* fake_stack = nullptr;  // AddressSanitizer's
  dim3 thread;
  bool running = false;
  uint64_t turn = 0;
  Post posts[2];
};

struct Warp {
  Fiber caller;
  Fiber lanes[kLanes];
  Fiber* current = &caller;
  const std::function<void()>* kernel = nullptr;
  bool started = false;
};

Warp& TheWarp() {
  static auto* warp = new Warp;
  return *warp;
}

void SwitchTo(Fiber* to) {
  Warp& warp = TheWarp();
  Fiber* const from = warp.current;
  warp.current = to;
  threadIdx = to->thread;
#ifdef CUDA_ON_CPU_ASAN
  __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->bytes);
#endif
  swapcontext(&from->context, &to->context);
#ifdef CUDA_ON_CPU_ASAN
  __sanitizer_finish_switch_fiber(from->fake_stack, nullptr, nullptr);
#endif
}

// The lane after this one that has not returned; the caller if none is left.
Fiber* Next(int lane) {
  Warp& warp = TheWarp();
  for (int i = 1; i <= kLanes; ++i) {
    Fiber* const fiber = &warp.lanes[(lane + i) % kLanes];
    if (fiber->running) return fiber;
  }
  return &warp.caller;
}

// Lives as long as the process: a thread of one warp after the other.
void LaneMain(int lane) {
  Warp& warp = TheWarp();
#ifdef CUDA_ON_CPU_ASAN
  const void* stack = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(nullptr, &stack, &bytes);
  if (lane == 0) {  // comes first, from the caller
    warp.caller.stack = stack;
    warp.caller.bytes = bytes;
  }
#endif
  for (;;) {
    (*warp.kernel)();
    warp.lanes[lane].running = false;
    SwitchTo(Next(lane));
  }
}

void Start() {
  Warp& warp = TheWarp();
  warp.started = true;
  for (int lane = 0; lane < kLanes; ++lane) {
    Fiber& fiber = warp.lanes[lane];
    getcontext(&fiber.context);
    char* const stack = new char[kStackBytes];
    fiber.context.uc_stack.ss_sp = stack;
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = nullptr;
    fiber.stack = stack;
    fiber.bytes = kStackBytes;
    makecontext(&fiber.context, reinterpret_cast<void (*)()>(LaneMain), 1,
                lane);
  }
}

[[noreturn]] void Fail(const char* what, int lane, int line) {
  std::fprintf(stderr, "lane %d, shuffle of line %d: %s\n", lane, line, what);
  std::abort();
}

}  // namespace

uint32_t ShuffleXor(unsigned lanes, uint32_t bits, int mask, int line) {
  Warp& warp = TheWarp();
  Fiber& self = *warp.current;
  const int lane = static_cast<int>(&self - warp.lanes);
  if (lanes != 0xffffffff) Fail("not all lanes are named", lane, line);
  if (mask < 0 || mask >= kLanes) Fail("no such lane", lane, line);
  const uint64_t turn = ++self.turn;
  self.posts[turn % 2] = {turn, line, mask, bits};
  SwitchTo(Next(lane));
  for (const Fiber& other : warp.lanes) {
    const Post& post = other.posts[turn % 2];
    if (post.turn != turn)
      Fail("some lanes returned and others wait", lane, line);
    if (post.line != line || post.mask != mask)
      Fail("some lanes wait at another shuffle", lane, line);
  }
  return warp.lanes[lane ^ mask].posts[turn % 2].bits;
}

cudaError_t Run(dim3 blocks, dim3 threads,
                const std::function<void()>& kernel) {
  const uint64_t count = uint64_t{threads.x} * threads.y * threads.z;
  if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0 ||
      blocks.x > 0x7fffffff || blocks.y > 65535 || blocks.z > 65535 ||
      count > 1024)
    return cudaErrorInvalidConfiguration;
  // Part of a warp is allowed on a GPU; ours are whole.
  if (count == 0 || count % kLanes != 0) return cudaErrorInvalidConfiguration;
  Warp& warp = TheWarp();
  if (!warp.started) Start();
  warp.kernel = &kernel;
  gridDim = blocks;
  blockDim = threads;
  for (blockIdx.z = 0; blockIdx.z < blocks.z; ++blockIdx.z) {
    for (blockIdx.y = 0; blockIdx.y < blocks.y; ++blockIdx.y) {
      for (blockIdx.x = 0; blockIdx.x < blocks.x; ++blockIdx.x) {
        for (unsigned first = 0; first < count; first += kLanes) {
          for (unsigned lane = 0; lane < kLanes; ++lane) {
            const unsigned thread = first + lane;
            Fiber& fiber = warp.lanes[lane];
            fiber.thread = {thread % threads.x, thread / threads.x % threads.y,
                            thread / threads.x / threads.y};
            fiber.running = true;
            fiber.turn = 0;
            for (Post& post : fiber.posts) post = Post();
          }
          SwitchTo(&warp.lanes[0]);
        }
      }
    }
  }
  return cudaSuccess;
}

}  // namespace cuda_on_cpu
