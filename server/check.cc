#include "server/check.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "base/control_group.h"
#include "clip/model.h"
#include "server/credentials.h"
#include "server/stores.h"
#include "server/tokens.h"

namespace zeroshot::server {
namespace {

constexpr double kMiB = 1 << 20;

int BytesOfOne(absl::string_view precision) {
  if (precision == "fp32") return 4;
  return precision == "int8" ? 1 : 2;
}

int64_t BytesOfWeights(const clip::ModelInfo& info) {
  return info.parameters * BytesOfOne(info.precision);
}

class Lines {
 public:
  void Add(absl::string_view name, absl::string_view what) {
    absl::StrAppendFormat(&text_, "%-14s %s\n", name, what);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

void DescribeModel(const clip::ModelInfo& info, Lines* lines) {
  lines->Add("model",
             absl::StrCat(info.name, " (", info.family, ")",
                          info.is_demo ? ", a demo that knows little" : ""));
  lines->Add("parameters",
             absl::StrFormat("%.1f million, stored as %s",
                             static_cast<double>(info.parameters) / 1e6,
                             info.stored_as));
  const int side = info.preprocessing.crop.side;
  lines->Add(
      "images",
      absl::StrCat(info.preprocessing.crop.resize == clip::ResizeMode::kPatches
                       ? ""
                       : absl::StrCat(side, " x ", side, " pixels: "),
                   clip::Describe(info.preprocessing)));
  lines->Add("texts", absl::StrFormat("up to %d tokens of %d",
                                      info.context_length, info.vocab_size));
  lines->Add("activation", info.activation);
  for (const std::string& warning : info.warnings) {
    lines->Add("warning", warning);
  }
  lines->Add("embeddings", absl::StrFormat("%d floats", info.embedding_dim));
  lines->Add("runs on", absl::StrCat(info.device, " in ", info.precision));
  for (const clip::Device& device : info.devices) {
    if (!device.card.empty()) lines->Add(device.name, device.card);
  }
  if (!info.why_no_gpu.empty()) lines->Add("no GPU", info.why_no_gpu);
  lines->Add("memory",
             absl::StrFormat("about %.0f MiB for the weights",
                             static_cast<double>(BytesOfWeights(info)) / kMiB));
  const std::string warning = MemoryWarning(info);
  if (!warning.empty()) lines->Add("warning", warning);
}

// The folder, or where it would be made.
absl::Status CheckFolder(const std::string& folder) {
  std::error_code error;
  std::filesystem::path path(folder);
  if (std::filesystem::exists(path, error) &&
      !std::filesystem::is_directory(path, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--disk_store=", folder, ": it is no folder"));
  }
  while (!path.empty() && !std::filesystem::exists(path, error)) {
    path = path.parent_path();
  }
  if (path.empty()) path = ".";
  if (access(path.c_str(), W_OK | X_OK) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--disk_store=", folder, ": ", path.string(),
                     " cannot be written to by this user"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string MemoryWarning(const clip::ModelInfo& info) {
  if (!absl::StartsWith(info.device, "cpu")) return "";
  const std::optional<int64_t> limit = base::MemoryLimit();
  const int64_t machine =
      int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  const int64_t memory = std::min(machine, limit.value_or(machine));
  const int64_t weights = BytesOfWeights(info);
  if (weights <= memory) return "";
  return absl::StrFormat(
      "the weights take about %.0f MiB, and %s has %.0f MiB of memory: the "
      "kernel may kill the server while it loads them",
      static_cast<double>(weights) / kMiB,
      memory < machine ? "this process's control group" : "this machine",
      static_cast<double>(memory) / kMiB);
}

absl::StatusOr<std::string> Check(const Options& options) {
  Lines lines;
  const SecurityOptions& security = options.server.security;
  if (!security.tls_cert.empty()) {
    const auto certificate = CheckCertificate(security);
    if (!certificate.ok()) return certificate.status();
    lines.Add("certificate", CertificateText(*certificate));
  }
  if (!security.auth_tokens.empty()) {
    const auto tokens = Tokens::Load(security.auth_tokens);
    if (!tokens.ok()) return tokens.status();
    lines.Add("tokens", security.auth_tokens);
  }
  if (!options.server.disk_store.empty()) {
    absl::Status status = CheckFolder(options.server.disk_store);
    if (!status.ok()) return status;
    lines.Add("disk store", options.server.disk_store);
  }
  if (!options.server.store_key_file.empty()) {
    const auto keys = LoadStoreKeys(options.server.store_key_file);
    if (!keys.ok()) return keys.status();
    lines.Add("store keys", options.server.store_key_file);
  }
  const absl::StatusOr<clip::ModelInfo> info =
      clip::Model::Inspect(options.model, options.tower);
  if (!info.ok()) {
    return absl::Status(
        info.status().code(),
        absl::StrCat("cannot load the model: ", info.status().message()));
  }
  DescribeModel(*info, &lines);
  return lines.text();
}

}  // namespace zeroshot::server
