// gRPC's sync API, which our server uses, next to its async completion queue:
// the same Classify handler behind each, with a model that takes no time, so
// that nothing but gRPC and the one wait for the batch thread is measured.
//
//   grpc_apis                 calls per second and latency at 1, 8, 64, 256
//   grpc_apis gaps N          N calls to each, 1 s apart: how many were late
//   grpc_apis slices          the sync API beside itself with the image left
//                             in gRPC's slices: what the one copy costs
//   grpc_apis sync|async|sync-slices   (what these start) a server; its port on
//                             stdout
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "zeroshot/v1/zeroshot.grpc.pb.h"

namespace {

using zeroshot::v1::ClassifyRequest;
using zeroshot::v1::ClassifyResponse;
using zeroshot::v1::ZeroShot;

constexpr int kImageBytes = 100'000;
constexpr int kMaxThreads = 600;  // of the sync server, as ours has it set

// The batch thread: runs what has queued up, all at once, in no time.
class BatchThread {
 public:
  BatchThread() : thread_([this] { Run(); }) {}

  void Submit(std::function<void()> done) {
    std::lock_guard<std::mutex> lock(mu_);
    queue_.push_back(std::move(done));
    queued_.notify_one();
  }

 private:
  void Run() {
    while (true) {
      std::unique_lock<std::mutex> lock(mu_);
      queued_.wait(lock, [this] { return !queue_.empty(); });
      const auto batch = std::exchange(queue_, {});
      lock.unlock();
      for (const auto& done : batch) done();
    }
  }

  std::mutex mu_;
  std::condition_variable queued_;
  std::vector<std::function<void()>> queue_;
  std::thread thread_;
};

BatchThread& Batches() {
  static auto* batches = new BatchThread;
  return *batches;
}

// Of a call's own thread.
void WaitForBatch() {
  std::mutex mu;
  std::condition_variable changed;
  bool done = false;
  Batches().Submit([&] {
    std::lock_guard<std::mutex> lock(mu);
    done = true;
    changed.notify_one();
  });
  std::unique_lock<std::mutex> lock(mu);
  changed.wait(lock, [&] { return done; });
}

void Fill(size_t bytes, ClassifyResponse* response) {
  for (int i = 0; i < 5; ++i) {
    auto* prediction = response->add_predictions();
    prediction->set_class_index(i);
    prediction->set_class_name("a class");
    prediction->set_probability(bytes > i ? 0.2f : 0);
  }
}

class SyncService final : public ZeroShot::Service {
  grpc::Status Classify(grpc::ServerContext*, const ClassifyRequest* request,
                        ClassifyResponse* response) override {
    WaitForBatch();
    Fill(request->image().size(), response);
    return grpc::Status::OK;
  }
};

// A request as it came, with no message made of it.
struct Slices {
  grpc::ByteBuffer bytes;
};

}  // namespace

template <>
class grpc::SerializationTraits<Slices> {
 public:
  static grpc::Status Deserialize(grpc::ByteBuffer* bytes, Slices* request) {
    request->bytes.Swap(bytes);
    return grpc::Status::OK;
  }
};

namespace {

class SlicesService final : public grpc::Service {
 public:
  SlicesService() {
    AddMethod(new grpc::internal::RpcServiceMethod(
        "/zeroshot.v1.ZeroShot/Classify", grpc::internal::RpcMethod::NORMAL_RPC,
        new grpc::internal::RpcMethodHandler<SlicesService, Slices,
                                             ClassifyResponse, Slices,
                                             google::protobuf::MessageLite>(
            [](SlicesService*, grpc::ServerContext*, const Slices* request,
               ClassifyResponse* response) {
              WaitForBatch();
              Fill(request->bytes.Length(), response);
              return grpc::Status::OK;
            },
            this)));
  }
};

// One call's life on a completion queue.
class AsyncCall {
 public:
  AsyncCall(ZeroShot::AsyncService* service, grpc::ServerCompletionQueue* queue)
      : service_(service), queue_(queue), responder_(&context_) {
    service_->RequestClassify(&context_, &request_, &responder_, queue_, queue_,
                              this);
  }

