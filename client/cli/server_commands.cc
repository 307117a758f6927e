// model, sets, health: the server itself.
#include <algorithm>
#include <cmath>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/json.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace zeroshot::client {
namespace {

// Every limit that the contract has: all are int64.
std::string ToJson(const Limits& limits) {
  JsonObject object;
  const google::protobuf::Descriptor& type = *Limits::descriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    object.Integer(type.field(i)->name(),
                   limits.GetReflection()->GetInt64(limits, type.field(i)));
  }
  return object.str();
}

std::string ToJson(const ModelInfo& model) {
  return JsonObject()
      .Text("name", model.name())
      .Text("family", model.family())
      .Text("fingerprint", model.fingerprint())
      .Text("precision", model.precision())
      .Text("device", model.device())
      .Integer("embedding_dim", model.embedding_dim())
      .Integer("image_size", model.image_size())
      .Integer("context_length", model.context_length())
      .Integer("vocab_size", model.vocab_size())
      .Float("logit_scale", model.logit_scale())
      .Float("logit_bias", model.logit_bias())
      .Text("score_function", NameOf(model.score_function()))
      .Text("image_preprocessing", model.image_preprocessing())
      .Text("text_preprocessing", model.text_preprocessing())
      .Json("limits", ToJson(model.limits()))
      .Json("template_sets", JsonArray(model.template_sets()))
      .Json("class_sets", JsonArray(model.class_sets()))
      .Text("server_version", model.server_version())
      .Text("activation", model.activation())
      .Bool("is_demo", model.is_demo())
      .str();
}

int RunModel(const Invocation& run) {
  const absl::StatusOr<ModelInfo> model = run.client->GetModel();
  if (!model.ok()) return CallFailed(run, model.status());
  if (run.json) {
    *run.console.out << ToJson(*model) << "\n";
    return kOk;
  }
  const bool colour = run.console.colour && run.console.out_is_terminal;
  const auto line = [&](absl::string_view name, absl::string_view value) {
    *run.console.out << Dim(PadRight(name, 15), colour) << Printable(value)
                     << "\n";
  };
  const Limits& limits = model->limits();
  line("model", absl::StrCat(model->name(), " (", model->family(), ")"));
  if (model->is_demo()) {
    line("", "a demo: it knows pictograms and simple objects, not the world");
  }
  line("fingerprint", model->fingerprint());
  line("runs on", absl::StrCat(model->device(), ", ", model->precision()));
  line("images",
       absl::StrCat(model->image_size(), " x ", model->image_size(),
                    " pixels -> ", model->embedding_dim(), " floats"));
  line("", model->image_preprocessing());
  line("texts", absl::StrCat("up to ", model->context_length(), " tokens of ",
                             WithCommas(model->vocab_size())));
  line("", model->text_preprocessing());
  line("activation", model->activation());
  line("scores", absl::StrCat(NameOf(model->score_function()), " of ",
                              model->logit_scale(), " x cosine",
                              model->logit_bias() < 0 ? " - " : " + ",
                              std::abs(model->logit_bias())));
  line("named sets",
       absl::StrCat(WithCommas(model->class_sets().size()), " of classes, ",
                    WithCommas(model->template_sets().size()),
                    " of templates; `zeroshot_client sets` lists them"));
  line(
      "limits",
      absl::StrCat(HumanBytes(limits.max_image_bytes()), " and ",
                   WithCommas(limits.max_image_pixels()), " pixels per image; ",
                   WithCommas(limits.max_classes()), " classes, ",
                   WithCommas(limits.max_templates()), " templates, ",
                   WithCommas(limits.max_prompts()), " prompts per build"));
  line("", absl::StrCat(WithCommas(limits.max_inflight()), " calls and ",
                        WithCommas(limits.max_builds()), " builds at once; ",
                        WithCommas(limits.max_batch_items()),
                        " items per embed call"));
  line("server", model->server_version());
  return kOk;
}

