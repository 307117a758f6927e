// Tests Pets without a server: with a client that answers what the test says.
#include "pets.h"

#include <cstdlib>
#include <iostream>
#include <string>

#include "absl/status/status.h"
#include "client/client_interface.h"

namespace {

using zeroshot::client::Answer;
using zeroshot::client::BuildResult;
using zeroshot::client::CallOptions;
using zeroshot::client::ClassifierSpec;
using zeroshot::client::ClassifyOptions;
using zeroshot::client::ClientInterface;
using zeroshot::client::OnBuildProgress;

// Overrides what Pets calls; all else is Unimplemented.
class FakeClient : public ClientInterface {
 public:
  absl::StatusOr<BuildResult> Build(const ClassifierSpec& spec,
                                    const OnBuildProgress&,
                                    const CallOptions&) override {
    BuildResult built;
    built.set_weight_set_id(spec.classes[0].name + spec.classes[1].name);
    return built;
  }

  absl::StatusOr<Answer> Classify(absl::string_view image,
                                  absl::string_view weight_set_id,
                                  const ClassifyOptions&,
                                  const CallOptions& call) override {
    if (weight_set_id != "catdog" || !call.deadline.has_value()) {
      return absl::InternalError("not what Pets should ask");
    }
    if (image.empty()) return absl::InvalidArgumentError("no image");
    Answer answer;
    answer.predictions.emplace_back();
    answer.predictions[0].class_name = std::string(image);
    answer.predictions[0].probability = 0.75f;
    return answer;
  }
};

void Check(bool right, const char* what) {
  if (right) return;
  std::cerr << "failed: " << what << "\n";
  std::exit(1);
}

}  // namespace

int main() {
  FakeClient client;
  const auto pets = Pets::Make(&client);
  Check(pets.ok(), "Make");
  const auto dog = pets->Describe("dog");
  Check(dog.ok() && *dog == "dog 75 %", "a dog is described");
  Check(absl::IsInvalidArgument(pets->Describe("").status()),
        "an error comes through");
  // A client that can do nothing.
  ClientInterface none;
  Check(absl::IsUnimplemented(Pets::Make(&none).status()), "Unimplemented");
}
