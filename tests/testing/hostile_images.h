// Images made to do harm, from the sound ones in tests/testdata/images.
#ifndef ZEROSHOT_TESTS_TESTING_HOSTILE_IMAGES_H_
#define ZEROSHOT_TESTS_TESTING_HOSTILE_IMAGES_H_

#include <string>
#include <vector>

namespace testing_images {

struct HostileImage {
  enum class Outcome {
    kRefused,
    kRefusedByHeader,  // before any work
    kLike,             // as the file `like` is answered
    kEither,           // refused, or answered in whatever way
  };

  std::string name;  // what it is and what it was made of
  std::string bytes;
  Outcome outcome = Outcome::kRefused;
  std::string like = {};
};

// Truncations, impostors, sizes that lie, bombs by pixels, chunks without end,
// odd ink, broken checksums, flipped bits. `folder` holds the sound images.
std::vector<HostileImage> HostileImages(const std::string& folder);

}  // namespace testing_images

#endif  // ZEROSHOT_TESTS_TESTING_HOSTILE_IMAGES_H_
