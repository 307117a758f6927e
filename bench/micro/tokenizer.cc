// ImageNet's 1000 classes in OpenAI's 80 templates, on one thread.
#include "clip/tokenizer.h"

#include <benchmark/benchmark.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_replace.h"

namespace clip {
namespace {

std::vector<std::string> Lines(const std::string& path) {
  std::ifstream file(ZEROSHOT_SOURCE_DIR "/data/" + path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

void ImageNetPrompts(benchmark::State& state) {
  const Tokenizer tokenizer;
  std::vector<std::string> prompts;
  for (const std::string& name : Lines("class_sets/imagenet-1k.txt")) {
    for (const std::string& form :
         Lines("template_sets/openai-imagenet-80.txt"))
      prompts.push_back(absl::StrReplaceAll(form, {{"{}", name}}));
  }
  for (auto _ : state) {
    for (const std::string& prompt : prompts)
      benchmark::DoNotOptimize(tokenizer.Encode(prompt));
  }
  state.SetItemsProcessed(state.iterations() * prompts.size());
}
BENCHMARK(ImageNetPrompts)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace clip
