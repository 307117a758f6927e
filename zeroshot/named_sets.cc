#include "zeroshot/named_sets.h"

#include <map>

#include "absl/strings/str_split.h"
#include "zeroshot/embedded_sets.h"

namespace zeroshot {
namespace {

using NamedLists = std::map<std::string, std::vector<std::string>, std::less<>>;

std::vector<std::string> Lines(absl::string_view file) {
  return absl::StrSplit(file, '\n', absl::SkipEmpty());
}

const NamedLists& ClassSets() {
  static const auto* const sets =
      new NamedLists{{"imagenet-1k", Lines(embedded::ImageNet1k())}};
  return *sets;
}

const NamedLists& TemplateSets() {
  static const auto* const sets = new NamedLists{
      {"openai-imagenet-80", Lines(embedded::OpenAiImageNet80())},
      {"openai-imagenet-7", Lines(embedded::OpenAiImageNet7())},
      {"simple", Lines(embedded::Simple())}};
  return *sets;
}

std::vector<std::string> Names(const NamedLists& sets) {
  std::vector<std::string> names;
  for (const auto& [name, list] : sets) names.push_back(name);
  return names;
}

const std::vector<std::string>* Find(const NamedLists& sets,
                                     absl::string_view name) {
  const auto it = sets.find(std::string(name));
  return it == sets.end() ? nullptr : &it->second;
}

}  // namespace

std::vector<std::string> ClassSetNames() { return Names(ClassSets()); }
std::vector<std::string> TemplateSetNames() { return Names(TemplateSets()); }

const std::vector<std::string>* FindClassSet(absl::string_view name) {
  return Find(ClassSets(), name);
}

const std::vector<std::string>* FindTemplateSet(absl::string_view name) {
  return Find(TemplateSets(), name);
}

}  // namespace zeroshot
