// JSON, query strings and forms of strangers: what is read as a request is the
// same when it is written and read again. The first byte chooses the reader.
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <string>

#include "server/http/embeddings.h"
#include "server/http/forms.h"
#include "server/http/infer_body.h"
#include "server/http/json_message.h"
#include "server/http/url.h"
#include "tests/fuzz/fuzz.h"

namespace zeroshot::server::http {
namespace {

const MostItems& Most() {
  static const auto* const most = new MostItems(
      [](const google::protobuf::FieldDescriptor*) { return int64_t{100}; });
  return *most;
}

void ReadTwice(absl::string_view json) {
  v1::BuildClassifierRequest request, again;
  const absl::Status read = JsonMessageReader(json, Most()).Read(&request);
  if (!read.ok()) return fuzz::CheckRefusal(read);
  std::string written;
  AppendJson(request, &written);
  const absl::Status reread = JsonMessageReader(written, Most()).Read(&again);
  FUZZ_CHECK(reread.ok());
  FUZZ_CHECK(
      google::protobuf::util::MessageDifferencer::Equals(request, again));
}

void Classify(absl::string_view text, bool json) {
  ClassifyForm form(Most(), 10);
  absl::Status read;
  if (json) {
    read = form.TakeJson(text);
  } else {
    const auto fields = ParseUrlEncoded(text, kMaxFields);
    read = fields.status();
    for (size_t i = 0; read.ok() && i < fields->size(); ++i) {
      read = form.TakeField((*fields)[i].first, (*fields)[i].second);
    }
  }
  if (!read.ok()) return fuzz::CheckRefusal(read);
  FUZZ_CHECK(form.images().size() <= 10);
  // Texts are UTF-8, or protobuf would say so on standard error.
  v1::ClassifyBatchRequest again;
  FUZZ_CHECK(again.ParseFromString(form.request().SerializeAsString()));
}

void Embed(absl::string_view json) {
  const auto read = ParseEmbeddings(json, 10);
  if (!read.ok()) return fuzz::CheckRefusal(read.status());
  FUZZ_CHECK(!read->inputs.empty() && read->inputs.size() <= 10);
}

// The JSON of the inference protocol, and binary data behind a line's end.
void Infer(absl::string_view text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string binary(text.substr(std::min(end + 1, text.size())));
  const auto read = ParseInfer(text.substr(0, end), binary, Most());
  if (!read.ok()) return fuzz::CheckRefusal(read.status());
  size_t bytes = 0;
  for (const std::string& raw : read->raw) bytes += raw.size();
  FUZZ_CHECK(bytes == binary.size());
  inference::ModelInferRequest again;
  FUZZ_CHECK(again.ParseFromString(read->request.SerializeAsString()));
}

}  // namespace
}  // namespace zeroshot::server::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view text = fuzz::View(data + 1, size - 1);
  using namespace zeroshot::server::http;
  switch (data[0] % 5) {
    case 0:
      ReadTwice(text);
      break;
    case 1:
      Classify(text, /*json=*/true);
      break;
    case 2:
      Classify(text, /*json=*/false);
      break;
    case 3:
      Embed(text);
      break;
    default:
      Infer(text);
  }
  return 0;
}