int RunSets(const Invocation& run) {
  const std::vector<std::string>& names = run.arguments.positional();
  if (names.size() > 1) {
    return UsageError(
        run, absl::InvalidArgumentError("sets takes one set's name, or none"));
  }
  const auto templates = run.client->ListTemplateSets();
  if (!templates.ok()) return CallFailed(run, templates.status());
  std::ostream& out = *run.console.out;
  if (names.size() == 1) {
    std::vector<std::string> lines;
    const auto found = std::find_if(
        templates->begin(), templates->end(),
        [&](const TemplateSet& set) { return set.name() == names[0]; });
    if (found != templates->end()) {
      lines = {found->templates().begin(), found->templates().end()};
    } else {
      auto classes = run.client->GetClassSet(names[0]);
      if (!classes.ok()) return CallFailed(run, classes.status());
      lines = *std::move(classes);
    }
    if (run.json) {
      out << JsonObject()
                 .Text("name", names[0])
                 .Json(found != templates->end() ? "templates" : "class_names",
                       JsonArray(lines))
                 .str()
          << "\n";
    } else {
      for (const std::string& line : lines) out << Printable(line) << "\n";
    }
    return kOk;
  }
  const auto classes = run.client->ListClassSets();
  if (!classes.ok()) return CallFailed(run, classes.status());
  if (run.json) {
    for (const ClassSet& set : *classes) {
      out << JsonObject()
                 .Text("class_set", set.name())
                 .Integer("num_classes", set.num_classes())
                 .Text("template_set", set.template_set())
                 .str()
          << "\n";
    }
    for (const TemplateSet& set : *templates) {
      out << JsonObject()
                 .Text("template_set", set.name())
                 .Integer("num_templates", set.templates().size())
                 .str()
          << "\n";
    }
    return kOk;
  }
  const bool colour = run.console.colour && run.console.out_is_terminal;
  constexpr int kNameColumns = 24;
  const auto head = [&](absl::string_view what, absl::string_view rest) {
    out << Dim(absl::StrCat(PadRight(what, kNameColumns), rest), colour)
        << "\n";
  };
  head("CLASS SET", "CLASSES  ITS TEMPLATE SET");
  for (const ClassSet& set : *classes) {
    out << PadRight(Printable(set.name()), kNameColumns)
        << PadLeft(WithCommas(set.num_classes()), 7) << "  "
        << Printable(set.template_set()) << "\n";
  }
  out << "\n";
  head("TEMPLATE SET", "TEMPLATES");
  for (const TemplateSet& set : *templates) {
    out << PadRight(Printable(set.name()), kNameColumns)
        << PadLeft(WithCommas(static_cast<int64_t>(set.templates().size())), 9)
        << "\n";
  }
  return kOk;
}

int RunHealth(const Invocation& run) {
  const auto wait = run.arguments.Time("wait");
  if (!wait.ok()) return UsageError(run, wait.status());
  const absl::Status status =
      run.client->Health(wait->value_or(absl::ZeroDuration()));
  if (run.json) {
    JsonObject line;
    line.Text("target", run.target).Bool("serving", status.ok());
    if (!status.ok()) line.Json("error", JsonError(status));
    *run.console.out << line.str() << "\n";
    return status.ok() ? kOk : kCallFailed;
  }
  if (!status.ok()) return CallFailed(run, status);
  const bool colour = run.console.colour && run.console.out_is_terminal;
  *run.console.out << Printable(run.target) << " is "
                   << Green("serving", colour) << "\n";
  return kOk;
}

}  // namespace

Command ModelCommand() {
  return {
      "model",
      "",
      "describe the model and the limits of the server",
      "\nDescribes the model that the server runs: its name, precision and "
      "device, the size of\nits images and vectors, the server's limits, and "
      "the names of the template and class\nsets that `build` takes (`sets` "
      "says what they hold).\n\n"
      "  zeroshot_client model --json | jq .limits\n",
      {},
      RunModel};
}

Command SetsCommand() {
  return {
      "sets",
      "[NAME]",
      "list the class and template sets that build takes, or what one holds",
      "\nLists the class sets and template sets that the server knows, for "
      "--class_set and\n--template_set of `build`. With a name it prints what "
      "that set holds: class names or\ntemplates, one per line.\n\n"
      "  zeroshot_client sets\n"
      "  zeroshot_client sets cifar10 > classes.txt\n"
      "  zeroshot_client sets openai-cifar10\n",
      {},
      RunSets};
}

Command HealthCommand() {
  return {
      "health",
      "",
      "say whether the server takes calls",
      "\nAsks the server whether it takes calls now. The exit code is 0 if it "
      "does, else 1: while it\nloads its model, while it stops, and if it "
      "cannot be reached. --wait goes on asking, also\nwhile a server is "
      "replaced by another one.\n\n"
      "  zeroshot_client health --wait=30s   # after starting a server\n",
      {{"wait", "TIME", "wait up to that long until it does"}},
      RunHealth};
}

}  // namespace zeroshot::client
