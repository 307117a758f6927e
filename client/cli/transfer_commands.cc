// export, import: weight sets as files.
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <ostream>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/json.h"

namespace zeroshot::client {
namespace {

constexpr char kExportDetails[] = R"(
Writes a classifier as a file: FILE.safetensors, with class names, prompts and the
model's fingerprint in its metadata, or FILE.npy, NumPy's matrix alone, to which
--names writes the class names beside it.

  zeroshot_client export $ID pets.safetensors
  zeroshot_client export $ID pets.npy --layout=columns --names=pets.txt

--layout says how classes lie in a .npy: rows, [classes, dimension] (the default), or
columns, [dimension, classes], as OpenAI's notebook has them. A file that is there
already is replaced only with --overwrite.
)";

constexpr char kImportDetails[] = R"(
Makes a classifier of a file and prints its id alone on stdout: one that was exported,
or vectors made in Python, as OpenAI's notebook does:

  np.save("pets.npy", zeroshot_weights.float().numpy())     # [dimension, classes]
  zeroshot_client import pets.npy --classes_file=pets.txt

or safetensors with a matrix `weights` and metadata {"labels": json.dumps(names)}. The
server checks class names, dimension and unit length, and, if the file or
--model_fingerprint says it, that its model is the one that made the vectors. Rows and
columns are told apart by the shape; a square matrix needs --layout. An imported
classifier cannot be built again: keep the file.
)";

absl::StatusOr<MatrixLayout> ReadLayout(const Arguments& arguments) {
  const std::string layout = arguments.Text("layout");
  if (layout.empty()) return v1::MATRIX_LAYOUT_UNSPECIFIED;
  if (layout == "rows") return v1::MATRIX_LAYOUT_CLASS_ROWS;
  if (layout == "columns") return v1::MATRIX_LAYOUT_CLASS_COLUMNS;
  return absl::InvalidArgumentError(
      absl::StrCat("--layout is '", layout, "'; it should be rows or columns"));
}

absl::StatusOr<WeightSetFormat> FormatOf(const std::string& file) {
  if (absl::EndsWith(file, ".safetensors")) {
    return v1::WEIGHT_SET_FORMAT_SAFETENSORS;
  }
  if (absl::EndsWith(file, ".npy")) return v1::WEIGHT_SET_FORMAT_NPY;
  return absl::InvalidArgumentError(
      absl::StrCat("'", file, "' should end in .safetensors or .npy"));
}

absl::Status CannotWrite(const std::string& path) {
  return absl::UnknownError(absl::StrCat(
      path, ": cannot be written: ", std::generic_category().message(errno)));
}

// AlreadyExists unless --overwrite is given.
absl::Status MayWrite(const Arguments& arguments, const std::string& path) {
  std::error_code ignored;
  if (arguments.Has("overwrite") || !std::filesystem::exists(path, ignored)) {
    return absl::OkStatus();
  }
  return absl::AlreadyExistsError(
      absl::StrCat(path, " is there already; --overwrite replaces it"));
}

// A file that is there as a whole, or not at all: written beside its place and
// renamed.
class NewFile {
 public:
  explicit NewFile(const std::string& path)
      : path_(path),
        unfinished_(absl::StrCat(path, ".unfinished")),
        out_(unfinished_, std::ios::binary) {}
  ~NewFile() {
    if (!finished_) std::remove(unfinished_.c_str());
  }

  absl::Status Write(absl::string_view bytes) {
    out_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return out_ ? absl::OkStatus() : CannotWrite(path_);
  }

  absl::Status Finish() {
    out_.close();
    if (!out_) return CannotWrite(path_);
    if (std::rename(unfinished_.c_str(), path_.c_str()) != 0) {
      return CannotWrite(path_);
    }
    finished_ = true;
    return absl::OkStatus();
  }

 private:
  const std::string path_, unfinished_;
  std::ofstream out_;
  bool finished_ = false;
};

// The class names, one per line, as --classes_file reads them.
absl::Status WriteNames(const Invocation& run, const std::string& id,
                        const std::string& path) {
  const absl::StatusOr<WeightSet> set = run.client->GetWeightSet(id);
  if (!set.ok()) return set.status();
  NewFile file(path);
  for (const std::string& name : set->class_names()) {
    if (absl::StrContains(name, '\n') ||
        absl::StripAsciiWhitespace(name) != name) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the class name '", name,
          "' cannot stand in a file of lines; safetensors carries it"));
    }
    absl::Status written = file.Write(absl::StrCat(name, "\n"));
    if (!written.ok()) return written;
  }
  return file.Finish();
}

