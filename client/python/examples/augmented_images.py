#!/usr/bin/env python3
"""Makes a labelled tree of images from a few: OUTPUT/CLASS/CLASS-000.jpg, ... The class is the name of the file.

    python augmented_images.py models/demo/images labelled --count=40 --none=pizza,umbrella

Each copy is turned, cropped, brightened or darkened, and put on a ground of another colour, by a random number
generator whose seed is the class and the number: the tree is the same each time. Images of --none go into the folder
none_of_these. Needs Pillow.
"""

import argparse
import random
from pathlib import Path

from PIL import Image, ImageEnhance, ImageFilter

SIDE = 96


def augmented(image, draw):
    """A copy of an RGBA image, [SIDE, SIDE] in RGB."""
    image = image.rotate(draw.uniform(-40, 40), Image.Resampling.BICUBIC, expand=True)
    if draw.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    side = int(SIDE * draw.uniform(0.6, 1.25))
    image = image.resize((side, side), Image.Resampling.BICUBIC)
    ground = Image.new("RGBA", (SIDE, SIDE), tuple(draw.randrange(60, 256) for _ in range(3)))
    room = SIDE - side
    place = tuple(draw.randint(min(0, room), max(0, room)) for _ in range(2))
    layer = Image.new("RGBA", (SIDE, SIDE))
    layer.paste(image, place)
    ground.alpha_composite(layer)
    result = ground.convert("RGB")
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        result = change(result).enhance(draw.uniform(0.6, 1.4))
    return result.filter(ImageFilter.GaussianBlur(draw.uniform(0, 1.6)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--count", type=int, default=40, help="copies of each image")
    parser.add_argument("--none", default="", help="files that show none of the classes: name,name,...")
    given = parser.parse_args()
    of_none = set(filter(None, given.none.split(",")))
    for path in sorted(given.images.iterdir()):
        name = path.stem
        folder = given.output / ("none_of_these" if name in of_none else name)
        folder.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as opened:
            image = opened.convert("RGBA")
        for number in range(given.count):
            draw = random.Random(f"{name} {number}")
            augmented(image, draw).save(folder / f"{name}-{number:03}.jpg", quality=90)


if __name__ == "__main__":
    main()
