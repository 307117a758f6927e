// Writes a checkpoint of random weights, for benchmarks and trials without a
// download:
//   make_checkpoint --arch=ViT-B/32 --format=openai_pt --half --out=random.pt
//   make_checkpoint --golden=tests/testdata/golden/families/siglip.json
//       --out=siglip
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "clip/checkpoint/architecture.h"
#include "tests/testing/checkpoint_files.h"

ABSL_FLAG(
    std::string, arch, "ViT-B/32",
    "one of OpenAI's: ViT-B/32, ViT-B/16, ViT-L/14, ViT-L/14@336px, RN50, ...");
ABSL_FLAG(std::string, format, "openai_pt",
          "openai_pt (TorchScript archive), openai_state_dict, or open_clip (a "
          "folder)");
ABSL_FLAG(uint64_t, seed, 1, "of the weights");
ABSL_FLAG(bool, half, false, "float16 weights instead of float32");
ABSL_FLAG(std::string, golden, "",
          "a golden's JSON file, whose checkpoint is written instead");
ABSL_FLAG(std::string, out, "", "the file or folder to write");

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("Writes a CLIP checkpoint of random weights.");
  absl::ParseCommandLine(argc, argv);
  const std::string arch = absl::GetFlag(FLAGS_arch),
                    format = absl::GetFlag(FLAGS_format);
  const std::string out = absl::GetFlag(FLAGS_out);
  if (out.empty()) {
    std::cerr << "--out is missing\n";
    return 1;
  }
  if (const std::string golden = absl::GetFlag(FLAGS_golden); !golden.empty()) {
    std::ifstream file(golden);
    if (!file) {
      std::cerr << "no file " << golden << "\n";
      return 1;
    }
    clip::testing::WriteGolden(nlohmann::json::parse(file), out);
    return 0;
  }
  for (const clip::NamedArchitecture& known : clip::KnownArchitectures()) {
    if (known.name != arch) continue;
    const clip::testing::RandomCheckpoint checkpoint{
        clip::RequiredTensors(known.architecture), absl::GetFlag(FLAGS_seed),
        absl::GetFlag(FLAGS_half)};
    if (format == "openai_pt") {
      clip::testing::WriteTorchScript(checkpoint, out);
    } else if (format == "openai_state_dict") {
      clip::testing::WriteStateDict(checkpoint, out);
    } else if (format == "open_clip") {
      clip::testing::WriteOpenClip(known.architecture, checkpoint, out);
    } else {
      std::cerr << "--format=" << format << " is unknown\n";
      return 1;
    }
    return 0;
  }
  std::cerr << "--arch=" << arch << " is unknown\n";
  return 1;
}
