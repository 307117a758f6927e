#!/usr/bin/env python3
"""Times our preprocessing and Pillow's with torchvision on the same files, in turns in one run, and prints a table.

    cmake --build --preset release --target time_crops
    PYTHON bench/preprocessing.py build/release/bench/micro/time_crops

PYTHON is one with the packages pillow, torchvision and numpy (tools/requirements-golden.txt pins them). The crops are
compared byte by byte. "Decode" of theirs is Image.load(): libjpeg-turbo, as Pillow's wheel bundles it, into a new image.
"""

import argparse
import hashlib
import io
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor

SIZE = 224
CROP = Compose([Resize(SIZE, interpolation=InterpolationMode.BICUBIC), CenterCrop(SIZE), lambda image: image.convert("RGB")])
TO_TENSOR = Compose([ToTensor(), Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))])


def make_jpeg(width: int, height: int) -> bytes:
    """An image with smooth and noisy parts, about as hard to decode as a photo of quality 90."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[0:height, 0:width][..., None] / 100
    waves = sum(np.sin(x * a + y * b + c) for a, b, c in rng.uniform(0, 6, (6, 3, 3)))
    pixels = 128 + 20 * waves + rng.normal(0, 6, (height, width, 1)) * (x[..., :1] % 2 < 1)
    out = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


def time_theirs(data: bytes):
    """Milliseconds of decoding, of the crop and of the tensor; the crop's SHA-256."""
    times = [time.perf_counter()]
    image = Image.open(io.BytesIO(data))
    image.load()
    times.append(time.perf_counter())
    crop = CROP(image)
    times.append(time.perf_counter())
    TO_TENSOR(crop)
    times.append(time.perf_counter())
    return np.diff(times) * 1e3, hashlib.sha256(crop.tobytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("time_crops", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("files", nargs="*", type=pathlib.Path, help="JPEG files (default: 500x375 and 3000x2000, made)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"Pillow {PIL.__version__}, torchvision {torchvision.__version__}; milliseconds, median of {args.rounds}")
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(
        [args.time_crops], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as ours_process:
        files = args.files
        if not files:
            for width, height in ((500, 375), (3000, 2000)):
                files.append(pathlib.Path(folder) / f"{width}x{height}.jpg")
                files[-1].write_bytes(make_jpeg(width, height))
        for path in files:
            data = path.read_bytes()
            ours, theirs = [], []
            for i in range(args.rounds + 3):
                milliseconds, their_hash = time_theirs(data)
                ours_process.stdin.write(f"{SIZE} {path.resolve()}\n")
                ours_process.stdin.flush()
                our_hash, *our_milliseconds = ours_process.stdout.readline().split()
                if our_hash != their_hash:
                    raise SystemExit(f"{path}: the crops differ")
                if i >= 3:  # the first ones warm up
                    theirs.append(milliseconds)
                    ours.append([float(m) for m in our_milliseconds])
            decode, crop, tensor = (statistics.median(column) for column in zip(*theirs))
            whole = statistics.median(sum(row) for row in theirs)
            our_whole, our_decode, our_crop, mean_off, most_off, fast = map(statistics.median, zip(*ours))
            print(f"{path.name}, {len(data)} bytes, equal crops")
            print(f"  Pillow + torchvision  whole {whole:7.3f}  decode {decode:7.3f}  crop {crop:7.3f}  tensor {tensor:6.3f}")
            print(f"  ours                  whole {our_whole:7.3f}  decode {our_decode:7.3f}  crop {our_crop:7.3f}")
            print(f"  --fast_decode         whole {fast:7.3f}  off by {mean_off:.2f} of 255 in the mean, {most_off:.0f} at most")
            print(f"  ratio                 whole {whole / our_whole:7.2f} ({(decode + crop) / our_whole:.2f} without tensor)  "
                  f"after decoding {(crop + tensor) / our_crop:.1f} ({crop / our_crop:.1f} without tensor)  "
                  f"ours to their decoding {our_whole / decode:.2f}")


if __name__ == "__main__":
    main()
