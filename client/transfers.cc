// Client::Export and Client::Import: files that go over the wire in pieces.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/client.h"
#include "client/connection.h"
#include "client/convert.h"

namespace zeroshot::client {
namespace {

// Of a message: less than any server takes by default.
constexpr size_t kPieceBytes = 1 << 20;

v1::MatrixLayout ToProto(MatrixLayout layout) {
  switch (layout) {
    case MatrixLayout::kClassRows:
      return v1::MATRIX_LAYOUT_CLASS_ROWS;
    case MatrixLayout::kClassColumns:
      return v1::MATRIX_LAYOUT_CLASS_COLUMNS;
    default:
      return v1::MATRIX_LAYOUT_UNSPECIFIED;
  }
}

}  // namespace

absl::Status Client::Export(absl::string_view weight_set_id,
                            const ExportOptions& options,
                            const OnPiece& on_piece) {
  v1::ExportWeightSetRequest request;
  request.set_weight_set_id(std::string(weight_set_id));
  request.set_format(options.format == WeightSetFormat::kNpy
                         ? v1::WEIGHT_SET_FORMAT_NPY
                         : v1::WEIGHT_SET_FORMAT_SAFETENSORS);
  request.set_layout(ToProto(options.layout));
  absl::Status text = CheckText(request);
  if (!text.ok()) return text;
  const absl::Time until = absl::Now() + connection_->options.build_timeout;
  for (int attempt = 1;; ++attempt) {
    grpc::ClientContext context;
    connection_->Prepare(until, &context);
    const auto reader = connection_->stub->ExportWeightSet(&context, request);
    v1::ExportWeightSetResponse piece;
    int64_t total = 0, received = 0;
    absl::Status taken;
    while (taken.ok() && reader->Read(&piece)) {
      if (received == 0) total = piece.total_bytes();
      received += static_cast<int64_t>(piece.data().size());
      taken = on_piece(piece.data());
    }
    if (!taken.ok()) context.TryCancel();
    const grpc::Status status = reader->Finish();
    if (!taken.ok()) return taken;
    if (status.ok() && received == total) return absl::OkStatus();
    if (status.ok()) {
      return absl::DataLossError(
          absl::StrCat("the server sent ", received, " of ", total, " bytes"));
    }
    if (received > 0 || attempt >= connection_->options.max_attempts ||
        !WaitedAsAsked(status, until)) {
      return FromGrpcStatus(status);
    }
  }
}

namespace {

// Sends everything. A write fails once the server has answered: then the
// call's status says what.
void Send(absl::string_view file, const ImportOptions& options,
          grpc::ClientWriter<v1::ImportWeightSetRequest>* writer) {
  v1::ImportWeightSetRequest piece;
  piece.set_layout(ToProto(options.layout));
  piece.set_model_fingerprint(options.model_fingerprint);
  size_t bytes = 0;
  for (const std::string& name : options.class_names) {
    piece.add_class_names(name);
    bytes += name.size() + sizeof(std::string);
    if (bytes < kPieceBytes) continue;
    if (!writer->Write(piece)) return;
    piece.Clear();
    bytes = 0;
  }
  do {
    piece.set_data(std::string(file.substr(0, kPieceBytes)));
    file.remove_prefix(std::min(file.size(), kPieceBytes));
    if (!writer->Write(piece)) return;
    piece.Clear();
  } while (!file.empty());
  writer->WritesDone();
}

}  // namespace

absl::StatusOr<ImportResult> Client::Import(absl::string_view file,
                                            const ImportOptions& options) {
  v1::ImportWeightSetRequest texts;
  texts.set_model_fingerprint(options.model_fingerprint);
  texts.mutable_class_names()->Assign(options.class_names.begin(),
                                      options.class_names.end());
  absl::Status text = CheckText(texts);
  if (!text.ok()) return text;
  const absl::Time until = absl::Now() + connection_->options.build_timeout;
  for (int attempt = 1;; ++attempt) {
    grpc::ClientContext context;
    connection_->Prepare(until, &context);
    v1::ImportWeightSetResponse response;
    const auto writer = connection_->stub->ImportWeightSet(&context, &response);
    Send(file, options, writer.get());
    const grpc::Status status = writer->Finish();
    if (status.ok()) {
      return ImportResult{
          .info = FromProto(response.weight_set()),
          .cached = response.cached(),
          .warnings = {response.warnings().begin(), response.warnings().end()}};
    }
    if (attempt >= connection_->options.max_attempts ||
        !WaitedAsAsked(status, until)) {
      return FromGrpcStatus(status);
    }
  }
}

}  // namespace zeroshot::client
