// Tokenizes JSON strings: one a line on stdin, the ids of each as a JSON
// array on stdout. tools/check_tokenizer.py compares them with the reference.
// With --pieces each is cut in three at random, and tokenised as a template
// around a name.
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "clip/template_tokenizer.h"
#include "clip/tokenizer.h"
#include "nlohmann/json.hpp"

int main(int argc, char** argv) {
  const bool pieces = argc > 1 && absl::string_view(argv[1]) == "--pieces";
  std::ios::sync_with_stdio(false);
  const clip::Tokenizer tokenizer;
  std::mt19937 random(1);
  for (std::string line; std::getline(std::cin, line);) {
    const auto text = nlohmann::json::parse(line).get<std::string>();
    auto ids = tokenizer.Encode(text);
    if (pieces) {
      const size_t begin = random() % (text.size() + 1);
      const size_t end = begin + random() % (text.size() - begin + 1);
      const std::vector<std::vector<std::string>> templates = {
          {text.substr(0, begin), text.substr(end)}};
      const std::string name = text.substr(begin, end - begin);
      clip::TemplateTokenizer prompts(&tokenizer, templates);
      prompts.SetName(name);
      ids = prompts.Encode(0);
    }
    if (!ids.ok()) {
      std::cerr << ids.status().ToString() << "\n";
      return 1;
    }
    std::cout << nlohmann::json(*ids).dump() << "\n";
  }
}
