#include "client/classifier.h"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"

namespace zeroshot::client {

absl::StatusOr<std::unique_ptr<Classifier>> Classifier::Build(
    ClientInterface* client, ClassifierSpec spec,
    const OnBuildProgress& on_progress, const CallOptions& call) {
  absl::StatusOr<BuildResult> built = client->Build(spec, on_progress, call);
  if (!built.ok()) return built.status();
  CallOptions later = call;
  later.deadline.reset();
  later.cancellation = nullptr;
  return absl::WrapUnique(new Classifier(client, std::move(spec),
                                         std::move(later), *std::move(built)));
}

// The thread that builds, and those that wait for it. `status` and `done` are
// guarded by the classifier's lock.
struct Classifier::Rebuild {
  std::condition_variable ended;
  bool done = false;
  absl::Status status;
  Cancellation cancellation;
  std::thread thread;
};

Classifier::Classifier(ClientInterface* client, ClassifierSpec spec,
                       CallOptions call, BuildResult built)
    : client_(client),
      spec_(std::move(spec)),
      build_call_(std::move(call)),
      built_(std::move(built)),
      current_({.id = built_.weight_set_id()}) {}

Classifier::~Classifier() {
  if (rebuild_ == nullptr) return;
  rebuild_->cancellation.Cancel();
  rebuild_->thread.join();
}

Classifier::Current Classifier::current() const {
  std::lock_guard<std::mutex> lock(mu_);
  return current_;
}

std::string Classifier::weight_set_id() const { return current().id; }

namespace {

// With a deadline: that of a call, if it has none of its own.
CallOptions InTime(const ClientInterface* client, const CallOptions& call) {
  CallOptions in_time = call;
  if (!call.deadline.has_value()) {
    in_time.deadline = absl::Now() + client->timeout();
  }
  return in_time;
}

}  // namespace

// Servers that share no store: what one has built another one lacks, and they
// get calls in turn. The call then brings the classifier along.
absl::StatusOr<Answer> Classifier::Classify(absl::string_view image,
                                            const ClassifyOptions& options,
                                            const CallOptions& call) {
  const CallOptions in_time = InTime(client_, call);
  absl::StatusOr<std::vector<Answer>> answers =
      ClassifyWithEach({this}, image, options, in_time);
  if (answers.ok()) return std::move(answers->front());
  if (absl::IsNotFound(answers.status())) {
    absl::StatusOr<Answer> answer =
        client_->ClassifyInline(image, spec_, options, in_time);
    if (answer.ok()) return answer;
  }
  return answers.status();
}

namespace {

// A fake need not have ClassifyWithEach for one set.
absl::StatusOr<std::vector<Answer>> Ask(ClientInterface* client,
                                        absl::string_view image,
                                        const std::vector<std::string>& ids,
                                        const ClassifyOptions& options,
                                        const CallOptions& call) {
  if (ids.size() > 1) {
    return client->ClassifyWithEach(image, ids, options, call);
  }
  absl::StatusOr<Answer> answer =
      client->Classify(image, ids[0], options, call);
  if (!answer.ok()) return answer.status();
  return std::vector<Answer>{*std::move(answer)};
}

}  // namespace

absl::StatusOr<std::vector<Answer>> Classifier::ClassifyWithEach(
    absl::Span<Classifier* const> classifiers, absl::string_view image,
    const ClassifyOptions& options, const CallOptions& call) {
  if (classifiers.empty()) {
    return absl::InvalidArgumentError("no classifier is given");
  }
  ClientInterface* const client = classifiers.front()->client_;
  return WithIds<std::vector<Answer>>(
      classifiers, call,
      [&](const std::vector<std::string>& ids, const CallOptions& in_time) {
        return Ask(client, image, ids, options, in_time);
      });
}

absl::StatusOr<BatchAnswer> Classifier::ClassifyBatch(
    absl::Span<const std::string> images, const ClassifyOptions& options,
    const CallOptions& call) {
  return BatchWithId(
      call,
      [&](const std::string& id, const CallOptions& each) {
        return client_->ClassifyBatch(images, id, options, each);
      },
      [&](const CallOptions& each) {
        return client_->ClassifyBatchInline(images, spec_, options, each);
      });
}

absl::StatusOr<BatchAnswer> Classifier::ClassifyEmbeddings(
    absl::Span<const float> embeddings, const ClassifyOptions& options,
    const CallOptions& call) {
  return BatchWithId(
      call,
      [&](const std::string& id, const CallOptions& each) {
        return client_->ClassifyEmbeddings(embeddings, id, options, each);
      },
      [&](const CallOptions& each) {
        return client_->ClassifyEmbeddingsInline(embeddings, spec_, options,
                                                 each);
      });
}

template <typename AskId, typename AskInline>
absl::StatusOr<BatchAnswer> Classifier::BatchWithId(
    const CallOptions& call, const AskId& ask, const AskInline& ask_inline) {
  const CallOptions in_time = InTime(client_, call);
  absl::StatusOr<BatchAnswer> answer = WithIds<BatchAnswer>(
      {this}, in_time,
      [&](const std::vector<std::string>& ids, const CallOptions& each) {
        return ask(ids.front(), each);
      });
  if (!absl::IsNotFound(answer.status())) return answer;
  absl::StatusOr<BatchAnswer> inside = ask_inline(in_time);
  return inside.ok() ? inside : answer;
}

template <typename Result, typename AskIds>
absl::StatusOr<Result> Classifier::WithIds(
    absl::Span<Classifier* const> classifiers, const CallOptions& call,
    const AskIds& ask) {
  std::vector<Current> tried;
  std::vector<std::string> ids;
  for (const Classifier* classifier : classifiers) {
    tried.push_back(classifier->current());
    ids.push_back(tried.back().id);
  }
  const CallOptions in_time = InTime(classifiers.front()->client_, call);
  absl::StatusOr<Result> result = ask(ids, in_time);
  if (!absl::IsNotFound(result.status()) &&
      !absl::IsFailedPrecondition(result.status())) {
    return result;
  }
  for (size_t i = 0; i < classifiers.size(); ++i) {
    absl::StatusOr<Current> now = classifiers[i]->Replace(tried[i], in_time);
    if (!now.ok()) return now.status();
    ids[i] = now->id;
  }
  return ask(ids, in_time);
}

absl::StatusOr<Classifier::Current> Classifier::Replace(
    const Current& missed, const CallOptions& call) {
  std::shared_ptr<Rebuild> rebuild;
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (current_.builds != missed.builds) return current_;
    if (rebuild_ == nullptr || rebuild_->done) {
      if (rebuild_ != nullptr) rebuild_->thread.join();  // it has ended
      rebuild_ = std::make_shared<Rebuild>();
      rebuild_->thread = std::thread([this, rebuild = rebuild_.get()] {
        CallOptions build_call = build_call_;
        build_call.cancellation = &rebuild->cancellation;
        const absl::StatusOr<BuildResult> built =
            client_->Build(spec_, {}, build_call);
        std::lock_guard<std::mutex> lock(mu_);
        if (built.ok()) {
          current_ = {built->weight_set_id(), current_.builds + 1};
        }
        rebuild->status = built.status();
        rebuild->done = true;
        rebuild->ended.notify_all();
      });
    }
    // Kept: another thread may begin the next one.
    rebuild = rebuild_;
  }
  // Not under our lock, which it takes.
  const Cancellation::Watch watch(call.cancellation, [this, &rebuild] {
    std::lock_guard<std::mutex> lock(mu_);
    rebuild->ended.notify_all();
  });
  std::unique_lock<std::mutex> lock(mu_);
  const auto cancelled = [&] {
    return call.cancellation != nullptr && call.cancellation->cancelled();
  };
  const auto is_over = [&] { return rebuild->done || cancelled(); };
  if (*call.deadline == absl::InfiniteFuture()) {
    rebuild->ended.wait(lock, is_over);
  } else if (!rebuild->ended.wait_until(
                 lock, absl::ToChronoTime(*call.deadline), is_over)) {
    return absl::DeadlineExceededError(
        "the server has forgotten the weight set, and building it again takes "
        "longer than a call may; a later call finds it");
  }
  if (!rebuild->done) return absl::CancelledError("the call was cancelled");
  if (!rebuild->status.ok()) return rebuild->status;
  return current_;
}

}  // namespace zeroshot::client
