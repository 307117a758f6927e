// Specs and the expansion of templates. One field a line, told by its first
// byte: c a class, p a prompt of its own, t a template, C and T named sets.
#include <string>

#include "absl/strings/str_split.h"
#include "tests/fuzz/fuzz.h"
#include "zeroshot/classifier_spec.h"

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
  for (int c = 0; c < resolved->num_classes(); ++c) {
    for (int i = 0; i < resolved->num_prompts(c); ++i) {
      const std::string prompt = resolved->Prompt(c, i);
      FUZZ_CHECK(!prompt.empty());
      FUZZ_CHECK(prompt.size() <= limits.max_text_bytes);
      ++prompts;
    }
  }
  FUZZ_CHECK(prompts == resolved->total_prompts());
  FUZZ_CHECK(prompts <= limits.max_prompts);
  FUZZ_CHECK(resolved->Id("model", "fp32").size() == 64);
  for (const std::string& warning : resolved->Warnings()) {
    fuzz::CheckMessage(warning);
  }
  return 0;
}
