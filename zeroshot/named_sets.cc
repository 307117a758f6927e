#include "zeroshot/named_sets.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/error_info.h"
#include "base/quoted.h"
#include "zeroshot/embedded_sets.h"

namespace zeroshot {
namespace {

using NamedLists = std::map<std::string, std::vector<std::string>, std::less<>>;

std::vector<std::string> Lines(absl::string_view file) {
  return absl::StrSplit(file, '\n', absl::SkipEmpty());
}

NamedLists Read(
    const std::vector<std::pair<absl::string_view, absl::string_view>>& files) {
  NamedLists lists;
  for (const auto& [name, bytes] : files) {
    lists.emplace(std::string(name), Lines(bytes));
  }
  return lists;
}

const NamedLists& ClassSets() {
  static const auto* const sets = new NamedLists(Read(embedded::ClassSets()));
  return *sets;
}

const NamedLists& TemplateSets() {
  static const auto* const sets =
      new NamedLists(Read(embedded::TemplateSets()));
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

std::string TemplateSetFor(absl::string_view class_set) {
  if (class_set == "imagenet-1k") return "openai-imagenet-80";
  std::string name = absl::StrCat("openai-", class_set);
  return FindTemplateSet(name) != nullptr ? name : "";
}

absl::Status UnknownClassSet(absl::string_view name) {
  return base::InvalidField("class_set",
                            absl::StrCat("class_set ", base::Quoted(name),
                                         " is unknown; it must be one of: ",
                                         absl::StrJoin(ClassSetNames(), ", ")));
}

}  // namespace zeroshot
