"""The demo images, chosen before the model was trained, and what an exported model makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from PIL import Image

from . import data
from .augment import augment
from .concepts import DEMO_CLASSES, DEMO_IMAGES

SIDE = 224  # of the Noto renderings' canvas
SEED = 7
ORIGIN = {"emojione": "EmojiOne (held-out artist)", "photo": "Tux Paint photograph (held out)",
          "noto": "Noto drawing (trained on), new rendering"}


def on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def square(image: Image.Image) -> Image.Image:
    """The whole drawing in a white square with a small margin; a model's crop would cut a long one."""
    image = image.crop(image.convert("RGBA").getchannel("A").getbbox())
    side = round(max(image.size) * 1.1)
    canvas = Image.new("RGBA", (side, side))
    canvas.paste(image.convert("RGBA"), ((side - image.width) // 2, (side - image.height) // 2))
    return on_white(canvas)


def _image(kind: str, what: str) -> Image.Image:
    if kind == "emojione":
        return on_white(Image.open(data.EMOJIONE / f"{what}.png"))
    if kind == "photo":
        return square(Image.open(data.TUXPAINT / what))
    box = data.fit_box(data.render_noto(data.emoji_of(what)))
    rgb = augment(torch.from_numpy(box)[None], SIDE, 0.8)[0]
    return Image.fromarray((rgb.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy())


def write(folder: Path) -> None:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    rows = ["file\tclass\tsource"]
    for name, kind, what in DEMO_IMAGES:
        picture = _image(kind, what)
        file = f"{name.replace(' ', '_')}.{'jpg' if kind == 'noto' else 'png'}"
        if kind == "noto":
            picture.save(folder / "images" / file, quality=85)
        else:
            picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
            picture.save(folder / "images" / file, optimize=True)
        rows.append(f"{file}\t{name}\t{ORIGIN[kind]}: {what}")
    (folder / "images.tsv").write_text("\n".join(rows) + "\n")
    (folder / "classes.txt").write_text("\n".join(DEMO_CLASSES) + "\n")


def classify(folder: Path, model: CLIP, preprocess: Callable, tokenizer: Callable,
             templates: list[str]) -> Iterator[tuple[str, str, list[tuple[str, float]]]]:
    """For every demo image: file, true class, classes with their softmax share, best first."""
    classes = (folder / "classes.txt").read_text().splitlines()
    names = sum(F.normalize(model.encode_text(tokenizer([t.format(c) for c in classes])), dim=-1) for t in templates)
    names = F.normalize(names, dim=-1)
    for row in (folder / "images.tsv").read_text().splitlines()[1:]:
        file, truth, _ = row.split("\t")
        pixels = preprocess(Image.open(folder / "images" / file))[None]
        image = F.normalize(model.encode_image(pixels), dim=-1)
        shares = (model.logit_scale.exp() * image @ names.T).softmax(-1)[0]
        yield file, truth, sorted(zip(classes, shares.tolist()), key=lambda pair: -pair[1])
