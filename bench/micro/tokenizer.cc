// ImageNet's 1000 classes in OpenAI's 80 templates, on one thread.
#include <benchmark/benchmark.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "clip/clip_tokenizer.h"
#include "clip/subword_tokenizer.h"

namespace clip {
namespace {

std::vector<std::string> Lines(const std::string& path) {
  std::ifstream file(ZEROSHOT_SOURCE_DIR "/data/" + path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> ImageNetPrompts() {
  std::vector<std::string> prompts;
  for (const std::string& name : Lines("class_sets/imagenet-1k.txt")) {
    for (const std::string& form :
         Lines("template_sets/openai-imagenet-80.txt"))
      prompts.push_back(absl::StrReplaceAll(form, {{"{}", name}}));
  }
  return prompts;
}

void Encode(const Tokenizer& tokenizer, benchmark::State& state) {
  const std::vector<std::string> prompts = ImageNetPrompts();
  for (auto _ : state) {
    for (const std::string& prompt : prompts)
      benchmark::DoNotOptimize(tokenizer.Encode(prompt));
  }
  state.SetItemsProcessed(state.iterations() * prompts.size());
}

void Clips(benchmark::State& state) { Encode(ClipTokenizer(), state); }
BENCHMARK(Clips)->Unit(benchmark::kMillisecond);

// Of the goldens' vocabularies; bench/subword_tokenizers.py measures the
// libraries on the same ones.
void Subword(benchmark::State& state, const std::string& name) {
  std::ifstream stream(
      ZEROSHOT_SOURCE_DIR "/tests/testdata/golden/tokenizers/" + name);
  const std::string file((std::istreambuf_iterator<char>(stream)),
                         std::istreambuf_iterator<char>());
  const auto tokenizer = name.ends_with(".json")
                             ? ReadTokenizerJson(file, TextCleaning::kNone)
                             : ReadSentencePiece(file, SentencePieceUse::kPlain,
                                                 TextCleaning::kNone);
  if (!tokenizer.ok())
    return state.SkipWithError(tokenizer.status().ToString().c_str());
  Encode(**tokenizer, state);
}
BENCHMARK_CAPTURE(Subword, unigram.model, "unigram.model")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Subword, gemma.model, "gemma.model")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Subword, t5.json, "t5.json")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Subword, gemma.json, "gemma.json")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Subword, bert.json, "bert.json")
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace clip