  void Proceed(bool ok) {
    if (!ok || answered_) {
      delete this;
      return;
    }
    answered_ = true;
    new AsyncCall(service_, queue_);
    Batches().Submit([this] {
      Fill(request_.image().size(), &response_);
      responder_.Finish(response_, grpc::Status::OK, this);
    });
  }

 private:
  ZeroShot::AsyncService* const service_;
  grpc::ServerCompletionQueue* const queue_;
  grpc::ServerContext context_;
  ClassifyRequest request_;
  ClassifyResponse response_;
  grpc::ServerAsyncResponseWriter<ClassifyResponse> responder_;
  bool answered_ = false;
};

// Serves until it is killed.
[[noreturn]] void Serve(const std::string& api) {
  const bool async = api == "async";
  const int threads = static_cast<int>(std::thread::hardware_concurrency());
  SyncService sync_service;
  SlicesService slices_service;
  ZeroShot::AsyncService async_service;
  grpc::ServerBuilder builder;
  grpc::ResourceQuota quota;
  quota.SetMaxThreads(kMaxThreads);
  builder.SetResourceQuota(quota);
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues;
  if (async) {
    builder.RegisterService(&async_service);
    for (int i = 0; i < threads; ++i) {
      queues.push_back(builder.AddCompletionQueue());
    }
  } else if (api == "sync-slices") {
    builder.RegisterService(&slices_service);
  } else {
    builder.RegisterService(&sync_service);
  }
  const auto server = builder.BuildAndStart();
  std::printf("%d\n", port);
  std::fflush(stdout);
  std::vector<std::thread> pollers;
  for (const auto& queue : queues) {
    // Enough requested at once that no call waits for the next request.
    for (int i = 0; i < 64; ++i) new AsyncCall(&async_service, queue.get());
    pollers.emplace_back([&queue] {
      void* tag = nullptr;
      bool ok = false;
      while (queue->Next(&tag, &ok)) static_cast<AsyncCall*>(tag)->Proceed(ok);
    });
  }
  while (true) pause();
}

// A server in a process of its own, this program again.
class ServerProcess {
 public:
  explicit ServerProcess(const char* api) {
    int ends[2];
    if (pipe(ends) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      dup2(ends[1], STDOUT_FILENO);
      execl("/proc/self/exe", "grpc_apis", api, nullptr);
      _exit(1);
    }
    close(ends[1]);
    FILE* const out = fdopen(ends[0], "r");
    if (std::fscanf(out, "%d", &port_) != 1) std::abort();
    std::fclose(out);
  }
  ~ServerProcess() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  std::unique_ptr<ZeroShot::Stub> Stub() const {
    return ZeroShot::NewStub(grpc::CreateChannel(
        absl::StrCat("127.0.0.1:", port_), grpc::InsecureChannelCredentials()));
  }

