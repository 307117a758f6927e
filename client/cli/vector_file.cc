#include "client/cli/vector_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <map>
#include <optional>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/json_reader.h"
#include "base/little_endian.h"
#include "base/safetensors_header.h"
#include "client/cli/command.h"
#include "client/cli/json.h"

namespace zeroshot::client {
namespace {

constexpr absl::string_view kEnd = ".safetensors";
constexpr absl::string_view kFormat = "zeroshot-vectors-1";
constexpr absl::string_view kNamesHeader = "file,error";
constexpr char kTensor[] = "embeddings";

// Before the rows: the length, and JSON with blanks behind it, so that it can
// be written again.
constexpr int64_t kHeaderBytes = 2048;
constexpr int64_t kLengthBytes = 8;

// Rows that the file grows by.
constexpr int64_t kGrowth = 4096;

size_t HashOf(absl::string_view name) {
  return absl::Hash<absl::string_view>()(name);
}

std::string NamesPath(absl::string_view path) {
  return absl::StrCat(absl::StripSuffix(path, kEnd), ".names.csv");
}

std::string HeaderOf(int64_t rows, int dim, const std::string& model,
                     const std::string& fingerprint) {
  constexpr size_t kMaxModel = 200;  // of a name, six times as long in JSON
  const int64_t bytes = rows * dim * int64_t{sizeof(float)};
  std::string json =
      JsonObject()
          .Json("__metadata__", JsonObject()
                                    .Text("format", std::string(kFormat))
                                    .Text("model", model.substr(0, kMaxModel))
                                    .Text("model_fingerprint", fingerprint)
                                    .str())
          .Json(kTensor,
                absl::StrCat(R"({"dtype":"F32","shape":[)", rows, ",", dim,
                             R"(],"data_offsets":[0,)", bytes, "]}"))
          .str();
  json.resize(kHeaderBytes - kLengthBytes, ' ');
  std::string header(kLengthBytes, '\0');
  for (int i = 0; i < kLengthBytes; ++i) {
    header[i] = static_cast<char>(json.size() >> (8 * i));
  }
  return header + json;
}

// What a header of ours says.
struct Header {
  std::string model, fingerprint;
  int64_t rows = 0, dim = 0;
};

std::optional<Header> ParseHeader(absl::string_view bytes) {
  if (bytes.size() < kHeaderBytes ||
      base::LittleEndian(bytes.substr(0, kLengthBytes)) !=
          uint64_t{kHeaderBytes - kLengthBytes}) {
    return std::nullopt;
  }
  const auto parsed = base::ParseSafetensorsHeader(
      bytes.substr(kLengthBytes, kHeaderBytes - kLengthBytes));
  if (!parsed.ok()) return std::nullopt;
  const auto text = [&](absl::string_view key) {
    const auto it = parsed->metadata.find(key);
    return it == parsed->metadata.end() ? "" : base::JsonUnescape(it->second);
  };
  const auto tensor = parsed->tensors.find(kTensor);
  if (text("format") != kFormat || tensor == parsed->tensors.end() ||
      tensor->second.dtype != "F32" || tensor->second.shape.size() != 2) {
    return std::nullopt;
  }
  Header header{text("model"), text("model_fingerprint"),
                tensor->second.shape[0], tensor->second.shape[1]};
  constexpr int64_t kMaxDim = 1 << 20;
  if (header.rows < 0 || header.dim < 1 || header.dim > kMaxDim) {
    return std::nullopt;
  }
  return header;
}

std::string NotOfModel(const Header& header, const std::string& model,
                       const std::string& fingerprint) {
  return absl::StrCat("its vectors are of model ", Printable(header.model),
                      " (", Printable(header.fingerprint).substr(0, 12),
                      "), the server has ", Printable(model), " (",
                      fingerprint.substr(0, 12), ")");
}

}  // namespace

absl::Status VectorWriter::CheckPath(absl::string_view path) {
  if (absl::EndsWith(path, kEnd)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--vectors=", path, "; its name should end in ", kEnd));
}

absl::StatusOr<std::unique_ptr<VectorWriter>> VectorWriter::Open(
    const std::string& path, const ModelInfo& model, bool overwrite) {
  absl::Status named = CheckPath(path);
  if (!named.ok()) return named;
  const std::string flag = absl::StrCat("--vectors=", path);
  constexpr size_t kMaxFingerprint = 128;
  if (model.embedding_dim() < 1 ||
      model.fingerprint().size() > kMaxFingerprint) {
    return absl::InternalError("the server does not say what its model is");
  }
  const std::string names_path = NamesPath(path);
  // It is the one that other runs are kept out by.
  auto names = LineFile::Open(absl::StrCat(flag, ": ", names_path), names_path,
                              overwrite);
  if (!names.ok()) return names.status();
  const int file = open(
      path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | (overwrite ? O_TRUNC : 0),
      S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH);
  if (file < 0) return FileOutputError(flag, "cannot be written", errno);
  std::unique_ptr<VectorWriter> result(
      new VectorWriter(flag, *std::move(names), file, model));
  absl::Status resumed = result->Resume();
  if (!resumed.ok()) return resumed;
  return result;
}

VectorWriter::VectorWriter(std::string flag, std::unique_ptr<LineFile> names,
                           int file, const ModelInfo& model)
    : flag_(std::move(flag)),
      names_(std::move(names)),
      file_(file),
      model_(model.name()),
      fingerprint_(model.fingerprint()),
      dim_(model.embedding_dim()) {}

VectorWriter::~VectorWriter() {
  if (capacity_ > rows_) (void)Resize(rows_);
  close(file_);
}

absl::Status VectorWriter::Resume() {
  struct stat info {};
  if (fstat(file_, &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag_, ": not a regular file"));
  }
  if (info.st_size > 0) {
    std::string bytes(kHeaderBytes, '\0');
    const ssize_t read = pread(file_, bytes.data(), bytes.size(), 0);
    const std::optional<Header> header =
        read == kHeaderBytes ? ParseHeader(bytes) : std::nullopt;
    if (!header.has_value()) {
      return names_->OfAnother("it is no file of vectors");
    }
    if (header->fingerprint != fingerprint_ || header->dim != dim_) {
      return names_->OfAnother(NotOfModel(*header, model_, fingerprint_));
    }
  }
  bool header = true;  // the next line is one
  absl::Status resumed = names_->Resume(
      /*csv=*/true, "file of names",
      [&](absl::string_view line) {
        if (std::exchange(header, false)) {
          return line == kNamesHeader
                     ? absl::OkStatus()
                     : names_->OfAnother("it is no file of names");
        }
        claimed_.insert(HashOf(CsvFields(line).front()));
        ++num_found_;
        return absl::OkStatus();
      },
      [&] { return std::string(header ? kNamesHeader : ""); });
  if (!resumed.ok()) return resumed;
  const int64_t rows_there =
      std::max<int64_t>(0, (info.st_size - kHeaderBytes) / row_bytes());
  if (num_found_ > rows_there) {
    return names_->OfAnother(absl::StrCat("it has ", num_found_,
                                          " names and there are ", rows_there,
                                          " vectors"));
  }
  if (header) resumed = names_->Append(absl::StrCat(kNamesHeader, "\n"));
  if (!resumed.ok()) return resumed;
  rows_ = num_found_;
  return Resize(rows_);
}

absl::Status VectorWriter::WriteAt(int64_t offset, absl::string_view bytes) {
  while (written_.ok() && !bytes.empty()) {
    const ssize_t written = pwrite(file_, bytes.data(), bytes.size(), offset);
    if (written >= 0) {
      bytes.remove_prefix(written);
      offset += written;
    } else if (errno != EINTR) {
      written_ = FileOutputError(flag_, "cannot be written", errno);
    }
  }
  return written_;
}

absl::Status VectorWriter::Resize(int64_t rows) {
  // The header first: a file that is there has one.
  absl::Status written = WriteAt(0, HeaderOf(rows, dim_, model_, fingerprint_));
  if (!written.ok()) return written;
  if (ftruncate(file_, kHeaderBytes + rows * row_bytes()) != 0) {
    return written_ = FileOutputError(flag_, "cannot be written", errno);
  }
  capacity_ = rows;
  return absl::OkStatus();
}

bool VectorWriter::Claim(absl::string_view name) {
  return claimed_.insert(HashOf(name)).second;
}

absl::Status VectorWriter::Write(absl::string_view name,
                                 const absl::StatusOr<Embedding>& embedding) {
  Embedding row(dim_, std::numeric_limits<float>::quiet_NaN());
  std::string error;
  if (!embedding.ok()) {
    error = Printable(HumanError(embedding.status()));
  } else if (embedding->size() != row.size()) {
    return absl::InternalError(
        absl::StrCat(flag_, ": the server gave a vector of ", embedding->size(),
                     " floats, its model has ", dim_));
  } else {
    row = *embedding;
  }
  if (rows_ == capacity_) {
    absl::Status grown = Resize(capacity_ + kGrowth);
    if (!grown.ok()) return grown;
  }
  absl::Status written = WriteAt(kHeaderBytes + rows_ * row_bytes(),
                                 {reinterpret_cast<const char*>(row.data()),
                                  static_cast<size_t>(row_bytes())});
  if (!written.ok()) return written;
  ++rows_;
  return written_ = names_->Append(
             absl::StrCat(CsvField(name), ",", CsvField(error), "\n"));
}

absl::StatusOr<std::unique_ptr<VectorReader>> VectorReader::Open(
    const std::string& path) {
  absl::Status named = VectorWriter::CheckPath(path);
  if (!named.ok()) return named;
  std::unique_ptr<VectorReader> result(new VectorReader);
  result->flag_ = absl::StrCat("--vectors=", path);
  result->names_path_ = NamesPath(path);
  const auto wrong = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(result->flag_, ": ", why));
  };
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info {};
  if (file < 0 || fstat(file, &info) != 0 || !S_ISREG(info.st_mode) ||
      info.st_size < kHeaderBytes) {
    if (file >= 0) close(file);
    return wrong(file < 0 ? "cannot be read" : "it is no file of vectors");
  }
  const auto size = static_cast<size_t>(info.st_size);
  void* const mapped = mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (mapped == MAP_FAILED) return wrong("cannot be mapped into memory");
  result->mapped_ = static_cast<const char*>(mapped);
  result->mapped_bytes_ = size;
  const std::optional<Header> header =
      ParseHeader({result->mapped_, kHeaderBytes});
  if (!header.has_value()) return wrong("it is no file of vectors");
  result->model_ = header->model;
  result->fingerprint_ = header->fingerprint;
  result->dim_ = static_cast<int>(header->dim);
  result->rows_ =
      reinterpret_cast<const float*>(result->mapped_ + kHeaderBytes);
  result->capacity_ =
      (info.st_size - kHeaderBytes) / (header->dim * int64_t{sizeof(float)});
  result->names_.open(result->names_path_, std::ios::binary);
  if (!result->names_) {
    return wrong(absl::StrCat(result->names_path_, " cannot be read"));
  }
  return result;
}

