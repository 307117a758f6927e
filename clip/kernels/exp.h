// e^x of vectors, and softmax, for the files that are compiled once for each
// instruction set (see vectors.h).
#ifndef ZEROSHOT_CLIP_KERNELS_EXP_H_
#define ZEROSHOT_CLIP_KERNELS_EXP_H_

#include "clip/kernels/vectors.h"

namespace clip {
namespace {

// e^x for x in -87 ... 88, clamped there; within 2 units in the last place.
// Cody and Waite's reduction and the polynomial of Cephes' expf (Moshier).
CLIP_INLINE Floats Exp(Floats x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds
  const Floats lowest = Floats{} - 87.0f, highest = Floats{} + 88.0f;
  x = x < lowest ? lowest : x;
  x = x > highest ? highest : x;
  const Floats shifted = x * 1.44269504088896341f + kRound;
  const Floats n = shifted - kRound;
  const Floats r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Floats y = r * 1.9875691500e-4f + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  // The low bits of `shifted` are n.
  return y * (Floats)(((Words)shifted + 127) << 23);
}

// Scores [length, room] to weights, for each column on its own, and
// what to multiply them with so that they sum to 1: inverse [room].
// REQUIRES: kLanes divides room.
CLIP_INLINE void Softmax(float* scores, int64_t length, int64_t room,
                         float* inverse) {
  for (int64_t h = 0; h < room; h += kLanes) {
    Floats largest = Load(scores + h, kLanes), total = {};
    for (int64_t p = 1; p < length; ++p)
      largest = Max(largest, Load(scores + p * room + h, kLanes));
    for (int64_t p = 0; p < length; ++p) {
      const Floats weights = Exp(Load(scores + p * room + h, kLanes) - largest);
      Store(weights, scores + p * room + h, kLanes);
      total += weights;
    }
    Store(1.0f / total, inverse + h, kLanes);
  }
}

}  // namespace
}  // namespace clip

#endif  // ZEROSHOT_CLIP_KERNELS_EXP_H_
