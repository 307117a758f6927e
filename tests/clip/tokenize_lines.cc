// Tokenizes JSON strings: one a line on stdin, the ids of each as a JSON
// array on stdout. tools/check_tokenizer.py compares them with the reference.
#include <iostream>
#include <string>

#include "clip/tokenizer.h"
#include "nlohmann/json.hpp"

int main() {
  std::ios::sync_with_stdio(false);
  const clip::Tokenizer tokenizer;
  for (std::string line; std::getline(std::cin, line);) {
    const auto text = nlohmann::json::parse(line).get<std::string>();
    const auto ids = tokenizer.Encode(text);
    if (!ids.ok()) {
      std::cerr << ids.status().ToString() << "\n";
      return 1;
    }
    std::cout << nlohmann::json(*ids).dump() << "\n";
  }
}
