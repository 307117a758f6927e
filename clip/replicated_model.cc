#include "clip/replicated_model.h"

#include <algorithm>
#include <deque>
#include <numeric>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "base/no_throw.h"
#include "clip/device_names.h"
#include "clip/text_shard.h"

namespace clip {
namespace {

// The least that is worth a thread and a call of its own: a step of the text
// tower with a GPU's matrix products at full speed.
constexpr int64_t kMinPiece = 512;

// Rows of that many steps may wait for the caller's sink; then devices do.
constexpr size_t kMaxWaiting = 16;

}  // namespace

ReplicatedModel::ReplicatedModel(std::vector<std::unique_ptr<Model>> replicas)
    : info_(replicas[0]->info()), left_(static_cast<int>(replicas.size())) {
  info_.devices.clear();
  info_.batches_at_once = 0;
  std::vector<std::string> names;
  for (std::unique_ptr<Model>& model : replicas) {
    info_.devices.push_back(model->info().devices[0]);
    info_.batches_at_once += model->info().batches_at_once;
    names.push_back(info_.devices.back().name);
    replicas_.push_back(std::make_unique<Replica>());
    replicas_.back()->model = std::move(model);
  }
  info_.device = JoinDeviceNames(names);
}

std::vector<LostDevice> ReplicatedModel::Lost() const {
  std::vector<LostDevice> lost;
  for (size_t i = 0; i < replicas_.size(); ++i) {
    if (replicas_[i]->lost) {
      lost.push_back({info_.devices[i].name, replicas_[i]->why});
    }
  }
  return lost;
}

std::vector<LostDevice> ReplicatedModel::lost_devices() const {
  base::MutexLock lock(&mu_);
  return Lost();
}

void ReplicatedModel::SetOnDeviceLost(OnDeviceLost on_lost) {
  std::vector<LostDevice> lost;
  {
    base::MutexLock lock(&mu_);
    on_lost_ = on_lost;
    lost = Lost();
  }
  if (!on_lost) return;
  for (const LostDevice& device : lost) on_lost(device);
}

ReplicatedModel::Replica* ReplicatedModel::Begin(
    Kind kind, absl::Span<Replica* const> passed_over) {
  const auto load = [](const Replica& replica) {
    return std::make_tuple(replica.calls[kImages], replica.calls[kText],
                           replica.last_call);
  };
  base::MutexLock lock(&mu_);
  Replica* freest = nullptr;
  for (const auto& replica : replicas_) {
    if (replica->lost ||
        std::count(passed_over.begin(), passed_over.end(), replica.get()) > 0) {
      continue;
    }
    if (freest == nullptr || load(*replica) < load(*freest)) {
      freest = replica.get();
    }
  }
  if (freest == nullptr) return nullptr;
  ++freest->calls[kind];
  freest->last_call = ++calls_;
  return freest;
}

std::vector<ReplicatedModel::Replica*> ReplicatedModel::BeginTextOnAll() {
  std::vector<Replica*> all;
  base::MutexLock lock(&mu_);
  for (const auto& replica : replicas_) {
    if (replica->lost) continue;
    ++replica->calls[kText];
    replica->last_call = ++calls_;
    all.push_back(replica.get());
  }
  return all;
}

void ReplicatedModel::End(Replica* replica, Kind kind) {
  base::MutexLock lock(&mu_);
  --replica->calls[kind];
}

bool ReplicatedModel::TryAnother(Replica* replica, const absl::Status& status) {
  if (absl::IsResourceExhausted(status)) return true;
  if (!absl::IsUnavailable(status)) return false;
  OnDeviceLost on_lost;
  {
    base::MutexLock lock(&mu_);
    if (replica->lost) return true;  // by another call
    replica->lost = true;
    replica->why = status;
    --left_;
    on_lost = on_lost_;
  }
  if (on_lost) on_lost({replica->model->info().devices[0].name, status});
  return true;
}

absl::Status ReplicatedModel::NoneLeft(const absl::Status& exhausted) const {
  if (left_ > 0 && !exhausted.ok()) return exhausted;
  return absl::UnavailableError(
      absl::StrCat("no device is left: all of ", info_.device, " are lost"));
}

absl::StatusOr<std::vector<float>> ReplicatedModel::EncodeImages(
    absl::Span<const absl::Span<const uint8_t>> crops) {
  std::vector<Replica*> passed_over;
  absl::Status exhausted;
  while (Replica* replica = Begin(kImages, passed_over)) {
    const absl::Cleanup end = [&] { End(replica, kImages); };
    absl::StatusOr<std::vector<float>> rows =
        replica->model->EncodeImages(crops);
    if (!TryAnother(replica, rows.status())) return rows;
    if (!absl::IsUnavailable(rows.status())) exhausted = rows.status();
    passed_over.push_back(replica);
  }
  return NoneLeft(exhausted);
}

absl::StatusOr<int64_t> ReplicatedModel::EncodeOnOne(
    TextSequences sequences, const TextSink& sink,
    const TextProgress& progress) {
  const int64_t total = static_cast<int64_t>(sequences.size());
  std::vector<Replica*> passed_over;
  absl::Status exhausted;
  TextShard shard(sequences);
  int64_t before = 0;  // positions of the replicas tried before
  while (Replica* replica = Begin(kText, passed_over)) {
    const absl::Cleanup end = [&] { End(replica, kText); };
    int64_t told = 0;
    const absl::StatusOr<int64_t> positions = shard.EncodeOn(
        replica->model.get(), sink,
        [&](int64_t done, int64_t left, int64_t positions) {
          told = positions;
          return !progress ||
                 progress(total - left + done, total, before + positions);
        });
    if (positions.ok()) return before + *positions;
    if (!TryAnother(replica, positions.status())) return positions;
    if (!absl::IsUnavailable(positions.status()))
      exhausted = positions.status();
    passed_over.push_back(replica);
    before += told;
    if (shard.size() == 0) return before;
  }
  return NoneLeft(exhausted);
}

// Thread rule: Run is called once. It starts a thread for each device, which
// takes shards and hands over rows step by step; sink and progress are called
// on Run's own.
class ReplicatedModel::ShardedEncode {
 public:
  ShardedEncode(ReplicatedModel* model, TextSequences sequences);

