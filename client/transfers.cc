// Client::Export and Client::Import: files that go over the wire in pieces.
#include <google/protobuf/repeated_ptr_field.h>
#include <openssl/evp.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/client.h"
#include "client/connection.h"
#include "client/convert.h"

namespace zeroshot::client {
namespace {

// Of a message: less than any server takes by default.
constexpr size_t kPieceBytes = 1 << 20;

}  // namespace

absl::Status Client::Export(absl::string_view weight_set_id,
                            const ExportOptions& options,
                            const OnPiece& on_piece, const CallOptions& call) {
  v1::ExportWeightSetRequest request;
  request.set_weight_set_id(std::string(weight_set_id));
  request.set_format(options.format);
  request.set_layout(options.layout);
  absl::Status good = CheckText(request);
  if (good.ok()) good = connection_->Check(call);
  if (!good.ok()) return good;
  const absl::Time until =
      Connection::Until(call, connection_->options.build_timeout);
  for (int attempt = 1;; ++attempt) {
    Connection::Attempt made(*connection_, call, until);
    const auto reader =
        connection_->stub->ExportWeightSet(made.context(), request);
    v1::ExportWeightSetResponse piece;
    int64_t total = 0, received = 0;
    absl::Status taken;
    while (taken.ok() && reader->Read(&piece)) {
      if (received == 0) total = piece.total_bytes();
      received += static_cast<int64_t>(piece.data().size());
      taken = on_piece(piece.data());
    }
    if (!taken.ok()) made.context()->TryCancel();
    const grpc::Status status = reader->Finish();
    if (!taken.ok()) return taken;
    if (status.ok() && received == total) return absl::OkStatus();
    if (status.ok()) {
      return absl::DataLossError(
          absl::StrCat("the server sent ", received, " of ", total, " bytes"));
    }
    if (received > 0 || !connection_->MayRepeat(attempt, status, until, call)) {
      return Connection::Ended(status, call);
    }
  }
}

namespace {

std::string Sha256(absl::string_view bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE] = {};
  unsigned int size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), size));
}

// Sends everything. A write fails once the server has answered: then the
// call's status says what.
void Send(absl::string_view file, v1::ImportWeightSetHeader header,
          grpc::ClientWriter<v1::ImportWeightSetRequest>* writer) {
  google::protobuf::RepeatedPtrField<std::string> names;
  names.Swap(header.mutable_class_names());
  v1::ImportWeightSetRequest piece;
  *piece.mutable_header() = std::move(header);
  size_t bytes = 0;
  for (std::string& name : names) {
    bytes += name.size() + sizeof(std::string);
    piece.mutable_header()->add_class_names(std::move(name));
    if (bytes < kPieceBytes) continue;
    if (!writer->Write(piece)) return;
    piece.Clear();
    piece.mutable_header();
    bytes = 0;
  }
  if (!writer->Write(piece)) return;
  while (!file.empty()) {
    piece.set_data(std::string(file.substr(0, kPieceBytes)));
    file.remove_prefix(std::min(file.size(), kPieceBytes));
    if (!writer->Write(piece)) return;
  }
  writer->WritesDone();
}

}  // namespace

absl::StatusOr<ImportResult> Client::Import(absl::string_view file,
                                            const ImportOptions& options,
                                            const CallOptions& call) {
  v1::ImportWeightSetHeader header;
  header.set_layout(options.layout);
  header.set_model_fingerprint(options.model_fingerprint);
  header.set_display_name(options.display_name);
  header.mutable_class_names()->Assign(options.class_names.begin(),
                                       options.class_names.end());
  header.set_total_bytes(static_cast<int64_t>(file.size()));
  header.set_sha256(Sha256(file));
  absl::Status good = CheckText(header);
  if (good.ok()) good = connection_->Check(call);
  if (!good.ok()) return good;
  const absl::Time until =
      Connection::Until(call, connection_->options.build_timeout);
  for (int attempt = 1;; ++attempt) {
    Connection::Attempt made(*connection_, call, until);
    v1::ImportWeightSetResponse response;
    const auto writer =
        connection_->stub->ImportWeightSet(made.context(), &response);
    Send(file, header, writer.get());
    const grpc::Status status = writer->Finish();
    if (status.ok()) return response;
    if (!connection_->MayRepeat(attempt, status, until, call)) {
      return Connection::Ended(status, call);
    }
  }
}

}  // namespace zeroshot::client
