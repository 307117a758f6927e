#include "client/cli/spec_file.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/json_reader.h"
#include "client/cli/command.h"
#include "client/cli/image_source.h"
#include "client/convert.h"
#include "google/protobuf/util/json_util.h"
#include "zeroshot/v1/zeroshot.pb.h"

namespace zeroshot::client {
namespace {

constexpr size_t kMaxShownName = 200;

// Takes {"class": "prompt" or ["prompt", ...], ...}. The first error sticks.
class PromptsParser {
 public:
  explicit PromptsParser(absl::string_view text) : reader_(text) {}

  absl::StatusOr<ClassifierSpec> Parse() {
    ClassifierSpec spec;
    if (!reader_.Take('{')) Fail("expected { and prompts by class");
    if (status_.ok() && !reader_.Take('}')) {
      do {
        ClassDefinition& added = spec.classes.emplace_back();
        added.name = Text("a class name in quotes");
        if (!reader_.Take(':')) Fail("expected : after a class name");
        TakePrompts(&added.prompts);
      } while (status_.ok() && reader_.Take(','));
      if (!reader_.Take('}'))
        Fail("expected , or } after the prompts of a class");
    }
    if (!reader_.AtEnd()) Fail("expected the end of the file");
    if (spec.classes.empty()) Fail("no class is there");
    if (!status_.ok()) return status_;
    return spec;
  }

 private:
  void TakePrompts(std::vector<std::string>* prompts) {
    if (!status_.ok()) return;
    if (!reader_.Take('[')) {
      prompts->push_back(Text("a prompt, or a list of prompts in [ ]"));
      return;
    }
    do {
      prompts->push_back(Text("a prompt in quotes"));
    } while (status_.ok() && reader_.Take(','));
    if (!reader_.Take(']')) Fail("expected , or ] after a prompt");
  }

  std::string Text(absl::string_view what) {
    absl::string_view raw;
    if (status_.ok() && reader_.TakeString(&raw)) {
      return base::JsonUnescape(raw);
    }
    Fail(reader_.cause().empty() ? absl::StrCat("expected ", what)
                                 : std::string(reader_.cause()));
    return "";
  }

  void Fail(absl::string_view what) {
    if (!status_.ok()) return;
    status_ = absl::InvalidArgumentError(
        absl::StrCat("line ", reader_.line(), ": ", what,
                     "; it should be {\"class\": [\"prompt\", ...], ...}"));
  }

