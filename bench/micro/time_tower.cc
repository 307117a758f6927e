// Images a second of the image tower alone: batches of random crops, on a line
// each. What bench/tower.py compares with other runtimes, and bench/gpu.py.
//
//   build/release/bench/micro/time_tower --model=M --precision=bf16
//   --batches=1,8,32
//
// On a GPU one caller waits for each batch before it sends the next one; as
// many as the model takes at once (--callers=0) keep it busy, as a server does.
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <iostream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "clip/image.h"
#include "clip/model.h"

ABSL_FLAG(std::string, model, "models/demo", "Path of a model");
ABSL_FLAG(std::string, device, "cpu", "cpu, cuda or cuda:N");
ABSL_FLAG(std::string, precision, "fp32", "fp32, bf16, int8 or fp16");
ABSL_FLAG(std::vector<std::string>, batches,
          std::vector<std::string>({"1", "8", "32"}), "Batch sizes");
ABSL_FLAG(absl::Duration, time, absl::Seconds(3), "For each batch size");
ABSL_FLAG(int, callers, 0,
          "Threads that send batches at once, told on a line of their own if "
          "more than 1; 0: as many as the model takes");
ABSL_FLAG(int, prefixes, 0,
          "Also prefixes/s of the text tower, of sequences that have about so "
          "many together; 0: not");
ABSL_FLAG(bool, profile, false,
          "One batch of each size and one text call, between cudaProfilerStart "
          "and cudaProfilerStop, for ncu --profile-from-start off");

namespace {

using Crops = std::vector<absl::Span<const uint8_t>>;

bool Failed(const absl::Status& status) {
  if (!status.ok()) std::cerr << status << "\n";
  return !status.ok();
}

// Sequences of 8 tokens that share next to nothing.
std::vector<std::vector<int32_t>> Sequences(int prefixes,
                                            const clip::ModelInfo& info) {
  constexpr int kLength = 8;
  std::mt19937 random(1);
  std::vector<std::vector<int32_t>> sequences(std::max(1, prefixes / kLength));
  for (std::vector<int32_t>& ids : sequences) {
    for (int i = 0; i < std::min(kLength, info.context_length); ++i)
      ids.push_back(random() % (info.vocab_size - 1));
    ids.back() = info.vocab_size - 1;
  }
  return sequences;
}

// What CUDA's library of this process calls so, where there is one.
void CallIfThere(const char* name) {
  if (void* const f = dlsym(RTLD_DEFAULT, name))
    reinterpret_cast<int (*)()>(f)();
}

// One caller's batches, each timed.
bool TimeOneCaller(clip::Model& model, const Crops& crops) {
  std::vector<double> seconds;
  const absl::Time end = absl::Now() + absl::GetFlag(FLAGS_time);
  while (seconds.size() < 3 || absl::Now() < end) {
    const absl::Time start = absl::Now();
    if (Failed(model.EncodeImages(crops).status())) return false;
    seconds.push_back(absl::ToDoubleSeconds(absl::Now() - start));
  }
  std::sort(seconds.begin(), seconds.end());
  std::cout << absl::GetFlag(FLAGS_precision) << " batch " << crops.size()
            << ": best " << crops.size() / seconds.front() << " median "
            << crops.size() / seconds[seconds.size() / 2] << " images/s"
            << std::endl;
  return true;
}

// The batches of several together, over the whole time.
bool TimeCallers(clip::Model& model, const Crops& crops, int callers) {
  std::atomic<int64_t> batches = 0;
  std::atomic<bool> failed = false;
  std::vector<std::thread> threads;
  const absl::Time start = absl::Now(), end = start + absl::GetFlag(FLAGS_time);
  for (int i = 0; i < callers; ++i) {
    threads.emplace_back([&] {
      do {
        if (Failed(model.EncodeImages(crops).status())) failed = true;
        ++batches;
      } while (!failed && absl::Now() < end);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::cout << absl::GetFlag(FLAGS_precision) << " batch " << crops.size()
            << " callers " << callers << ": "
            << batches * crops.size() /
                   absl::ToDoubleSeconds(absl::Now() - start)
            << " images/s" << std::endl;
  return !failed;
}

bool TimeText(clip::Model& model) {
  const auto sequences = Sequences(absl::GetFlag(FLAGS_prefixes), model.info());
  const auto ignore = [](int64_t, absl::Span<const float>) {};
  const absl::Time begin = absl::Now();
  double best = 0;
  do {
    const absl::Time start = absl::Now();
    const auto positions = model.EncodeText(sequences, ignore, nullptr);
    if (Failed(positions.status())) return false;
    best =
        std::max(best, *positions / absl::ToDoubleSeconds(absl::Now() - start));
  } while (!absl::GetFlag(FLAGS_profile) &&
           absl::Now() < begin + absl::GetFlag(FLAGS_time));
  std::cout << absl::GetFlag(FLAGS_precision) << " text: best " << best
            << " prefixes/s" << std::endl;
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  std::vector<int> batches;
  for (const std::string& text : absl::GetFlag(FLAGS_batches)) {
    batches.push_back(0);
    if (!absl::SimpleAtoi(text, &batches.back()) || batches.back() < 1) {
      std::cerr << "batch '" << text << "': numbers from 1 are allowed\n";
      return 1;
    }
  }
  if (batches.empty()) return 0;
  const absl::Time start = absl::Now();
  const auto model = clip::Model::Load(
      absl::GetFlag(FLAGS_model),
      {.device = absl::GetFlag(FLAGS_device),
       .precision = absl::GetFlag(FLAGS_precision),
       .max_batch = *std::max_element(batches.begin(), batches.end())});
  if (Failed(model.status())) return 1;
  const clip::ModelInfo& info = (*model)->info();
  std::cout << "loaded in " << absl::ToDoubleSeconds(absl::Now() - start)
            << " s on " << info.device
            << (info.graphs.empty() ? "" : "; " + info.graphs) << std::endl;
  std::mt19937 random(1);
  clip::Image image;
  image.width = image.height = 512;
  image.pixels.resize(size_t{3} * image.width * image.height);
  for (uint8_t& byte : image.pixels) byte = random();
  const std::vector<uint8_t> crop =
      clip::CropForModel(image, info.preprocessing.crop);
  const bool profile = absl::GetFlag(FLAGS_profile);
  const int callers = absl::GetFlag(FLAGS_callers) > 0
                          ? absl::GetFlag(FLAGS_callers)
                          : info.batches_at_once;
  if (profile) CallIfThere("cudaProfilerStart");
  for (const int batch : batches) {
    const Crops crops(batch, crop);
    if (profile) {
      if (Failed((*model)->EncodeImages(crops).status())) return 1;
      continue;
    }
    if (!TimeOneCaller(**model, crops)) return 1;
    if (callers > 1 && !TimeCallers(**model, crops, callers)) return 1;
  }
  if (absl::GetFlag(FLAGS_prefixes) > 0 && !TimeText(**model)) return 1;
  if (profile) CallIfThere("cudaProfilerStop");
}
