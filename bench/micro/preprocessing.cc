// A JPEG's way to the model's crop: all of it, its parts, and libjpeg alone.
// Instruction sets are compared by the crop of an image in memory.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

// jpeglib.h needs the headers above before it.
#include <jpeglib.h>

#include "clip/image.h"
#include "clip/image/crop_stream.h"
#include "tests/testing/make_jpeg.h"

namespace {

constexpr int kSize = 224;

std::string Jpeg(const benchmark::State& state) {
  const int width = state.range(0), height = state.range(1);
  return testing_images::MakeJpeg(
      testing_images::MakePixels(width, height, 3, 1), width, height);
}

void DecodeAndCrop(benchmark::State& state, bool fast) {
  const std::string file = Jpeg(state);
  clip::CropTiming timing;
  clip::DecodeOptions options;
  options.fast = fast;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        clip::DecodeAndCrop(file, kSize, options, &timing));
  }
  const auto per_call = benchmark::Counter::kAvgIterations;
  state.counters["decode_ms"] = {absl::ToDoubleMilliseconds(timing.decode),
                                 per_call};
  state.counters["crop_ms"] = {absl::ToDoubleMilliseconds(timing.crop),
                               per_call};
}

void DecodeImage(benchmark::State& state) {
  const std::string file = Jpeg(state);
  for (auto _ : state) benchmark::DoNotOptimize(clip::DecodeImage(file));
}

// A file that comes in pieces, as gRPC has it in slices of 8 kB.
struct Pieces : jpeg_source_mgr {
  Pieces(const std::string& file, size_t piece) : file(file), piece(piece) {
    init_source = [](j_decompress_ptr) {};
    term_source = [](j_decompress_ptr) {};
    resync_to_restart = jpeg_resync_to_restart;
    next_input_byte = nullptr;
    bytes_in_buffer = 0;
    fill_input_buffer = [](j_decompress_ptr decompress) -> boolean {
      auto* self = static_cast<Pieces*>(decompress->src);
      const size_t size = std::min(self->piece, self->file.size() - self->read);
      self->next_input_byte =
          reinterpret_cast<const JOCTET*>(self->file.data()) + self->read;
      self->bytes_in_buffer = size;
      self->read += size;
      return size > 0;
    };
    skip_input_data = [](j_decompress_ptr decompress, long bytes) {
      auto* self = static_cast<Pieces*>(decompress->src);
      while (bytes > static_cast<long>(self->bytes_in_buffer)) {
        bytes -= self->bytes_in_buffer;
        if (!self->fill_input_buffer(decompress)) return;
      }
      self->next_input_byte += bytes;
      self->bytes_in_buffer -= bytes;
    };
  }
  const std::string& file;
  const size_t piece;
  size_t read = 0;
};

// Into memory that is there already: the least a decoder can take.
void LibjpegAlone(benchmark::State& state, size_t piece) {
  const std::string file = Jpeg(state);
  std::vector<uint8_t> pixels(state.range(0) * state.range(1) * 3);
  for (auto _ : state) {
    jpeg_decompress_struct decompress = {};
    jpeg_error_mgr errors = {};
    decompress.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&decompress);
    Pieces pieces(file, piece);
    decompress.src = &pieces;
    jpeg_read_header(&decompress, TRUE);
    jpeg_start_decompress(&decompress);
    while (decompress.output_scanline < decompress.output_height) {
      JSAMPROW row = &pixels[decompress.output_scanline * state.range(0) * 3];
      jpeg_read_scanlines(&decompress, &row, 1);
    }
    jpeg_finish_decompress(&decompress);
    jpeg_destroy_decompress(&decompress);
  }
}

// The crop with each instruction set that this CPU has: 0, 1, ...
void Crop(benchmark::State& state) {
  const auto kernels = clip::ResizeKernels::Supported();
  if (state.range(2) >= static_cast<int64_t>(kernels.size())) {
    state.SkipWithError("not on this CPU");
    return;
  }
  const clip::ResizeKernels& set = *kernels[state.range(2)];
  state.SetLabel(set.instruction_set);
  const int width = state.range(0), height = state.range(1);
  const std::vector<uint8_t> pixels =
      testing_images::MakePixels(width, height, 3, 1);
  for (auto _ : state) {
    clip::CropStream stream(clip::ImageMode::kRGB, 3,
                            clip::CropGeometry(width, height, kSize), set);
    for (int y = 0; y < stream.row_count(); y += clip::CropStream::kRows) {
      const uint8_t* rows[clip::CropStream::kRows];
      const int count =
          std::min(stream.row_count() - y, clip::CropStream::kRows);
      for (int r = 0; r < count; ++r) {
        rows[r] = &pixels[(int64_t{width} * (stream.first_row() + y + r) +
                           stream.first_column()) *
                          3];
      }
      stream.Add(rows, count);
    }
    benchmark::DoNotOptimize(stream.Finish());
  }
}

void Sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->Args({500, 375})->Args({3000, 2000})->Args({2000, 3000});
  benchmark->Unit(benchmark::kMillisecond);
}

void SizesAndSets(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgsProduct({{500}, {375}, {0, 1, 2}});
  benchmark->ArgsProduct({{3000}, {2000}, {0, 1, 2}});
  benchmark->ArgsProduct({{1000}, {4000}, {0, 1, 2}});  // rows first
  benchmark->Unit(benchmark::kMillisecond);
}

BENCHMARK_CAPTURE(LibjpegAlone, whole, SIZE_MAX)->Apply(Sizes);
BENCHMARK_CAPTURE(LibjpegAlone, pieces, size_t{8192})->Apply(Sizes);
BENCHMARK(DecodeImage)->Apply(Sizes);
BENCHMARK_CAPTURE(DecodeAndCrop, exact, false)->Apply(Sizes);
BENCHMARK_CAPTURE(DecodeAndCrop, fast, true)->Apply(Sizes);
BENCHMARK(Crop)->Apply(SizesAndSets);

}  // namespace