  base::JsonReader reader_;
  absl::Status status_;
};

// Takes a value of any kind.
bool SkipValue(base::JsonReader* reader, int depth) {
  constexpr int kDeepest = 32;
  if (depth > kDeepest) return false;
  base::JsonReader here = *reader;
  if (here.Take('{')) {
    return reader->TakeObject(
        [&](absl::string_view) { return SkipValue(reader, depth + 1); });
  }
  if (here.Take('[')) {
    return reader->TakeArray([&] { return SkipValue(reader, depth + 1); });
  }
  return reader->SkipScalar();
}

// The examples' bytes. `name`: what the file calls it.
absl::StatusOr<std::string> ReadExample(const std::string& name,
                                        const std::string& folder) {
  absl::string_view text = name;
  if (absl::ConsumePrefix(&text, "data:")) {
    std::string image;
    const size_t comma = text.find(',');
    if (comma != text.npos &&
        absl::EndsWithIgnoreCase(text.substr(0, comma), ";base64") &&
        absl::Base64Unescape(text.substr(comma + 1), &image)) {
      return image;
    }
    return absl::InvalidArgumentError("a data URI that is no base64");
  }
  std::ifstream no_stdin;
  return ReadInput(
      absl::StartsWith(name, "/") ? name : absl::StrCat(folder, name),
      no_stdin);
}

// Takes the example images out of the JSON, where they are files' names and not
// bytes as protobuf has them, and reads them into `images`, a list a class.
absl::Status TakeExampleImages(const std::string& folder,
                               nlohmann::ordered_json* request,
                               std::vector<std::vector<std::string>>* images) {
  const auto classes = request->find("classes");
  if (classes == request->end() || !classes->is_array()) {
    return absl::OkStatus();
  }
  images->resize(classes->size());
  for (size_t c = 0; c < classes->size(); ++c) {
    if (!(*classes)[c].is_object()) continue;
    for (const char* key : {"example_images", "exampleImages"}) {
      const auto names = (*classes)[c].find(key);
      if (names == (*classes)[c].end()) continue;
      const std::string field = absl::StrCat("classes[", c, "].", key);
      if (!names->is_array()) {
        return absl::InvalidArgumentError(
            absl::StrCat(field, " is no list of files"));
      }
      for (const auto& name : *names) {
        const absl::StatusOr<std::string> image =
            name.is_string() ? ReadExample(name.get<std::string>(), folder)
                             : absl::InvalidArgumentError("no name of a file");
        if (!image.ok()) {
          return absl::InvalidArgumentError(absl::StrCat(
              field, "[", (*images)[c].size(), "]: ",
              name.is_string()
                  ? Printable(name.get<std::string>().substr(0, kMaxShownName))
                  : std::string("it"),
              ": ", image.status().message()));
        }
        (*images)[c].push_back(*image);
      }
      (*classes)[c].erase(key);
    }
  }
  return absl::OkStatus();
}

// Whether the outermost object names classes as a BuildClassifierRequest does:
// a text, or a list of objects. A class of prompts by class may be named so.
bool IsRequest(absl::string_view json) {
  base::JsonReader reader(json);
  bool found = false;
  reader.TakeObject([&](absl::string_view key) {
    base::JsonReader value = reader;
    found = found || key == "class_set" || key == "classSet" ||
            (key == "classes" && value.Take('[') &&
             (value.Take('{') || value.Take(']')));
    return SkipValue(&reader, 0);
  });
  return found;
}

}  // namespace

absl::StatusOr<ClassifierSpec> ParsePrompts(absl::string_view json) {
  return PromptsParser(json).Parse();
}

absl::StatusOr<ClassifierSpec> ParseSpec(absl::string_view json,
                                         const std::string& folder) {
  if (!IsRequest(json)) return ParsePrompts(json);
  std::string text(json);
  std::vector<std::vector<std::string>> images;
  // What is no JSON protobuf says best.
  if (auto tree =
          nlohmann::ordered_json::parse(json.begin(), json.end(), nullptr,
                                        /*allow_exceptions=*/false);
      absl::StrContains(json, "xample") && tree.is_object()) {
    absl::Status taken = TakeExampleImages(folder, &tree, &images);
    if (!taken.ok()) return taken;
    text = tree.dump();
  }
  v1::BuildClassifierRequest request;
  const auto parsed =
      google::protobuf::util::JsonStringToMessage(text, &request);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(parsed.message()),
                     "; it should be a BuildClassifierRequest in JSON"));
  }
  ClassifierSpec spec = FromProto(request);
  for (size_t c = 0; c < images.size(); ++c) {
    spec.classes[c].example_images = std::move(images[c]);
  }
  return spec;
}

absl::StatusOr<std::vector<ClassDefinition>> ReadClassFolders(
    const std::string& folder) {
  std::ifstream no_stdin;
  const auto images = ImageSource::OfFolder(folder);
  if (!images.ok()) return images.status();
  const size_t prefix = folder.size() + (absl::EndsWith(folder, "/") ? 0 : 1);
  std::vector<ClassDefinition> classes;
  while (const std::optional<NamedImage> image = (*images)->Next()) {
    const absl::StatusOr<std::string> bytes =
        ImageSource::Read(*image, no_stdin);
    if (!bytes.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(Printable(image->name), ": ", bytes.status().message()));
    }
    const absl::string_view name =
        absl::string_view(image->name).substr(prefix);
    const size_t slash = name.find('/');
    if (slash == name.npos) {
      return absl::InvalidArgumentError(absl::StrCat(
          Printable(image->name),
          ": an image of no class; each class has a subfolder of its own"));
    }
    if (classes.empty() || classes.back().name != name.substr(0, slash)) {
      classes.push_back({.name = std::string(name.substr(0, slash))});
    }
    classes.back().example_images.push_back(*bytes);
  }
  return classes;
}

}  // namespace zeroshot::client
