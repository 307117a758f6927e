#include "server/transfers.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/error_info.h"
#include "base/in_background.h"
#include "base/monotonic.h"
#include "base/sha256.h"
#include "server/request_limits.h"
#include "server/wire.h"
#include "stores/display_name.h"
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
                                 "; 0 to 2 is allowed"));
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
                                 "; 0 to 2 is allowed"));
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
            " bytes per second are needed (--min_transfer_rate)")),
        base::kClientTooSlow);
  }

 private:
  const absl::Duration patience_;
  const int64_t bytes_per_second_;
  const absl::Time start_ = base::MonotonicNow();
};

// What has arrived of a file.
struct Arrived {
  bool any_header = false, any_data = false;
  FileToImport file;            // all but the bytes
  int64_t expected_bytes = 0;   // 0: not known
  std::string expected_sha256;  // empty: not known
  std::string display_name;
  std::string bytes;
  base::Sha256 sha256;      // of the bytes, if there is one to compare with
  int64_t total_bytes = 0;  // of the file and the class names
};

absl::Status Damaged(absl::string_view message, absl::string_view expected,
                     absl::string_view found) {
  return base::WithReason(
      absl::DataLossError(message), base::kTransferDamaged,
      {{"expected", std::string(expected)}, {"found", std::string(found)}});
}

absl::Status TooLarge(absl::string_view what, const ServerOptions& options) {
  return base::InvalidField("data",
                            absl::StrCat(what, " ", options.max_import_bytes,
                                         " bytes (--max_import_bytes)"));
}

// The first header.
absl::Status TakeFirst(const v1::ImportWeightSetHeader& header,
                       const ServerOptions& options, Arrived* out) {
  const absl::StatusOr<Layout> layout = LayoutOf(header.layout());
  if (!layout.ok()) return layout.status();
  if (header.total_bytes() < 0) {
    return base::InvalidField(
        "header.total_bytes",
        absl::StrCat("header.total_bytes is ", header.total_bytes(),
                     "; 0 (meaning not known) and more are allowed"));
  }
  if (header.total_bytes() > options.max_import_bytes) {
    return TooLarge(absl::StrCat("header.total_bytes is ", header.total_bytes(),
                                 "; a file and its class names may have at "
                                 "most"),
                    options);
  }
  const std::string sha256 = absl::AsciiStrToLower(header.sha256());
  if (!sha256.empty() &&
      (sha256.size() != 64 ||
       !std::all_of(sha256.begin(), sha256.end(), absl::ascii_isxdigit))) {
    return base::InvalidField(
        "header.sha256",
        absl::StrCat("header.sha256 has ", sha256.size(),
                     " characters; a SHA-256 is 64 hexadecimal digits"));
  }
  absl::Status named = stores::CheckDisplayName(header.display_name());
  if (!named.ok()) return named;
  out->file.layout = *layout;
  out->file.model_fingerprint = header.model_fingerprint();
  out->expected_bytes = header.total_bytes();
  out->expected_sha256 = sha256;
  out->display_name = header.display_name();
  return absl::OkStatus();
}

absl::Status TakeHeader(v1::ImportWeightSetHeader header,
                        const ServerOptions& options, Arrived* out) {
  if (out->any_data) {
    return base::InvalidField("header", "a header stands behind data");
  }
  std::vector<std::string>& names = out->file.class_names;
  for (std::string& name : *header.mutable_class_names()) {
    out->total_bytes += name.size() + sizeof(std::string);
    names.push_back(std::move(name));
  }
  header.clear_class_names();
  if (static_cast<int64_t>(names.size()) > options.build.max_classes) {
    return base::InvalidField(
        "header.class_names",
        absl::StrCat("the headers have ", names.size(),
                     " class_names and maybe more; at most ",
                     options.build.max_classes,
                     " are allowed (--max_classes)"));
  }
  if (!out->any_header) {
    out->any_header = true;
    return TakeFirst(header, options, out);
  }
  if (header.ByteSizeLong() == 0) return absl::OkStatus();
  return base::InvalidField("header",
                            "a header behind the first has other fields than "
                            "class_names");
}

