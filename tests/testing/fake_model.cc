#include "tests/testing/fake_model.h"

#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/monotonic.h"
#include "base/sha256.h"
#include "clip/clip_tokenizer.h"

namespace clip {
namespace {

std::string HashOf(absl::Span<const uint8_t> bytes) {
  base::Sha256 hash;
  hash.Update({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  return hash.HexDigest();
}

// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every platform.
uint64_t NextRandom(uint64_t* state) {
  uint64_t z = (*state += 0x9E3779B97F4A7C15);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

}  // namespace

FakeModel::FakeModel(int embedding_dim, int image_size, Device device) {
  info_.name = "fake";
  info_.family = "Fake-8/4";
  info_.fingerprint = HashOf({});
  info_.device = device.name;
  info_.devices = {std::move(device)};
  info_.precision = "fp32";
  info_.preprocessing.crop = image_size;
  static const auto* const tokenizer =
      new std::shared_ptr<const Tokenizer>(std::make_shared<ClipTokenizer>());
  info_.tokenizer = *tokenizer;
  info_.text_padding = "not padded";
  info_.context_length = 77;
  info_.vocab_size = ClipTokenizer::kVocabSize;
  info_.embedding_dim = embedding_dim;
  info_.head.scale = 100;
}

std::vector<float> FakeModel::RowOf(absl::Span<const uint8_t> bytes) const {
  uint64_t state = 0;
  const bool parsed = absl::SimpleHexAtoi(HashOf(bytes).substr(0, 16), &state);
  if (!parsed) return {};
  std::vector<float> row(info_.embedding_dim);
  double squares = 0;
  for (float& value : row) {
    value = static_cast<float>(NextRandom(&state) >> 40) / (1 << 23) - 1;
    squares += value * value;
  }
  for (float& value : row) value /= std::sqrt(squares);
  return row;
}

std::vector<float> FakeModel::RowOf(absl::Span<const uint8_t> bytes,
                                    Rows rows) const {
  if (rows == Rows::kRight) return RowOf(bytes);
  if (rows == Rows::kWrong) return RowOf({});
  return std::vector<float>(info_.embedding_dim,
                            std::numeric_limits<float>::quiet_NaN());
}

bool FakeModel::PassGate(const TextProgress& progress, int64_t done,
                         int64_t total, int64_t positions) {
  while (true) {
    // Unlocked: `progress` is the caller's code.
    if (progress && !progress(done, total, positions)) return false;
    base::MutexLock lock(&mu_);
    if (!closed_ || (losing_ && texts_ >= lost_after_)) return true;
    ++at_gate_;
    changed_.NotifyAll();
    changed_.WaitUntil(&mu_, base::MonotonicNow() + absl::Milliseconds(2));
    --at_gate_;
  }
}

absl::Status FakeModel::CheckDevice() {
  base::MutexLock lock(&mu_);
  if (losing_ && texts_ >= lost_after_) {
    return absl::UnavailableError(absl::StrCat(info_.device, " has broken"));
  }
  if (!out_of_memory_) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(info_.device, " is out of memory"));
}

absl::StatusOr<std::vector<float>> FakeModel::EncodeImages(
    absl::Span<const absl::Span<const uint8_t>> crops) {
  absl::Duration time;
  Rows rows_now = Rows::kRight;
  {
    base::MutexLock lock(&mu_);
    ++image_batches_;
    time = image_time_;
    rows_now = image_rows_;
  }
  absl::SleepFor(time);
  PassGate(nullptr, 0, 0, 0);
  if (absl::Status status = CheckDevice(); !status.ok()) return status;
  const int side = info_.preprocessing.crop.side;
  const size_t crop_size = size_t{3} * side * side;
  std::vector<float> rows;
  for (absl::Span<const uint8_t> crop : crops) {
    if (crop.size() != crop_size) {
      return absl::InvalidArgumentError(absl::StrCat(
          "crop of ", crop.size(), " bytes; expected ", crop_size));
    }
    const std::vector<float> row = RowOf(crop, rows_now);
    rows.insert(rows.end(), row.begin(), row.end());
  }
  return rows;
}

absl::StatusOr<int64_t> FakeModel::EncodeText(
    absl::Span<const std::vector<int32_t>> sequences, const TextSink& sink,
    const TextProgress& progress) {
  Rows rows_now = Rows::kRight;
  {
    base::MutexLock lock(&mu_);
    ++text_calls_;
    rows_now = text_rows_;
  }
  int64_t positions = 0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    if (!PassGate(progress, i, sequences.size(), positions)) {
      return absl::CancelledError("stopped by progress");
    }
    const std::vector<int32_t>& ids = sequences[i];
    if (ids.empty() || ids.size() > size_t(info_.context_length)) {
      return absl::InvalidArgumentError(
          absl::StrCat("sequence of ", ids.size(), " tokens"));
    }
    if (absl::Status status = CheckDevice(); !status.ok()) return status;
    sink(i, RowOf({reinterpret_cast<const uint8_t*>(ids.data()),
                   ids.size() * sizeof(ids[0])},
                  rows_now));
    positions += ids.size();
    base::MutexLock lock(&mu_);
    ++texts_;
  }
  return positions;
}

void FakeModel::CloseGate() {
  base::MutexLock lock(&mu_);
  closed_ = true;
}

void FakeModel::OpenGate() {
  base::MutexLock lock(&mu_);
  closed_ = false;
  changed_.NotifyAll();
}

void FakeModel::SetImageTime(absl::Duration time) {
  base::MutexLock lock(&mu_);
  image_time_ = time;
}

void FakeModel::SetImageRows(Rows rows) {
  base::MutexLock lock(&mu_);
  image_rows_ = rows;
}

void FakeModel::SetTextRows(Rows rows) {
  base::MutexLock lock(&mu_);
  text_rows_ = rows;
}

void FakeModel::LoseDevice(int after_texts) {
  base::MutexLock lock(&mu_);
  losing_ = true;
  lost_after_ = texts_ + after_texts;
  changed_.NotifyAll();
}

void FakeModel::RunOutOfMemory(bool out) {
  base::MutexLock lock(&mu_);
  out_of_memory_ = out;
}

bool FakeModel::WaitForCallsAtGate(int n, absl::Duration timeout) {
  const auto deadline = base::MonotonicNow() + timeout;
  base::MutexLock lock(&mu_);
  while (at_gate_ < n) {
    if (!changed_.WaitUntil(&mu_, deadline)) return at_gate_ >= n;
  }
  return true;
}

int FakeModel::image_batches() {
  base::MutexLock lock(&mu_);
  return image_batches_;
}

int FakeModel::texts() {
  base::MutexLock lock(&mu_);
  return texts_;
}

int FakeModel::text_calls() {
  base::MutexLock lock(&mu_);
  return text_calls_;
}

FakeDevices MakeFakeDevices(int count, const std::string& pci) {
  FakeDevices made;
  std::vector<std::unique_ptr<Model>> replicas;
  for (int i = 0; i < count; ++i) {
    auto fake = std::make_unique<FakeModel>(
        64, 8,
        Device{absl::StrCat("cuda:", i),
               pci.empty() ? "" : absl::StrCat(pci, i)});
    made.fakes.push_back(fake.get());
    replicas.push_back(std::move(fake));
  }
  made.model = std::make_unique<ReplicatedModel>(std::move(replicas));
  return made;
}

}  // namespace clip