absl::Status ExportTo(const Invocation& run, const std::string& id,
                      const ExportOptions& options, const std::string& path,
                      int64_t* bytes) {
  NewFile file(path);
  absl::Status status =
      run.client->Export(id, options, [&](absl::string_view piece) {
        *bytes += static_cast<int64_t>(piece.size());
        return file.Write(piece);
      });
  if (!status.ok()) return status;
  const std::string names = run.arguments.Text("names");
  if (!names.empty()) status = WriteNames(run, id, names);
  return status.ok() ? file.Finish() : status;
}

int RunExport(const Invocation& run) {
  const std::vector<std::string>& arguments = run.arguments.positional();
  if (arguments.size() != 2) {
    return UsageError(run, absl::InvalidArgumentError(
                               "export needs a weight set's id and a file"));
  }
  const absl::StatusOr<WeightSetFormat> format = FormatOf(arguments[1]);
  if (!format.ok()) return UsageError(run, format.status());
  const absl::StatusOr<MatrixLayout> layout = ReadLayout(run.arguments);
  if (!layout.ok()) return UsageError(run, layout.status());
  absl::Status status = MayWrite(run.arguments, arguments[1]);
  if (run.arguments.Has("names")) {
    status.Update(MayWrite(run.arguments, run.arguments.Text("names")));
  }
  if (!status.ok()) return CallFailed(run, status);
  const absl::StatusOr<std::string> id = CompleteId(run, arguments[0]);
  if (!id.ok()) return CallFailed(run, id.status());
  int64_t bytes = 0;
  status = ExportTo(run, *id, {*format, *layout}, arguments[1], &bytes);
  if (!status.ok()) return CallFailed(run, status);
  if (run.json) {
    *run.console.out << JsonObject()
                            .Text("weight_set_id", *id)
                            .Text("file", arguments[1])
                            .Integer("bytes", bytes)
                            .str()
                     << "\n";
  } else {
    *run.console.err << "wrote " << Printable(arguments[1]) << ", "
                     << HumanBytes(bytes) << "\n";
  }
  return kOk;
}

int RunImport(const Invocation& run) {
  const std::vector<std::string>& arguments = run.arguments.positional();
  if (arguments.size() != 1) {
    return UsageError(
        run, absl::InvalidArgumentError("import needs one file, or -"));
  }
  ImportOptions options;
  const absl::StatusOr<MatrixLayout> layout = ReadLayout(run.arguments);
  if (!layout.ok()) return UsageError(run, layout.status());
  options.layout = *layout;
  options.model_fingerprint = run.arguments.Text("model_fingerprint");
  options.display_name = run.arguments.Text("name");
  absl::StatusOr<std::vector<std::string>> names =
      ReadClassNames(run.arguments);
  if (!names.ok()) return UsageError(run, names.status());
  options.class_names = *std::move(names);
  // The server knows how much it takes.
  const absl::StatusOr<std::string> file = ReadInput(
      arguments[0], *run.console.in, std::numeric_limits<int64_t>::max());
  if (!file.ok()) {
    return CallFailed(run, absl::Status(file.status().code(),
                                        absl::StrCat(arguments[0], ": ",
                                                     file.status().message())));
  }
  const absl::StatusOr<ImportResult> imported =
      run.client->Import(*file, options);
  if (!imported.ok()) return CallFailed(run, imported.status());
  if (run.json) {
    *run.console.out
        << JsonObject()
               .Text("weight_set_id", imported->weight_set().weight_set_id())
               .Integer("num_classes", imported->weight_set().num_classes())
               .Integer("embedding_dim", imported->weight_set().embedding_dim())
               .Bool("cached", imported->cached())
               .Json("warnings", JsonArray(imported->warnings()))
               .str()
        << "\n";
    return kOk;
  }
  for (const std::string& warning : imported->warnings()) {
    *run.console.err << "warning: " << Printable(warning) << "\n";
  }
  *run.console.err << (imported->cached() ? "found " : "imported ")
                   << WithCommas(imported->weight_set().num_classes())
                   << " classes\n";
  *run.console.out << Printable(imported->weight_set().weight_set_id()) << "\n";
  return kOk;
}

}  // namespace

Command ExportCommand() {
  return {"export",
          "ID FILE",
          "write a classifier as a safetensors or .npy file",
          kExportDetails,
          {{"layout", "LAYOUT", "of a .npy: rows (default) or columns"},
           {"names", "FILE", "write the class names there, one per line"},
           {"overwrite", nullptr, "replace files that are there already"}},
          RunExport};
}

Command ImportCommand() {
  return {"import",
          "FILE",
          "make a classifier of a safetensors or .npy file",
          kImportDetails,
          {{"classes", "NAME,NAME,...", "class names, for a file without"},
           {"classes_file", "FILE", "class names, one per line"},
           {"layout", "LAYOUT", "rows or columns, for a square matrix"},
           {"name", "TEXT", "what people call the classifier"},
           {"model_fingerprint", "HASH", "of the model that made the vectors"}},
          RunImport};
}

}  // namespace zeroshot::client
