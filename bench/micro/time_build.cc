// What BuildClassifier costs besides the text tower: ImageNet's 1000 classes in
// OpenAI's 80 templates, built by the real builder over a model whose tower
// takes no time. A line a stage, the median of `--rounds`, on one thread.
//
//   build/release/bench/micro/time_build --rounds=9
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/time/time.h"
#include "base/monotonic.h"
#include "clip/clip_tokenizer.h"
#include "clip/model.h"
#include "clip/token_trie.h"
#include "stores/memory_store.h"
#include "zeroshot/classifier_spec.h"
#include "zeroshot/weight_set_builder.h"

ABSL_FLAG(int, rounds, 9, "Builds");
ABSL_FLAG(int, embedding_dim, 512, "Of the model that takes no time");
ABSL_FLAG(int, step_nodes, 8192, "Prefixes a step, as on a GPU");
ABSL_FLAG(int64_t, vector_cache_bytes,
          zeroshot::WeightSetBuilder::kVectorCacheBytes,
          "As the server's flag of that name");

namespace {

// Milliseconds of each stage, of each round.
using Stages = std::map<std::string, std::vector<double>>;

// Does what a model does on the host, and hands out rows that it has already.
class FreeModel : public clip::Model {
 public:
  FreeModel(std::shared_ptr<const clip::Tokenizer> tokenizer, int dim,
            int64_t step_nodes)
      : step_nodes_(step_nodes), rows_(step_nodes * dim, 0.01f) {
    info_.fingerprint = std::string(64, 'f');
    info_.precision = "fp16";
    info_.context_length = 77;
    info_.tokenizer = std::move(tokenizer);
    info_.vocab_size = clip::ClipTokenizer::kVocabSize;
    info_.embedding_dim = dim;
  }

  const clip::ModelInfo& info() const override { return info_; }
  absl::StatusOr<std::vector<float>> EncodeImages(
      absl::Span<const absl::Span<const uint8_t>>) override {
    return absl::UnimplementedError("no images");
  }

  absl::StatusOr<int64_t> EncodeText(
      absl::Span<const std::vector<int32_t>> sequences,
      const clip::TextSink& sink, const clip::TextProgress& progress) override {
    called = base::MonotonicNow();
    std::vector<absl::Span<const int32_t>> tokens(sequences.begin(),
                                                  sequences.end());
    for (auto& sequence : tokens) sequence = clip::CutAtPool(sequence);
    clip::TrieSteps steps(tokens, step_nodes_);
    sort = base::MonotonicNow() - called;
    fold = in_sink = absl::ZeroDuration();
    int64_t positions = 0, done = 0;
    while (true) {
      absl::Time start = base::MonotonicNow();
      const absl::optional<clip::TextStep> step = steps.Next();
      absl::Time end = base::MonotonicNow();
      fold += end - start;
      if (!step.has_value()) return positions;
      if (done == 0) first_step = end;
      positions += step->trie.num_nodes();
      done += static_cast<int64_t>(step->members.size());
      for (const clip::TextStep::Member& member : step->members) {
        sink(member.sequence, {&rows_[member.end * info_.embedding_dim],
                               static_cast<size_t>(info_.embedding_dim)});
      }
      progress(done, static_cast<int64_t>(sequences.size()), positions);
      in_sink += base::MonotonicNow() - end;
    }
  }

  // Of the last call.
  absl::Time called, first_step;
  absl::Duration sort, fold, in_sink;

 private:
  clip::ModelInfo info_;
  const int64_t step_nodes_;
  const std::vector<float> rows_;
};

void Build(std::shared_ptr<const clip::Tokenizer> tokenizer, Stages* stages) {
  const auto add = [&](const char* stage, absl::Duration time) {
    (*stages)[stage].push_back(absl::ToDoubleMilliseconds(time));
  };
  FreeModel model(std::move(tokenizer), absl::GetFlag(FLAGS_embedding_dim),
                  absl::GetFlag(FLAGS_step_nodes));
  zeroshot::ClassifierSpec spec;
  spec.class_set = "imagenet-1k";
  spec.template_set = "openai-imagenet-80";

  absl::Time start = base::MonotonicNow();
  const auto resolved =
      zeroshot::ResolvedSpec::Resolve(spec, zeroshot::BuildLimits());
  const absl::Time end = base::MonotonicNow();
  const std::string id =
      resolved->Id(model.info().fingerprint, model.info().precision);
  add("1 resolve the specification", end - start);
  add("2 its id", base::MonotonicNow() - end);

  stores::MemoryStore store(int64_t{64} << 20);
  zeroshot::WeightSetBuilder builder(&model, &store, zeroshot::BuildLimits(), 1,
                                     absl::GetFlag(FLAGS_vector_cache_bytes));
  start = base::MonotonicNow();
  const auto built = builder.Build(spec, base::Caller(), nullptr);
  const absl::Duration total = base::MonotonicNow() - start;
  if (!built.ok() || built->set->id != id) {
    std::fprintf(stderr, "%s\n", built.status().ToString().c_str());
    std::exit(1);
  }
  add("3 keys and tokens of prompts", built->timing.tokenize);
  add("4 cut and sort", model.sort);
  add("5 fold all steps", model.fold);
  add("6 take the rows", model.in_sink);
  add("7 whole build", total);
  add("8 of it before the first step", model.first_step - start);
  add("9 and after the last row",
      total - (model.called - start) - model.sort - model.fold - model.in_sink);
}

}  // namespace

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  Stages stages;
  const auto tokenizer = std::make_shared<clip::ClipTokenizer>();
  for (int i = 0; i < absl::GetFlag(FLAGS_rounds); ++i) {
    Build(tokenizer, &stages);
  }
  for (auto& [stage, times] : stages) {
    std::sort(times.begin(), times.end());
    std::printf("%-32s %8.2f ms (%.2f to %.2f)\n", stage.c_str(),
                times[times.size() / 2], times.front(), times.back());
  }
}
