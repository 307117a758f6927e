"""Crops of tests/testdata/images by the reference's preprocessing.

Reference: openai/CLIP's clip.clip._transform up to convert("RGB"), that is torchvision's
Resize and CenterCrop on a Pillow image (versions: tools/requirements-golden.txt; Pillow 13
changed the order of its two passes for tall pictures). Writes crops.tsv, and squashed.tsv for open_clip's resize_mode "squash".

One choice is ours: 16-bit grey images are cut to their high byte, as Pillow does
with 16-bit colour (it would clip grey at 255 instead, so that almost all of it is white).
"""

import hashlib
import pathlib
import warnings

import numpy as np
from PIL import Image, ImageOps
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

SIZES = (8, 32, 224)
MAX_REFERENCE_PIXELS = 100_000_000  # The reference enlarges a 1 x 65,500 picture whole.
IMAGES = pathlib.Path(__file__).resolve().parents[2] / "tests" / "testdata" / "images"


def reference_crop(path, size: int, exif_orientation: bool = False, squash: bool = False) -> bytes:
    """RGB bytes [size, size, 3] of the crop; `squash` as open_clip's resize_mode."""
    image = Image.open(path)
    if exif_orientation:
        image = ImageOps.exif_transpose(image)
    if image.mode in ("I;16", "I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    crop = Compose([Resize((size, size) if squash else size, interpolation=InterpolationMode.BICUBIC), CenterCrop(size)])(image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "Palette images with Transparency ..."
        return crop.convert("RGB").tobytes()


def make(out_dir: pathlib.Path) -> None:
    lines = ["# picture, EXIF orientation applied, size, SHA-256 of the crop's RGB bytes, at size 8 these bytes in hex"]
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
    squashed = ["# picture, size, SHA-256 of the squashed crop's RGB bytes"]
    for path in sorted(IMAGES.iterdir()):
        sha256 = hashlib.sha256(reference_crop(path, 32, squash=True)).hexdigest()
        squashed.append(f"{path.name}\t32\t{sha256}")
    (out_dir / "squashed.tsv").write_text("\n".join(squashed) + "\n")