VectorReader::~VectorReader() {
  if (mapped_ != nullptr) munmap(const_cast<char*>(mapped_), mapped_bytes_);
}

absl::Status VectorReader::CheckModel(const ModelInfo& model) const {
  if (fingerprint_ == model.fingerprint() && dim_ == model.embedding_dim()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      flag_, ": ",
      NotOfModel({model_, fingerprint_}, model.name(), model.fingerprint())));
}

absl::StatusOr<std::vector<VectorReader::Row>> VectorReader::Next(int most) {
  constexpr size_t kBlockBytes = 1 << 18;
  std::vector<Row> rows;
  while (static_cast<int>(rows.size()) < most) {
    size_t end = EndOfLine(absl::string_view(read_).substr(next_), true);
    while (end == absl::string_view::npos && names_) {
      read_.erase(0, std::exchange(next_, 0));
      std::string block(kBlockBytes, '\0');
      names_.read(block.data(), static_cast<std::streamsize>(block.size()));
      read_.append(block, 0, names_.gcount());
      end = EndOfLine(read_, true);
    }
    if (end == absl::string_view::npos) break;  // or a line that is not whole
    std::vector<std::string> fields =
        CsvFields(absl::string_view(read_).substr(next_, end - 1));
    next_ += end;
    if (std::exchange(header_, false)) continue;
    if (row_ == capacity_) {
      return absl::DataLossError(absl::StrCat(
          flag_, ": there are more names than its ", capacity_, " vectors"));
    }
    fields.resize(2);
    rows.push_back({std::move(fields[0]),
                    std::move(fields[1]),
                    {rows_ + row_ * dim_, static_cast<size_t>(dim_)}});
    ++row_;
  }
  return rows;
}

int64_t VectorReader::Count() const {
  std::ifstream names(names_path_, std::ios::binary);
  std::string block(1 << 18, '\0');
  int64_t lines = 0;
  bool quoted = false;
  while (names) {
    names.read(block.data(), static_cast<std::streamsize>(block.size()));
    for (const char c : absl::string_view(block.data(), names.gcount())) {
      if (c == '"') quoted = !quoted;
      lines += c == '\n' && !quoted;
    }
  }
  return std::max<int64_t>(0, lines - 1);
}

}  // namespace zeroshot::client
