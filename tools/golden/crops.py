"""Crops of tests/testdata/images by the reference's preprocessing.

Reference: openai/CLIP's clip.clip._transform up to convert("RGB"), that is torchvision's
Resize and CenterCrop on a Pillow image (versions: tools/requirements-golden.txt; Pillow 13
changed the order of its two passes for tall images). Writes crops.tsv; squashed.tsv for open_clip's resize_mode
"squash"; bilinear.tsv for interpolation "bilinear", squashed or not; longest.tsv for open_clip's resize_mode "longest"; and patches.tsv
for transformers' Siglip2ImageProcessor.

Two choices are ours: where the shorter side of "longest" would have no pixel, and open_clip fails, it has one. And 16-bit grey images are cut to their high byte, as Pillow does
with 16-bit colour (it would clip grey at 255 instead, so that almost all of it is white).
"""

import hashlib
import io
import pathlib
import struct
import warnings

import numpy as np
from open_clip.transform import CenterCropOrPad, ResizeKeepRatio
from PIL import Image, ImageOps
from pillow_heif import register_heif_opener
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize
from transformers.models.siglip2.image_processing_pil_siglip2 import get_image_size_for_max_num_patches

register_heif_opener()
SIZES = (8, 32, 224)
MAX_REFERENCE_PIXELS = 100_000_000  # The reference enlarges a 1 x 65,500 image whole.
IMAGES = pathlib.Path(__file__).resolve().parents[2] / "tests" / "testdata" / "images"


class Longest(ResizeKeepRatio):
    """open_clip's, with sides of at least one pixel."""

    @staticmethod
    def get_params(*args):
        return [max(1, side) for side in ResizeKeepRatio.get_params(*args)]


def reference_crop(path, size: int, exif_orientation: bool = False, mode: str = "shortest", bilinear: bool = False, fill: int = 0) -> bytes:
    """RGB bytes [size, size, 3] of the crop; `mode` and `fill` as open_clip's resize_mode and fill_color.

    Of the mode "patches" `size` is a patch's and `fill` how many there are at most, and the numbers of rows and columns of patches
    come first, in two bytes each.
    """
    interpolation = InterpolationMode.BILINEAR if bilinear else InterpolationMode.BICUBIC
    # Not by its name: files that Pillow maps into memory it does not turn as their TIFF orientation says.
    image = Image.open(io.BytesIO(pathlib.Path(path).read_bytes()))
    if exif_orientation:
        image = ImageOps.exif_transpose(image)
    if image.mode in ("I;16", "I;16B", "I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    head = b""
    if mode == "patches":
        height, width = get_image_size_for_max_num_patches(image.height, image.width, size, fill)
        head = struct.pack("<HH", height // size, width // size)
        # As the processor: whatever the size is.
        image = image.resize((width, height), Image.Resampling.BILINEAR if bilinear else Image.Resampling.BICUBIC)
    steps = {"patches": [], "shortest": [Resize(size, interpolation=interpolation), CenterCrop(size)],
             "squash": [Resize((size, size), interpolation=interpolation)],
             "longest": [Longest(size, interpolation=interpolation, longest=1), CenterCropOrPad(size, fill=fill)]}
    crop = Compose(steps[mode])(image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "Palette images with Transparency ..."
        return head + crop.convert("RGB").tobytes()


def make(out_dir: pathlib.Path) -> None:
    lines = ["# image, EXIF orientation applied, size, SHA-256 of the crop's RGB bytes, at size 8 these bytes in hex"]
    for path in sorted(IMAGES.iterdir()):
        with Image.open(path) as image:
            turned = image.getexif().get(0x0112, 1) != 1
            ratio = max(image.size) / min(image.size)
        for exif_orientation in (False, True) if turned else (False,):
            for size in SIZES:
                if size * size * ratio > MAX_REFERENCE_PIXELS:
                    continue
                crop = reference_crop(path, size, exif_orientation)
                sha256 = hashlib.sha256(crop).hexdigest()
                rgb = crop.hex() if size == 8 else "-"
                lines.append(f"{path.name}\t{int(exif_orientation)}\t{size}\t{sha256}\t{rgb}")
    (out_dir / "crops.tsv").write_text("\n".join(lines) + "\n")
    squashed = ["# image, size, SHA-256 of the squashed crop's RGB bytes"]
    for path in sorted(IMAGES.iterdir()):
        sha256 = hashlib.sha256(reference_crop(path, 32, mode="squash")).hexdigest()
        squashed.append(f"{path.name}\t32\t{sha256}")
    (out_dir / "squashed.tsv").write_text("\n".join(squashed) + "\n")
    bilinear = ["# image, size, squashed, SHA-256 of the bilinear crop's RGB bytes"]
    for path in sorted(IMAGES.iterdir()):
        with Image.open(path) as image:
            ratio = max(image.size) / min(image.size)
        for squash in (False, True):
            if not squash and 32 * 32 * ratio > MAX_REFERENCE_PIXELS:
                continue
            sha256 = hashlib.sha256(reference_crop(path, 32, mode="squash" if squash else "shortest", bilinear=True)).hexdigest()
            bilinear.append(f"{path.name}\t32\t{int(squash)}\t{sha256}")
    (out_dir / "bilinear.tsv").write_text("\n".join(bilinear) + "\n")
    longest = ["# image, size, bilinear, fill, SHA-256 of the crop's RGB bytes by the longest side"]
    for path in sorted(IMAGES.iterdir()):
        for bilinear, fill in ((False, 0), (True, 200)):
            sha256 = hashlib.sha256(reference_crop(path, 32, mode="longest", bilinear=bilinear, fill=fill)).hexdigest()
            longest.append(f"{path.name}\t32\t{int(bilinear)}\t{fill}\t{sha256}")
    patches = ["# image, patch, most patches, rows, columns, SHA-256 of the crop by patches with its grid before it"]
    for path in sorted(IMAGES.iterdir()):
        for patch, most in ((8, 30), (16, 256)):
            crop = reference_crop(path, patch, mode="patches", bilinear=True, fill=most)
            rows, columns = struct.unpack("<HH", crop[:4])
            patches.append(f"{path.name}\t{patch}\t{most}\t{rows}\t{columns}\t{hashlib.sha256(crop).hexdigest()}")
    (out_dir / "patches.tsv").write_text("\n".join(patches) + "\n")
    (out_dir / "longest.tsv").write_text("\n".join(longest) + "\n")
