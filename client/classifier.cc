#include "client/classifier.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"

namespace zeroshot::client {

absl::StatusOr<std::unique_ptr<Classifier>> Classifier::Build(
    Client* client, ClassifierSpec spec, const OnBuildProgress& on_progress) {
  absl::StatusOr<BuildResult> built = client->Build(spec, on_progress);
  if (!built.ok()) return built.status();
  return absl::WrapUnique(
      new Classifier(client, std::move(spec), *std::move(built)));
}

Classifier::Classifier(Client* client, ClassifierSpec spec, BuildResult built)
    : client_(client),
      spec_(std::move(spec)),
      built_(std::move(built)),
      current_({.id = built_.weight_set_id}) {}

Classifier::Current Classifier::current() const {
  std::lock_guard<std::mutex> lock(mu_);
  return current_;
}

std::string Classifier::weight_set_id() const { return current().id; }

absl::StatusOr<Answer> Classifier::Classify(absl::string_view image,
                                            const ClassifyOptions& options) {
  const Current tried = current();
  absl::StatusOr<Answer> answer = client_->Classify(image, tried.id, options);
  // The set is unknown to the server, or is one of the model it had before.
  if (!absl::IsNotFound(answer.status()) &&
      !absl::IsFailedPrecondition(answer.status())) {
    return answer;
  }
  absl::StatusOr<Current> rebuilt = Rebuild(tried);
  if (!rebuilt.ok()) return rebuilt.status();
  return client_->Classify(image, rebuilt->id, options);
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
  Client* const client = classifiers.front()->client_;
  absl::StatusOr<std::vector<Answer>> answers =
      client->ClassifyWithEach(image, ids, options);
  if (!absl::IsNotFound(answers.status()) &&
      !absl::IsFailedPrecondition(answers.status())) {
    return answers;
  }
  for (size_t i = 0; i < classifiers.size(); ++i) {
    absl::StatusOr<Current> rebuilt = classifiers[i]->Rebuild(tried[i]);
    if (!rebuilt.ok()) return rebuilt.status();
    ids[i] = rebuilt->id;
  }
  return client->ClassifyWithEach(image, ids, options);
}

// Many threads miss the same weight set at once: the first builds it, the
// others wait for `rebuild_` and then see that the count has moved on.
absl::StatusOr<Classifier::Current> Classifier::Rebuild(const Current& missed) {
  std::lock_guard<std::mutex> one_at_a_time(rebuild_);
  Current now = current();
  if (now.builds != missed.builds) return now;
  absl::StatusOr<BuildResult> built = client_->Build(spec_);
  if (!built.ok()) return built.status();
  now = {.id = built->weight_set_id, .builds = missed.builds + 1};
  std::lock_guard<std::mutex> lock(mu_);
  current_ = now;
  return now;
}

}  // namespace zeroshot::client