 private:
  pid_t pid_ = -1;
  int port_ = 0;
};

ClassifyRequest Request() {
  ClassifyRequest request;
  request.set_image(std::string(kImageBytes, 'x'));
  request.set_weight_set_id("id");
  return request;
}

struct ClientCall {
  grpc::ClientContext context;
  ClassifyResponse response;
  grpc::Status status;
  absl::Time start = absl::Now();
  std::unique_ptr<grpc::ClientAsyncResponseReader<ClassifyResponse>> reader;
};

// A closed loop from one thread. Appends latencies of the calls that ended
// within `time`; returns calls per second.
double Load(ZeroShot::Stub* stub, int in_flight, absl::Duration time,
            std::vector<absl::Duration>* latencies) {
  const ClassifyRequest request = Request();
  grpc::CompletionQueue queue;
  const auto begin_call = [&] {
    auto* call = new ClientCall;
    call->reader = stub->AsyncClassify(&call->context, request, &queue);
    call->reader->Finish(&call->response, &call->status, call);
  };
  const absl::Time start = absl::Now();
  for (int i = 0; i < in_flight; ++i) begin_call();
  int64_t ended = 0;
  for (int left = in_flight; left > 0;) {
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    const std::unique_ptr<ClientCall> call(static_cast<ClientCall*>(tag));
    const absl::Time now = absl::Now();
    if (!call->status.ok()) {
      std::fprintf(stderr, "%s\n", call->status.error_message().c_str());
      std::exit(1);
    }
    if (now - start < time) {
      ++ended;
      latencies->push_back(now - call->start);
      begin_call();
    } else {
      --left;
    }
  }
  return ended / absl::ToDoubleSeconds(time);
}

double Percentile(std::vector<absl::Duration>* values, double fraction) {
  const auto at =
      values->begin() + static_cast<int64_t>(fraction * (values->size() - 1));
  std::nth_element(values->begin(), at, values->end());
  return absl::ToDoubleMilliseconds(*at);
}

void Throughput(const ServerProcess (&servers)[2], const char* second) {
  const std::unique_ptr<ZeroShot::Stub> stubs[] = {servers[0].Stub(),
                                                   servers[1].Stub()};
  std::printf(
      "in flight   sync calls/s  p50 ms  p99 ms   %s calls/s  p50 ms"
      "  p99 ms   sync / %s\n",
      second, second);
  for (const int in_flight : {1, 8, 64, 256}) {
    std::vector<double> rates[2];
    std::vector<absl::Duration> latencies[2];
    constexpr int kRounds = 7;
    for (int round = 0; round <= kRounds; ++round) {
      for (int api = 0; api < 2; ++api) {
        if (round == 1) latencies[api].clear();  // the first one warms up
        const double rate = Load(stubs[api].get(), in_flight,
                                 absl::Milliseconds(800), &latencies[api]);
        if (round > 0) rates[api].push_back(rate);
      }
    }
    double median[2];
    for (int api = 0; api < 2; ++api) {
      std::sort(rates[api].begin(), rates[api].end());
      median[api] = rates[api][kRounds / 2];
    }
    std::printf("%9d", in_flight);
    for (int api = 0; api < 2; ++api) {
      const double p50 = Percentile(&latencies[api], 0.5);
      const double p99 = Percentile(&latencies[api], 0.99);
      std::printf("   %12.0f  %6.2f  %6.2f", median[api], p50, p99);
    }
    std::printf("   %12.2f\n", median[0] / median[1]);
  }
}

void Gaps(const ServerProcess (&servers)[2], int calls) {
  const std::unique_ptr<ZeroShot::Stub> stubs[] = {servers[0].Stub(),
                                                   servers[1].Stub()};
  const ClassifyRequest request = Request();
  std::vector<absl::Duration> latencies[2];
  for (int i = 0; i <= calls; ++i) {
    for (int api = 0; api < 2; ++api) {
      absl::SleepFor(absl::Milliseconds(500));
      grpc::ClientContext context;
      ClassifyResponse response;
      const absl::Time start = absl::Now();
      if (!stubs[api]->Classify(&context, request, &response).ok())
        std::exit(1);
      if (i > 0) latencies[api].push_back(absl::Now() - start);
    }
  }
  for (int api = 0; api < 2; ++api) {
    const auto late = std::count_if(
        latencies[api].begin(), latencies[api].end(),
        [](absl::Duration latency) { return latency > absl::Milliseconds(5); });
    std::printf("%-5s  %d of %d calls over 5 ms, p50 %.2f ms, max %.2f ms\n",
                api == 0 ? "sync" : "async", static_cast<int>(late), calls,
                Percentile(&latencies[api], 0.5),
                Percentile(&latencies[api], 1));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what.rfind("sync", 0) == 0 || what == "async") Serve(what);
  const char* const second = what == "slices" ? "sync-slices" : "async";
  const ServerProcess servers[] = {ServerProcess("sync"),
                                   ServerProcess(second)};
  if (what == "gaps") {
    Gaps(servers, argc > 2 ? std::atoi(argv[2]) : 50);
  } else {
    Throughput(servers, second);
  }
}
