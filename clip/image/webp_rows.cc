#include "clip/image/webp_rows.h"

// Of libwebp's src/utils/thread_utils.h, which is exported but not installed;
// the same in every release since 0.5.0 (2015). Weak, so that a libwebp without
// it still serves: its lossy images are then decoded to their end.
extern "C" {

typedef int (*WebPWorkerHook)(void*, void*);  // NOLINT

struct WebPWorker {
  void* impl_;
  int status_;  // 0: not usable, 1: idle, 2: at work
  WebPWorkerHook hook;
  void* data1;
  void* data2;
  int had_error;
};

struct WebPWorkerInterface {
  void (*Init)(WebPWorker*);
  int (*Reset)(WebPWorker*);
  int (*Sync)(WebPWorker*);
  void (*Launch)(WebPWorker*);
  void (*Execute)(WebPWorker*);
  void (*End)(WebPWorker*);
};

int WebPSetWorkerInterface(const WebPWorkerInterface*) __attribute__((weak));

}  // extern "C"

namespace clip {
namespace {

constexpr int kBlock = 16;  // rows of pixels in a row of blocks

struct Current {
  DecodeRun* run = nullptr;
  int width = 0;
};
thread_local Current current;

void RunRow(WebPWorker* worker) {
  if (worker->hook != nullptr && !worker->hook(worker->data1, worker->data2)) {
    worker->had_error = 1;
  }
  if (current.run != nullptr &&
      !current.run->Continue(int64_t{kBlock} * current.width)) {
    worker->had_error = 1;
  }
}

bool SetInterface() {
  if (&WebPSetWorkerInterface == nullptr) return false;
  const WebPWorkerInterface interface = {
      .Init = [](WebPWorker* worker) { *worker = {}; },
      .Reset =
          [](WebPWorker* worker) {
            worker->had_error = 0;
            worker->status_ = 1;
            return 1;
          },
      .Sync = [](WebPWorker* worker) { return worker->had_error ? 0 : 1; },
      .Launch = RunRow,
      .Execute = RunRow,
      .End = [](WebPWorker* worker) { worker->status_ = 0; },
  };
  return WebPSetWorkerInterface(&interface) != 0;
}

}  // namespace

StoppableRows::StoppableRows(DecodeRun* run, int width,
                             WebPDecoderOptions* options) {
  static const bool set = SetInterface();
  options->use_threads = set ? 1 : 0;
  current = {run, width};
}

StoppableRows::~StoppableRows() { current = {}; }

}  // namespace clip
