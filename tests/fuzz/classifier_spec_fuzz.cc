// Specs and the expansion of templates. One field a line, told by its first
// byte: c a class, p a prompt of its own, m its threshold, g its group, t a
// template, C and T named sets, b background, d the temperature.
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "tests/fuzz/fuzz.h"
#include "zeroshot/classifier_spec.h"
#include "zeroshot/weight_set_check.h"

namespace {

zeroshot::ClassifierSpec ReadSpec(absl::string_view text) {
  zeroshot::ClassifierSpec spec;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (line.empty()) continue;
    const std::string value(line.substr(1));
    if (line[0] == 'c') {
      spec.classes.push_back({value, {}});
    } else if (line[0] == 'p' && !spec.classes.empty()) {
      spec.classes.back().prompts.push_back(value);
    } else if (line[0] == 't') {
      spec.templates.push_back(value);
    } else if (line[0] == 'C') {
      spec.class_set = value;
    } else if (line[0] == 'T') {
      spec.template_set = value;
    } else if (line[0] == 'b') {
      spec.background.push_back(value);
    } else if (line[0] == 'g' && !spec.classes.empty()) {
      spec.classes.back().group = value;
    } else if (line[0] == 'm' && !spec.classes.empty()) {
      float threshold = 0;
      if (absl::SimpleAtof(value, &threshold))
        spec.classes.back().min_probability = threshold;
    } else if (line[0] == 'd') {
      float temperature = 0;
      if (absl::SimpleAtof(value, &temperature)) spec.temperature = temperature;
    }
  }
  return spec;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  zeroshot::BuildLimits limits;
  limits.max_classes = 1'000;
  limits.max_templates = 20;
  limits.max_prompts = 2'000;
  limits.max_text_bytes = 200;
  const zeroshot::ClassifierSpec spec = ReadSpec(fuzz::View(data, size));
  const auto resolved = zeroshot::ResolvedSpec::Resolve(spec, limits);
  if (!resolved.ok()) {
    fuzz::CheckRefusal(resolved.status());
    return 0;
  }
  int64_t prompts = 0;
  for (int row = 0; row < resolved->num_rows(); ++row) {
    for (int i = 0; i < resolved->num_prompts(row); ++i) {
      const std::string prompt = resolved->Prompt(row, i);
      FUZZ_CHECK(!prompt.empty());
      FUZZ_CHECK(prompt.size() <= limits.max_text_bytes);
      ++prompts;
    }
  }
  FUZZ_CHECK(prompts == resolved->total_prompts());
  FUZZ_CHECK(prompts <= limits.max_prompts);
  // What is stored of it is built again under the same id.
  stores::WeightSet set;
  for (int c = 0; c < resolved->num_classes(); ++c) {
    set.class_names.push_back(resolved->name(c));
    set.own_prompts.push_back(resolved->own_prompts(c));
  }
  set.templates = resolved->templates();
  resolved->SetDecisions(&set);
  // Of a named class set no limit is asked.
  limits.max_classes = 1'000'000;
  const auto again =
      zeroshot::ResolvedSpec::Resolve(zeroshot::SpecOf(set), limits);
  FUZZ_CHECK(again.ok());
  FUZZ_CHECK(again->Id("model", "fp32") == resolved->Id("model", "fp32"));
  for (const std::string& warning : resolved->Warnings()) {
    fuzz::CheckMessage(warning);
  }
  return 0;
}
