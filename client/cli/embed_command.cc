#include <algorithm>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "client/cli/command.h"
#include "client/cli/json.h"
#include "client/cli/server_wait.h"
#include "client/in_order.h"

namespace zeroshot::client {
namespace {

constexpr char kDetails[] = R"(
Turns images and texts into vectors of length 1. The dot product of two vectors
says how similar they are. Without --json it shows the first numbers of each.
--json has one line per item: {"text" or "file", "embedding"} or {..., "error"}.

  zeroshot_client embed a.jpg b.png
  zeroshot_client embed --json --text='a photo of a cat.' a.jpg
)";

constexpr int kShown = 6;

// A text to encode, or an image's file.
struct Item {
  bool is_text;
  std::string value;
  std::string label;
};

std::vector<Item> ReadItems(const Arguments& arguments) {
  std::vector<Item> items;
  for (const std::string& text : arguments.Texts("text")) {
    items.push_back({true, text, absl::StrCat("'", Printable(text), "'")});
  }
  const std::vector<std::string>& files = arguments.positional();
  const std::vector<std::string> labels = Labels(files);
  for (size_t i = 0; i < files.size(); ++i) {
    items.push_back({false, files[i], labels[i]});
  }
  return items;
}

// One item a call: the server puts calls together into batches itself.
absl::StatusOr<Embedding> Embed(const Invocation& run, const Item& item,
                                ServerWait* server) {
  absl::StatusOr<std::string> input =
      item.is_text ? item.value : ReadInput(item.value, *run.console.in);
  if (!input.ok()) return input.status();
  const auto one = absl::MakeConstSpan(&*input, 1);
  auto results = server->Call<std::vector<absl::StatusOr<Embedding>>>([&] {
    return item.is_text ? run.client->EmbedTexts(one)
                        : run.client->EmbedImages(one);
  });
  if (!results.ok()) return results.status();
  return std::move(results->front());
}

std::string ToJson(const Item& item, const absl::StatusOr<Embedding>& result) {
  JsonObject line;
  line.Text(item.is_text ? "text" : "file", item.value);
  return result.ok() ? line.Json("embedding", JsonArray(*result)).str()
                     : line.Json("error", JsonError(result.status())).str();
}

std::string FirstNumbers(const Embedding& embedding) {
  std::string text = absl::StrCat(embedding.size(), " floats ");
  for (size_t i = 0; i < embedding.size() && i < kShown; ++i) {
    absl::StrAppendFormat(&text, " %7.4f", embedding[i]);
  }
  return embedding.size() > kShown ? text + " ..." : text;
}

int RunEmbed(const Invocation& run) {
  const std::vector<Item> items = ReadItems(run.arguments);
  if (items.empty()) {
    return UsageError(run, absl::InvalidArgumentError(
                               "nothing to embed; name image files, or "
                               "--text=TEXT"));
  }
  const std::vector<std::string>& files = run.arguments.positional();
  if (std::count(files.begin(), files.end(), "-") > 1) {
    return UsageError(run,
                      absl::InvalidArgumentError("stdin (-) is named twice"));
  }
  const absl::StatusOr<int> parallel =
      run.arguments.Integer("parallel", 8, 1, 256);
  if (!parallel.ok()) return UsageError(run, parallel.status());

  ServerWait server(run);
  const absl::Status begun = server.Begin();
  if (absl::IsInvalidArgument(begun)) return UsageError(run, begun);
  if (!begun.ok()) return CallFailed(run, begun);

  int columns = 0;
  for (const Item& item : items) {
    columns = std::max(columns, ColumnsOf(item.label));
  }
  InOrder<absl::StatusOr<Embedding>>(
      items.size(), *parallel,
      [&](int64_t i) { return Embed(run, items[i], &server); },
      [&](int64_t i, absl::StatusOr<Embedding> result) {
        server.Count(result.status());
        if (ServerWait::WasNotTried(result.status())) return;
        if (run.json) {
          *run.console.out << ToJson(items[i], result) << std::endl;
        } else if (result.ok()) {
          *run.console.out << PadRight(items[i].label, columns) << "  "
                           << FirstNumbers(*result) << std::endl;
        } else {
          server.Say(items[i].is_text
                         ? absl::StrCat(items[i].label, ": ",
                                        HumanError(result.status()))
                         : FileError(items[i].value, result.status()));
        }
      });
  return server.Finish(items.size());
}

}  // namespace

Command EmbedCommand() {
  return {"embed",
          "[FILE...]",
          "turn images and texts into vectors",
          kDetails,
          {{"text", "TEXT", "a text to encode; repeat for more",
            /*repeated=*/true},
           {"parallel", "N", "calls in flight (default: 8)"},
           WaitForServerFlag()},
          RunEmbed};
}

}  // namespace zeroshot::client
