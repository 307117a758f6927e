// pets HOST:PORT PICTURE...: says whether pictures show a cat or a dog.
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "client/classifier.h"
#include "client/client.h"

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: pets HOST:PORT PICTURE...\n";
    return 2;
  }
  const auto client = zeroshot::Client::Connect(argv[1]);
  if (!client.ok()) {
    std::cerr << client.status() << "\n";
    return 1;
  }
  const auto classifier = zeroshot::client::Classifier::Build(
      client->get(), {.classes = {{"cat"}, {"dog"}},
                      .templates = {"a photo of a {}, a type of pet."}});
  if (!classifier.ok()) {
    std::cerr << classifier.status() << "\n";
    return 1;
  }
  for (int i = 2; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    const std::string picture(std::istreambuf_iterator<char>(file), {});
    const auto answer = (*classifier)->Classify(picture);
    if (!answer.ok()) {
      std::cerr << argv[i] << ": " << answer.status() << "\n";
      continue;
    }
    const auto& best = answer->predictions.front();
    std::cout << argv[i] << ": " << best.class_name << " "
              << best.probability * 100 << " %\n";
  }
}
