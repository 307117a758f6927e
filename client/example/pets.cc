#include "pets.h"

#include <cmath>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

using zeroshot::client::Classifier;

absl::StatusOr<Pets> Pets::Make(zeroshot::client::ClientInterface* client) {
  auto classifier = Classifier::Build(
      client, {.classes = {{"cat"}, {"dog"}},
               .templates = {"a photo of a {}, a type of pet."}});
  if (!classifier.ok()) return classifier.status();
  return Pets(*std::move(classifier));
}

absl::StatusOr<std::string> Pets::Describe(const std::string& image) const {
  const auto answer = classifier_->Classify(
      image, {.top_k = 1}, {.deadline = absl::Now() + absl::Seconds(10)});
  if (!answer.ok()) return answer.status();
  const auto& best = answer->predictions.front();
  return absl::StrCat(best.class_name, " ", std::lround(best.probability * 100),
                      " %");
}
