// Images a second of the image tower alone: batches of random crops, on a line
// each. What bench/tower.py compares with other runtimes.
//
//   build/release/bench/micro/time_tower --model=M --precision=bf16
//   --batches=1,8,32
#include <algorithm>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "clip/model.h"

ABSL_FLAG(std::string, model, "models/demo", "Path of a model");
ABSL_FLAG(std::string, device, "cpu", "cpu, cuda or cuda:N");
ABSL_FLAG(std::string, precision, "fp32", "fp32, bf16, int8 or fp16");
ABSL_FLAG(std::vector<std::string>, batches,
          std::vector<std::string>({"1", "8", "32"}), "Batch sizes");
ABSL_FLAG(absl::Duration, time, absl::Seconds(3), "For each batch size");

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
  const auto model = clip::Model::Load(
      absl::GetFlag(FLAGS_model),
      {.device = absl::GetFlag(FLAGS_device),
       .precision = absl::GetFlag(FLAGS_precision),
       .max_batch = *std::max_element(batches.begin(), batches.end())});
  if (!model.ok()) {
    std::cerr << model.status() << "\n";
    return 1;
  }
  const size_t size = (*model)->info().image_size;
  std::mt19937 random(1);
  std::vector<uint8_t> crop(3 * size * size);
  for (uint8_t& byte : crop) byte = random();
  for (const int batch : batches) {
    const std::vector<absl::Span<const uint8_t>> crops(batch, crop);
    std::vector<double> seconds;  // of each run
    const absl::Time end = absl::Now() + absl::GetFlag(FLAGS_time);
    while (seconds.size() < 3 || absl::Now() < end) {
      const absl::Time start = absl::Now();
      if (!(*model)->EncodeImages(crops).ok()) return 1;
      seconds.push_back(absl::ToDoubleSeconds(absl::Now() - start));
    }
    std::sort(seconds.begin(), seconds.end());
    std::cout << absl::GetFlag(FLAGS_precision) << " batch " << batch
              << ": best " << batch / seconds.front() << " median "
              << batch / seconds[seconds.size() / 2] << " images/s\n";
  }
}
