// What an image goes through before a model's image tower.
#ifndef ZEROSHOT_CLIP_PREPROCESSING_H_
#define ZEROSHOT_CLIP_PREPROCESSING_H_

#include <array>
#include <string>

#include "clip/image.h"

namespace clip {

struct Preprocessing {
  // Side, and how the image is resized to it: what DecodeAndCrop takes.
  CropShape crop = 0;
  // Of the pixels in 0 ... 1, by channel (red, green, blue); the tower takes
  // them off.
  std::array<float, 3> mean = {};
  std::array<float, 3> std = {};
};

// All of it in one line of words.
std::string Describe(const Preprocessing& preprocessing);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_PREPROCESSING_H_
