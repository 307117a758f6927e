#include "server/transfers.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/error_info.h"
#include "base/monotonic.h"
#include "server/wire.h"
#include "stores/stored_set.h"
#include "zeroshot/weight_set_file.h"

namespace zeroshot::server {
namespace {

// Of a message: far below what gRPC takes by default, far above its overhead.
constexpr size_t kPieceBytes = 1 << 20;

absl::StatusOr<Layout> LayoutOf(v1::MatrixLayout layout) {
  switch (layout) {
    case v1::MATRIX_LAYOUT_UNSPECIFIED:
      return Layout::kUnknown;
    case v1::MATRIX_LAYOUT_CLASS_ROWS:
      return Layout::kClassRows;
    case v1::MATRIX_LAYOUT_CLASS_COLUMNS:
      return Layout::kClassColumns;
    default:
      return base::InvalidField(
          "layout", absl::StrCat("layout is ", static_cast<int>(layout),
                                 "; known are 0 to 2"));
  }
}

absl::StatusOr<FileFormat> FormatOf(v1::WeightSetFormat format) {
  switch (format) {
    case v1::WEIGHT_SET_FORMAT_UNSPECIFIED:
    case v1::WEIGHT_SET_FORMAT_SAFETENSORS:
      return FileFormat::kSafetensors;
    case v1::WEIGHT_SET_FORMAT_NPY:
      return FileFormat::kNpy;
    default:
      return base::InvalidField(
          "format", absl::StrCat("format is ", static_cast<int>(format),
                                 "; known are 0 to 2"));
  }
}

// Whether a transfer moves as fast as it must.
class LeastRate {
 public:
  explicit LeastRate(const ServerOptions& options)
      : patience_(options.client_patience),
        bytes_per_second_(options.min_transfer_rate) {}

  // `bytes`: moved so far.
  absl::Status Check(int64_t bytes) const {
    const absl::Duration took = base::MonotonicNow() - start_;
    if (took <= patience_ + absl::Seconds(1) * (static_cast<double>(bytes) /
                                                bytes_per_second_)) {
      return absl::OkStatus();
    }
    return base::WithReason(
        absl::DeadlineExceededError(absl::StrCat(
            "the transfer moved ", bytes, " bytes in ",
            absl::FormatDuration(absl::Trunc(took, absl::Milliseconds(100))),
            "; at least ", bytes_per_second_,
            " bytes a second are needed (--min_transfer_rate)")),
        base::kClientTooSlow);
  }

 private:
  const absl::Duration patience_;
  const int64_t bytes_per_second_;
  const absl::Time start_ = base::MonotonicNow();
};

// What has arrived of a file.
struct Arrived {
  std::string bytes;
  FileToImport file;        // all but the bytes
  int64_t total_bytes = 0;  // of the file and the class names
  bool any = false;
};

absl::Status Take(v1::ImportWeightSetRequest piece,
                  const ServerOptions& options, Arrived* out) {
  if (!out->any) {
    const absl::StatusOr<Layout> layout = LayoutOf(piece.layout());
    if (!layout.ok()) return layout.status();
    out->file.layout = *layout;
    out->file.model_fingerprint = piece.model_fingerprint();
    out->any = true;
  } else if (piece.layout() != 0 || !piece.model_fingerprint().empty()) {
    return base::InvalidField(
        piece.layout() != 0 ? "layout" : "model_fingerprint",
        "layout and model_fingerprint may stand in the first message only");
  }
  out->total_bytes += piece.data().size();
  for (const std::string& name : piece.class_names()) {
    out->total_bytes += name.size() + sizeof(std::string);
  }
  if (out->total_bytes > options.max_import_bytes) {
    return base::InvalidField(
        "data",
        absl::StrCat("the file and its class names have more than ",
                     options.max_import_bytes, " bytes (--max_import_bytes)"));
  }
  out->bytes += piece.data();
  for (std::string& name : *piece.mutable_class_names()) {
    out->file.class_names.push_back(std::move(name));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ExportWeightSet(
    const Call& call, const ServerOptions& options,
    const v1::ExportWeightSetRequest& request,
    const std::function<bool(const v1::ExportWeightSetResponse&)>& write) {
  const absl::StatusOr<FileFormat> format = FormatOf(request.format());
  if (!format.ok()) return format.status();
  const absl::StatusOr<Layout> layout = LayoutOf(request.layout());
  if (!layout.ok()) return layout.status();
  if (*format == FileFormat::kSafetensors && *layout == Layout::kClassColumns) {
    return base::InvalidField(
        "layout",
        "layout MATRIX_LAYOUT_CLASS_COLUMNS is for WEIGHT_SET_FORMAT_NPY only");
  }
  const auto set = call.engine.store.Get(request.weight_set_id());
  if (!set.ok()) return set.status();
  const std::string header = ExportHeader(**set, *format, *layout);
  const absl::string_view weights = stores::WeightBytes(**set);

  const LeastRate rate(options);
  int64_t written = 0;
  v1::ExportWeightSetResponse piece;
  piece.set_total_bytes(static_cast<int64_t>(header.size() + weights.size()));
  for (absl::string_view rest : {absl::string_view(header), weights}) {
    while (!rest.empty()) {
      if (absl::Status wanted = call.caller.StillWaiting(); !wanted.ok()) {
        return wanted;
      }
      if (absl::Status fast = rate.Check(written); !fast.ok()) return fast;
      piece.set_data(std::string(rest.substr(0, kPieceBytes)));
      if (!write(piece)) return base::CallerGone();
      written += piece.data().size();
      piece.clear_total_bytes();
      rest.remove_prefix(std::min(rest.size(), kPieceBytes));
    }
  }
  return absl::OkStatus();
}

absl::Status ImportWeightSet(
    const Call& call, const ServerOptions& options,
    const std::function<absl::StatusOr<bool>(v1::ImportWeightSetRequest*)>&
        read,
    const std::function<absl::Status()>& stopping,
    v1::ImportWeightSetResponse* response) {
  const LeastRate rate(options);
  Arrived arrived;
  v1::ImportWeightSetRequest piece;
  while (true) {
    const absl::StatusOr<bool> more = read(&piece);
    if (!more.ok()) return more.status();
    if (!*more) break;
    if (absl::Status stop = stopping(); !stop.ok()) return stop;
    if (absl::Status fast = rate.Check(arrived.total_bytes); !fast.ok()) {
      return fast;
    }
    absl::Status taken = Take(std::move(piece), options, &arrived);
    if (!taken.ok()) return taken;
    piece.Clear();
  }
  // A stream that broke ends like one that is complete.
  if (absl::Status left = call.caller.StillWaiting(); !left.ok()) return left;
  arrived.file.bytes = arrived.bytes;
  absl::StatusOr<ImportedSet> imported =
      ReadWeightSetFile(arrived.file, call.engine.model->info(), options.build);
  if (absl::IsInvalidArgument(imported.status())) {
    return base::WithReason(imported.status(), base::kInvalidFile);
  }
  if (!imported.ok()) return imported.status();
  arrived = {};  // storing takes memory of its own
  response->set_cached(call.engine.store.Get(imported->set->id).ok());
  // One that was found too: a tier that lost it gets it again.
  absl::Status stored = call.engine.store.Put(imported->set);
  if (!stored.ok()) return stored;
  ToProto(stores::SummaryOf(*imported->set), response->mutable_weight_set());
  response->mutable_warnings()->Assign(imported->warnings.begin(),
                                       imported->warnings.end());
  return absl::OkStatus();
}

}  // namespace zeroshot::server
