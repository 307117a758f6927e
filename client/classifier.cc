#include "client/classifier.h"

#include <condition_variable>
#include <thread>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "client/connection.h"

namespace zeroshot::client {

absl::StatusOr<std::unique_ptr<Classifier>> Classifier::Build(
    Client* client, ClassifierSpec spec, const OnBuildProgress& on_progress) {
  absl::StatusOr<BuildResult> built = client->Build(spec, on_progress);
  if (!built.ok()) return built.status();
  return absl::WrapUnique(
      new Classifier(client, std::move(spec), *std::move(built)));
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

Classifier::Classifier(Client* client, ClassifierSpec spec, BuildResult built)
    : client_(client),
      spec_(std::move(spec)),
      built_(std::move(built)),
      current_({.id = built_.weight_set_id}) {}

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

absl::StatusOr<Answer> Classifier::Classify(absl::string_view image,
                                            const ClassifyOptions& options) {
  absl::StatusOr<std::vector<Answer>> answers =
      ClassifyWithEach({this}, image, options);
  if (!answers.ok()) return answers.status();
  return std::move(answers->front());
}

absl::StatusOr<std::vector<Answer>> Classifier::ClassifyWithEach(
    absl::Span<Classifier* const> classifiers, absl::string_view image,
    const ClassifyOptions& options) {
  if (classifiers.empty()) {
    return absl::InvalidArgumentError("no classifier is given");
  }
  std::vector<Current> tried;
  std::vector<std::string> ids;
  for (const Classifier* classifier : classifiers) {
    tried.push_back(classifier->current());
    ids.push_back(tried.back().id);
  }
  Client::Connection& connection = *classifiers.front()->client_->connection_;
  const absl::Time until = absl::Now() + connection.options.timeout;
  absl::StatusOr<std::vector<Answer>> answers =
      connection.Classify(image, ids, options, until);
  // A set is unknown to the server, or is one of the model it had before.
  if (!absl::IsNotFound(answers.status()) &&
      !absl::IsFailedPrecondition(answers.status())) {
    return answers;
  }
  for (size_t i = 0; i < classifiers.size(); ++i) {
    absl::StatusOr<Current> now = classifiers[i]->Replace(tried[i], until);
    if (!now.ok()) return now.status();
    ids[i] = now->id;
  }
  return connection.Classify(image, ids, options, until);
}

absl::StatusOr<Classifier::Current> Classifier::Replace(const Current& missed,
                                                        absl::Time until) {
  std::unique_lock<std::mutex> lock(mu_);
  if (current_.builds != missed.builds) return current_;
  if (rebuild_ == nullptr || rebuild_->done) {
    if (rebuild_ != nullptr) rebuild_->thread.join();  // it has ended
    rebuild_ = std::make_shared<Rebuild>();
    rebuild_->thread = std::thread([this, rebuild = rebuild_.get()] {
      const absl::StatusOr<BuildResult> built =
          client_->connection_->Build(spec_, &rebuild->cancellation);
      std::lock_guard<std::mutex> lock(mu_);
      if (built.ok()) {
        current_ = {built->weight_set_id, current_.builds + 1};
      }
      rebuild->status = built.status();
      rebuild->done = true;
      rebuild->ended.notify_all();
    });
  }
  // Kept: another thread may begin the next one.
  const std::shared_ptr<Rebuild> rebuild = rebuild_;
  const auto is_done = [&] { return rebuild->done; };
  if (until == absl::InfiniteFuture()) {
    rebuild->ended.wait(lock, is_done);
  } else if (!rebuild->ended.wait_until(lock, absl::ToChronoTime(until),
                                        is_done)) {
    return absl::DeadlineExceededError(
        "the server has forgotten the weight set, and building it again takes "
        "longer than a call may; a later call finds it");
  }
  if (!rebuild->status.ok()) return rebuild->status;
  return current_;
}

}  // namespace zeroshot::client
