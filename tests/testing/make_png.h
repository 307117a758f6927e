// Real PNG files for tests, made in memory.
#ifndef ZEROSHOT_TESTS_TESTING_MAKE_PNG_H_
#define ZEROSHOT_TESTS_TESTING_MAKE_PNG_H_

#include <cstdint>
#include <string>

namespace testing_images {

// An image of noise: equal seeds give equal files, different seeds images
// that crop differently.
std::string MakePng(uint32_t seed, int width = 24, int height = 16);

}  // namespace testing_images

#endif  // ZEROSHOT_TESTS_TESTING_MAKE_PNG_H_
