// model, health: the server itself.
#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/command.h"
#include "client/cli/json.h"

namespace zeroshot::client {
namespace {

std::string ToJson(const Limits& limits) {
  return JsonObject()
      .Integer("max_image_bytes", limits.max_image_bytes)
      .Integer("max_image_pixels", limits.max_image_pixels)
      .Integer("max_classes", limits.max_classes)
      .Integer("max_templates", limits.max_templates)
      .Integer("max_prompts", limits.max_prompts)
      .Integer("max_text_bytes", limits.max_text_bytes)
      .Integer("max_batch_items", limits.max_batch_items)
      .Integer("max_inflight", limits.max_inflight)
      .Integer("max_builds", limits.max_builds)
      .Integer("max_request_bytes", limits.max_request_bytes)
      .Integer("max_weight_sets", limits.max_weight_sets)
      .Integer("max_import_bytes", limits.max_import_bytes)
      .Integer("max_top_k", limits.max_top_k)
      .Integer("max_answer_bytes", limits.max_answer_bytes)
      .str();
}

std::string ToJson(const ModelInfo& model) {
  return JsonObject()
      .Text("name", model.name)
      .Text("family", model.family)
      .Text("fingerprint", model.fingerprint)
      .Text("precision", model.precision)
      .Text("device", model.device)
      .Integer("embedding_dim", model.embedding_dim)
      .Integer("image_size", model.image_size)
      .Integer("context_length", model.context_length)
      .Integer("vocab_size", model.vocab_size)
      .Float("logit_scale", model.logit_scale)
      .Json("limits", ToJson(model.limits))
      .Json("template_sets", JsonArray(model.template_sets))
      .Json("class_sets", JsonArray(model.class_sets))
      .Text("server_version", model.server_version)
      .Text("activation", model.activation)
      .Bool("is_demo", model.is_demo)
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
  const Limits& limits = model->limits;
  line("model", absl::StrCat(model->name, " (", model->family, ")"));
  if (model->is_demo) {
    line("", "a demo: it knows pictograms and simple objects, not the world");
  }
  line("fingerprint", model->fingerprint);
  line("runs on", absl::StrCat(model->device, ", ", model->precision));
  line("pictures",
       absl::StrCat(model->image_size, " x ", model->image_size, " pixels -> ",
                    model->embedding_dim, " floats"));
  line("texts", absl::StrCat("up to ", model->context_length, " tokens of ",
                             WithCommas(model->vocab_size)));
  line("activation", model->activation);
  line("logit scale", absl::StrCat(model->logit_scale));
  line("template sets", absl::StrJoin(model->template_sets, ", "));
  line("class sets", absl::StrJoin(model->class_sets, ", "));
  line("limits",
       absl::StrCat(HumanBytes(limits.max_image_bytes), " and ",
                    WithCommas(limits.max_image_pixels), " pixels a picture; ",
                    WithCommas(limits.max_classes), " classes, ",
                    WithCommas(limits.max_templates), " templates, ",
                    WithCommas(limits.max_prompts), " prompts a build"));
  line("", absl::StrCat(WithCommas(limits.max_inflight), " calls and ",
                        WithCommas(limits.max_builds), " builds at once; ",
                        WithCommas(limits.max_batch_items),
                        " items an embed call"));
  line("server", model->server_version);
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
      "the names of the template and class\nsets that `build` takes.\n\n"
      "  zeroshot_client model --json | jq .limits\n",
      {},
      RunModel};
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