  absl::StatusOr<int64_t> Run(const TextSink& sink,
                              const TextProgress& progress);

 private:
  // What a step made.
  struct Step {
    std::vector<int64_t> sequences;
    std::vector<float> rows;  // of each
  };

  void Start(Replica* replica);
  void Stop();
  void Work(Replica* replica);  // until nothing is left to do, on a thread
  // Encodes a shard. False: the thread is to end.
  bool Encode(Replica* replica, TextShard shard);
  absl::optional<TextShard> TakeShard();
  // Leaves `step` empty. False: stop.
  bool HandOver(Step* step, int64_t positions);

  ReplicatedModel* const model_;
  const TextSequences sequences_;
  std::vector<int64_t> sorted_;
  int64_t devices_ = 0;  // at the start
  std::vector<std::thread> threads_;

  base::Mutex mu_;
  base::CondVar changed_;
  size_t next_ ABSL_GUARDED_BY(mu_) = 0;  // of sorted_, not handed out yet
  std::vector<TextShard> returned_ ABSL_GUARDED_BY(mu_);  // of lost devices
  int pieces_out_ ABSL_GUARDED_BY(mu_) = 0;
  int working_ ABSL_GUARDED_BY(mu_) = 0;  // threads
  std::deque<Step> finished_ ABSL_GUARDED_BY(mu_);
  int64_t positions_ ABSL_GUARDED_BY(mu_) = 0;
  bool told_ ABSL_GUARDED_BY(mu_) = false;  // a step has ended
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status error_ ABSL_GUARDED_BY(mu_);      // ends the call
  absl::Status exhausted_ ABSL_GUARDED_BY(mu_);  // ends a thread
};

ReplicatedModel::ShardedEncode::ShardedEncode(ReplicatedModel* model,
                                              TextSequences sequences)
    : model_(model), sequences_(sequences), sorted_(sequences.size()) {
  std::iota(sorted_.begin(), sorted_.end(), 0);
  std::sort(sorted_.begin(), sorted_.end(),
            [&](int64_t a, int64_t b) { return sequences[a] < sequences[b]; });
}

absl::StatusOr<int64_t> ReplicatedModel::ShardedEncode::Run(
    const TextSink& sink, const TextProgress& progress) {
  const int64_t total = static_cast<int64_t>(sequences_.size());
  const size_t dim = model_->info_.embedding_dim;
  // Also when `sink` throws.
  const absl::Cleanup join = [&] {
    Stop();
    for (std::thread& thread : threads_) thread.join();
  };
  const std::vector<Replica*> replicas = model_->BeginTextOnAll();
  devices_ = static_cast<int64_t>(replicas.size());
  threads_.reserve(replicas.size());
  for (Replica* replica : replicas) Start(replica);
  int64_t done = 0;
  while (true) {
    std::deque<Step> finished;
    int64_t positions = 0;
    bool ended = false;
    {
      base::MutexLock lock(&mu_);
      while (!told_ && working_ > 0) changed_.Wait(&mu_);
      ended = working_ == 0;
      told_ = false;
      finished.swap(finished_);
      positions = positions_;
      changed_.NotifyAll();  // there is room for more rows
    }
    for (const Step& step : finished) {
      for (size_t i = 0; i < step.sequences.size(); ++i) {
        sink(step.sequences[i], {&step.rows[i * dim], dim});
      }
      done += static_cast<int64_t>(step.sequences.size());
    }
    const bool news = !ended || !finished.empty();
    if (news && progress && !progress(done, total, positions) && done < total) {
      return StoppedAfter(done, total);
    }
    if (!ended) continue;
    base::MutexLock lock(&mu_);
    if (done == total) return positions;
    return error_.ok() ? model_->NoneLeft(exhausted_) : error_;
  }
}

void ReplicatedModel::ShardedEncode::Start(Replica* replica) {
  base::MutexLock lock(&mu_);
  try {
    threads_.emplace_back([this, replica] { Work(replica); });
    ++working_;
  } catch (const std::system_error&) {
    exhausted_ = absl::ResourceExhaustedError("no thread is to be had");
    model_->End(replica, kText);
  }
}

void ReplicatedModel::ShardedEncode::Stop() {
  base::MutexLock lock(&mu_);
  stop_ = true;
  changed_.NotifyAll();
}

void ReplicatedModel::ShardedEncode::Work(Replica* replica) {
  const absl::Status worked = base::NoThrow("the texts' vectors", [&] {
    while (absl::optional<TextShard> shard = TakeShard()) {
      if (!Encode(replica, *std::move(shard))) break;
    }
    return absl::OkStatus();
  });
  model_->End(replica, kText);
  base::MutexLock lock(&mu_);
  if (!worked.ok()) {
    error_ = worked;
    stop_ = true;
  }
  --working_;
  changed_.NotifyAll();
}

bool ReplicatedModel::ShardedEncode::Encode(Replica* replica, TextShard shard) {
  Step step;
  int64_t told = 0;
  const absl::StatusOr<int64_t> positions = shard.EncodeOn(
      replica->model.get(),
      [&](int64_t sequence, absl::Span<const float> row) {
        step.sequences.push_back(sequence);
        step.rows.insert(step.rows.end(), row.begin(), row.end());
      },
      [&](int64_t, int64_t, int64_t positions) {
        return HandOver(&step, positions - std::exchange(told, positions));
      });
  // Rows that came before a failure are valid too.
  HandOver(&step, positions.ok() ? *positions - told : 0);
  // With no lock held: it tells the server.
  const bool elsewhere =
      !positions.ok() && model_->TryAnother(replica, positions.status());
  base::MutexLock lock(&mu_);
  --pieces_out_;
  changed_.NotifyAll();
  if (positions.ok()) return true;
  if (elsewhere) {
    if (shard.size() > 0) returned_.push_back(std::move(shard));
    if (!absl::IsUnavailable(positions.status())) {
      exhausted_ = positions.status();
    }
  } else if (!stop_) {
    error_ = positions.status();
    stop_ = true;
  }
  return false;
}

absl::optional<TextShard> ReplicatedModel::ShardedEncode::TakeShard() {
  base::MutexLock lock(&mu_);
  while (!stop_) {
    if (!returned_.empty()) {
      TextShard shard = std::move(returned_.back());
      returned_.pop_back();
      ++pieces_out_;
      return shard;
    }
    if (const size_t left = sorted_.size() - next_; left > 0) {
      const int64_t share = static_cast<int64_t>(left) / (2 * devices_);
      const size_t size =
          std::min(left, static_cast<size_t>(std::max(share, kMinPiece)));
      const auto begin = sorted_.begin() + next_;
      next_ += size;
      ++pieces_out_;
      return TextShard(sequences_, {begin, begin + size});
    }
    if (pieces_out_ == 0) break;
    changed_.Wait(&mu_);  // another may lose its device
  }
  return absl::nullopt;
}

bool ReplicatedModel::ShardedEncode::HandOver(Step* step, int64_t positions) {
  base::MutexLock lock(&mu_);
  while (finished_.size() >= kMaxWaiting && !stop_) changed_.Wait(&mu_);
  if (!step->sequences.empty()) finished_.push_back(std::move(*step));
  *step = Step();
  positions_ += positions;
  told_ = true;
  changed_.NotifyAll();
  return !stop_;
}

absl::StatusOr<int64_t> ReplicatedModel::EncodeText(
    TextSequences sequences, const TextSink& sink,
    const TextProgress& progress) {
  if (absl::Status status = CheckSequences(sequences, info_); !status.ok()) {
    return status;
  }
  if (left_ < 2 || sequences.size() < 2 * kMinPiece) {
    return EncodeOnOne(sequences, sink, progress);
  }
  return ShardedEncode(this, sequences).Run(sink, progress);
}

}  // namespace clip
