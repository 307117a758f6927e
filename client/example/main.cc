// pets HOST:PORT IMAGE...: says whether images show a cat or a dog. Exits
// with 1 if any could not be told.
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

#include "client/client.h"
#include "pets.h"

namespace {

absl::StatusOr<std::string> Read(const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  if (!file || !(bytes << file.rdbuf())) {
    return absl::NotFoundError(std::strerror(errno));
  }
  return bytes.str();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: pets HOST:PORT IMAGE...\n";
    return 2;
  }
  const auto client = zeroshot::Client::Connect(argv[1]);
  if (!client.ok()) {
    std::cerr << argv[1] << ": " << client.status() << "\n";
    return 1;
  }
  const auto pets = Pets::Make(client->get());
  if (!pets.ok()) {
    std::cerr << argv[1] << ": " << pets.status() << "\n";
    return 1;
  }
  int exit_code = 0;
  for (int i = 2; i < argc; ++i) {
    const auto image = Read(argv[i]);
    const auto answer = image.ok() ? pets->Describe(*image) : image;
    if (answer.ok()) {
      std::cout << argv[i] << ": " << *answer << "\n";
    } else {
      std::cerr << argv[i] << ": " << answer.status() << "\n";
      exit_code = 1;
    }
  }
  return exit_code;
}
