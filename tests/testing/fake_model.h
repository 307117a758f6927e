// A model without LibTorch for tests of everything above clip: embeddings are
// unit rows drawn from a hash of the crop or the token ids, so that equal
// inputs get equal rows, different ones nearly orthogonal rows, and a test can
// ask the model itself what the right answer is.
//
// Thread rule: every method may be called from many threads at once.
#ifndef ZEROSHOT_TESTS_TESTING_FAKE_MODEL_H_
#define ZEROSHOT_TESTS_TESTING_FAKE_MODEL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "clip/model.h"
#include "clip/replicated_model.h"

namespace clip {

class FakeModel : public Model {
 public:
  explicit FakeModel(int embedding_dim = 64, int image_size = 8,
                     Device device = {"cpu", ""});

  const ModelInfo& info() const override { return info_; }
  absl::StatusOr<std::vector<float>> EncodeImages(
      absl::Span<const absl::Span<const uint8_t>> crops) override;

  // One sequence a step; `progress` is called before each.
  absl::StatusOr<int64_t> EncodeText(
      absl::Span<const std::vector<int32_t>> sequences, const TextSink& sink,
      const TextProgress& progress) override;

  // From CloseGate to OpenGate, EncodeImages and each step of EncodeText wait:
  // the device is busy. A waiting EncodeText still asks `progress` whether to
  // stop, as between the steps of a real one.
  void CloseGate();
  void OpenGate();

  // From now on each EncodeImages takes so long.
  void SetImageTime(absl::Duration time);

  // What the rows of EncodeImages and EncodeText are from now on.
  enum class Rows { kRight, kWrong, kNaN };
  void SetImageRows(Rows rows);
  void SetTextRows(Rows rows);

  // From now on its device is lost: every call ends as Unavailable, at the gate
  // or before its next image or text. With `after_texts`, once that many
  // more texts have got their rows.
  void LoseDevice(int after_texts = 0);

  // Whether every call ends as ResourceExhausted from now on.
  void RunOutOfMemory(bool out);

  // Blocks until `n` calls wait at the gate. Returns false after `timeout`.
  bool WaitForCallsAtGate(int n, absl::Duration timeout = absl::Seconds(20));

  // Calls so far.
  int image_batches();
  int text_calls();
  int texts();

 private:
  // Waits while the gate is closed. False: `progress` said stop.
  bool PassGate(const TextProgress& progress, int64_t done, int64_t total,
                int64_t positions);
  absl::Status CheckDevice();
  std::vector<float> RowOf(absl::Span<const uint8_t> bytes) const;
  std::vector<float> RowOf(absl::Span<const uint8_t> bytes, Rows rows) const;

  ModelInfo info_;
  base::Mutex mu_;
  base::CondVar changed_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  absl::Duration image_time_ ABSL_GUARDED_BY(mu_);
  Rows image_rows_ ABSL_GUARDED_BY(mu_) = Rows::kRight;
  Rows text_rows_ ABSL_GUARDED_BY(mu_) = Rows::kRight;
  int at_gate_ ABSL_GUARDED_BY(mu_) = 0;
  int image_batches_ ABSL_GUARDED_BY(mu_) = 0;
  int text_calls_ ABSL_GUARDED_BY(mu_) = 0;
  int texts_ ABSL_GUARDED_BY(mu_) = 0;
  bool losing_ ABSL_GUARDED_BY(mu_) = false;
  int lost_after_ ABSL_GUARDED_BY(mu_) = 0;  // texts; if losing_
  bool out_of_memory_ ABSL_GUARDED_BY(mu_) = false;
};

// Fakes on devices cuda:0, cuda:1, ... as one model, and each of them, which
// lives as long as it does.
struct FakeDevices {
  std::unique_ptr<ReplicatedModel> model;
  std::vector<FakeModel*> fakes;
};

// Their PCI bus ids are `pci` and their number; none if it is empty.
FakeDevices MakeFakeDevices(int count, const std::string& pci = "");

}  // namespace clip

#endif  // ZEROSHOT_TESTS_TESTING_FAKE_MODEL_H_