absl::Status TakeData(const std::string& data, Arrived* out) {
  out->any_data = true;
  out->total_bytes += data.size();
  out->bytes += data;
  if (!out->expected_sha256.empty()) out->sha256.Update(data);
  const auto arrived = static_cast<int64_t>(out->bytes.size());
  if (out->expected_bytes == 0 || arrived <= out->expected_bytes) {
    return absl::OkStatus();
  }
  return Damaged(absl::StrCat("header.total_bytes is ", out->expected_bytes,
                              "; ", arrived, " bytes and maybe more arrived"),
                 absl::StrCat(out->expected_bytes), absl::StrCat(arrived));
}

absl::Status Take(v1::ImportWeightSetRequest piece,
                  const ServerOptions& options, Arrived* out) {
  if (!piece.has_header() && !out->any_header) {
    return base::InvalidField("header",
                              "the first message has no header; it may be "
                              "empty but must be there");
  }
  absl::Status taken;
  switch (piece.piece_case()) {
    case v1::ImportWeightSetRequest::kHeader:
      taken = TakeHeader(std::move(*piece.mutable_header()), options, out);
      break;
    case v1::ImportWeightSetRequest::kData:
      taken = TakeData(piece.data(), out);
      break;
    default:
      return base::InvalidField("data",
                                "a message has neither header nor data");
  }
  if (taken.ok() && out->total_bytes > options.max_import_bytes) {
    return TooLarge("the file and its class names have more than", options);
  }
  return taken;
}

// Whether what has arrived is what the header says.
absl::Status CheckWhole(Arrived* arrived) {
  const auto bytes = static_cast<int64_t>(arrived->bytes.size());
  if (arrived->expected_bytes != 0 && bytes != arrived->expected_bytes) {
    return Damaged(
        absl::StrCat("header.total_bytes is ", arrived->expected_bytes, "; ",
                     bytes, " bytes arrived"),
        absl::StrCat(arrived->expected_bytes), absl::StrCat(bytes));
  }
  if (arrived->expected_sha256.empty()) return absl::OkStatus();
  const std::string sha256 = arrived->sha256.HexDigest();
  if (sha256 == arrived->expected_sha256) return absl::OkStatus();
  return Damaged(
      absl::StrCat("header.sha256 is ", arrived->expected_sha256, "; the ",
                   bytes, " bytes that arrived have ", sha256),
      arrived->expected_sha256, sha256);
}

// Checks and stores what has arrived.
absl::Status TakeUp(const Call& call, const ServerOptions& options,
                    Arrived* arrived, v1::ImportWeightSetResponse* response) {
  if (absl::Status whole = CheckWhole(arrived); !whole.ok()) return whole;
  arrived->file.bytes = arrived->bytes;
  absl::StatusOr<ImportedSet> imported = ReadWeightSetFile(
      arrived->file, call.engine.model->info(), options.build);
  if (absl::IsInvalidArgument(imported.status())) {
    return base::WithReason(imported.status(), base::kInvalidFile);
  }
  if (!imported.ok()) return imported.status();
  // Storing takes memory of its own.
  std::string().swap(arrived->bytes);
  arrived->file = {};
  response->set_cached(call.engine.store.Get(imported->set->id).ok());
  // One that was found too: a tier that lost it gets it again.
  absl::Status stored = call.engine.store.Put(imported->set);
  if (!stored.ok()) return stored;
  stores::TieredStore& store = call.engine.store;
  const std::string& id = imported->set->id;
  if (!arrived->display_name.empty()) {
    (void)stores::GiveDisplayName(&store, id, arrived->display_name);
  }
  Describe(&store, stores::SummaryOf(*imported->set),
           response->mutable_weight_set());
  response->mutable_warnings()->Assign(imported->warnings.begin(),
                                       imported->warnings.end());
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
  if (!arrived.any_header) {
    return base::InvalidField("header",
                              "no message was sent; the first must "
                              "have a header");
  }
  const auto take_up = [&] {
    return TakeUp(call, options, &arrived, response);
  };
  if (arrived.bytes.size() <= RequestLimits::kMostBytesInPlace) {
    return take_up();
  }
  return base::InBackground(take_up);
}

}  // namespace zeroshot::server
